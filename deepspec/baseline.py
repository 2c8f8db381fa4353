"""Segment a cube without a network: `deepspec baseline pca|nmf|umap|raw|rgb CUBE`.

The result is what `segment` writes, for `evaluate` to compare.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.baselines.options import METHODS, BaselineOptions
from deepspec.command import fail, run_command
from deepspec.data.cube_options import CubeOptions
from deepspec.errors import UserError
from deepspec.lines.label import LineOptions
from deepspec.segmentation.options import ResultOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

PROG = "deepspec baseline"


def baseline(
    cube: str,
    method: Literal["pca", "nmf", "umap", "raw", "rgb"],
    out: str | None = None,
    mask: str | None = None,
    *,
    options: BaselineOptions,
    results: ResultOptions,
    reading: CubeOptions,
    lines: LineOptions,
) -> None:
    """Segment a cube without a network: by clusters of components, of an embedding, of spectra or of colours.

    Args:
        cube: the file with the cube.
        method: pca, nmf: principal or non-negative components; umap: an embedding that keeps neighbours together
            (needs the extra umap); raw: the spectra themselves; rgb: the colours of a picture. `baseline pca CUBE` is
            the same as `baseline CUBE --method pca`.
        out: folder for the results; default CUBE-METHOD in the current directory.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY.
        options: how the method is fitted and its latent points are clustered.
        results: how the folder is written.
        reading: how the file is to be taken.
        lines: how peaks are found and named.
    """
    lines.check()
    folder = Path(out) if out is not None else Path(f"{Path(cube).stem}-{method}")
    if not Path(cube).is_file():
        raise UserError(f"{cube}: no such file")
    # Only now: they take seconds to import, which neither --help nor a mistyped name should cost.
    from deepspec.reporting.outputs import parse_exports
    from deepspec.reporting.segmentation_folder import (
        check_segmentation_folder,
        save_segmentation_folder,
        segmentation_summary,
        with_maps,
        with_statistics,
    )

    if results.names is not None:
        raise UserError(
            "names: they go with the frozen clusters of a checkpoint, which a baseline has not; use relabel"
        )
    exports = parse_exports(results.export, Path(cube), None)
    check_segmentation_folder(folder, results.redshift, overwrite=results.overwrite)
    options.check(method)
    from deepspec.baselines import segment_by_baseline
    from deepspec.files import claimed_folder
    from deepspec.progress import progress_bars
    from deepspec.segmentation.model import choose_device

    choose_device(options.device)
    settings = {"cube": cube, "method": method, "out": out, "mask": mask}
    settings |= asdict(options) | asdict(results) | asdict(reading) | asdict(lines)
    del settings["overwrite"]
    with reading.open(cube, mask) as opened, claimed_folder(folder):
        with progress_bars() as show:
            segmentation = segment_by_baseline(opened, method, options, progress=show)
            segmentation = with_statistics(segmentation, opened, show)
            segmentation = with_maps(
                segmentation, opened, results.maps, redshift=results.redshift, lines=lines, progress=show
            )
        segmentation = save_segmentation_folder(
            segmentation,
            folder,
            exports=exports,
            scale=results.scale,
            redshift=results.redshift,
            dataset=reading.dataset,
            options=settings,
            lines=lines,
            calibratable=reading.channels is None,
        )
    print("\n".join(segmentation_summary(segmentation, folder)))


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line, whose first word may be the method."""
    words = list(sys.argv[1:] if args is None else args)
    if words and not words[0].startswith("-"):
        if words[0] not in METHODS:
            fail(PROG, f"the first word names the method: expected one of {', '.join(METHODS)}, got '{words[0]}'")
        words = [*words[1:], "--method", words[0]]
    groups = {"options": BaselineOptions, "results": ResultOptions, "reading": CubeOptions, "lines": LineOptions}
    run_command(baseline, prog=PROG, positional="cube", args=words, groups=groups)


if __name__ == "__main__":
    main()
