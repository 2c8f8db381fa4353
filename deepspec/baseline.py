"""Segment a cube without a network: `python -m deepspec.baseline pca|nmf|umap|raw|rgb CUBE`.

The result is what `segment` writes, for `evaluate` to compare.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepspec.command import fail, run_command
from deepspec.data.cube_options import CubeOptions
from deepspec.errors import UserError
from deepspec.lines.label import LineOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

PROG = "python -m deepspec.baseline"

# Written out, not imported, because of what the modules that do the work import; a test compares them.
METHODS = ("pca", "nmf", "umap", "raw", "rgb")


def baseline(
    cube: str,
    method: Literal["pca", "nmf", "umap", "raw", "rgb"],
    out: str | None = None,
    preprocess: list[str | dict[str, Any]] | None = None,
    components: int | None = None,
    image: str | None = None,
    resample: bool = False,
    neighbours: int = 15,
    min_dist: float = 0.1,
    k: tuple[int, int] | None = None,
    mask: str | None = None,
    scale: Literal["auto", "linear", "sqrt", "log"] = "auto",
    export: str = "auto",
    redshift: tuple[float, float] = (0.0, 0.0),
    sample: int = 32768,
    restarts: int = 3,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    *,
    reading: CubeOptions,
    lines: LineOptions,
) -> None:
    """Segment a cube by IKMeans without a network: on components, on an embedding, on spectra or on colours.

    Args:
        cube: the file.
        method: pca, nmf: principal or non-negative components; umap: an embedding that keeps neighbours together
            (needs the extra umap); raw: the spectra themselves; rgb: the colours of a picture. The first word of the
            command line may say it.
        out: folder for the results; default CUBE-METHOD in the current directory.
        preprocess: steps before it, such as [sqrt, {step: standard, scale: global}]; default: those and no centring
            for nmf where the cube holds counts, [minmax] elsewhere, none for rgb; it is printed.
        components: dimensions of pca (default 8), nmf (8) and umap (3).
        image: for rgb, a picture of the same scene.
        resample: take the nearest pixels of a picture that has another size.
        neighbours: for umap, of each spectrum.
        min_dist: for umap, least distance of points.
        k: fewest and most clusters to try; by default 3 and 10, as far as the pixels suffice.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY.
        scale: of the intensities in the figures; auto is sqrt where peaks tower above the rest.
        export: what to write beside the segmentation and its figures, with commas between: report, tiff, fits, csv,
            msa, masks, memberships, svg, pdf; auto: report, tiff, csv, and fits of a FITS cube; none; all.
        redshift: lowest and highest redshift at which to look for emission lines, for wavelengths.
        sample: pixels that the method is fitted on, and that IKMeans clusters before refining on all.
        restarts: K-means runs for each number of clusters.
        seed: of everything random.
        device: cpu, cuda, or auto: cuda where there is one.
        overwrite: replace an earlier segmentation in `out`.
        reading: how the file is to be taken.
        lines: how peaks are found and named.
    """
    own = {name: value for name, value in locals().items() if name not in ("reading", "lines", "overwrite")}
    settings = own | asdict(reading) | asdict(lines)
    lines.check()
    folder = Path(out) if out is not None else Path(f"{Path(cube).stem}-{method}")
    if not Path(cube).is_file():
        raise UserError(f"{cube}: no such file")
    # Only now: they take seconds to import, which neither --help nor a mistyped name should cost.
    from deepspec.reporting.outputs import parse_exports
    from deepspec.reporting.segmentation_folder import (
        check_segmentation_folder,
        print_segmentation,
        save_segmentation_folder,
    )

    exports = parse_exports(export, Path(cube), None)
    check_segmentation_folder(folder, redshift, overwrite=overwrite)
    from deepspec.baselines import BaselineOptions, segment_by_baseline
    from deepspec.files import claimed_folder
    from deepspec.progress import progress_bars
    from deepspec.segmentation.model import choose_device

    opened = reading.open(cube, mask)
    chosen = BaselineOptions(
        components=components,
        preprocess=preprocess,
        image=image,
        resample=resample,
        neighbours=neighbours,
        min_dist=min_dist,
        sample=sample,
        seed=seed,
    )
    with opened, claimed_folder(folder):
        with progress_bars() as show:
            segmentation = segment_by_baseline(
                opened, method, chosen, k=k, restarts=restarts, device=choose_device(device), progress=show
            )
        segmentation = save_segmentation_folder(
            segmentation,
            folder,
            exports=exports,
            scale=scale,
            redshift=redshift,
            dataset=reading.dataset,
            options=settings,
            lines=lines,
            calibratable=reading.channels is None,
        )
    print_segmentation(segmentation, folder)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line, whose first word may be the method."""
    words = list(sys.argv[1:] if args is None else args)
    if words and not words[0].startswith("-"):
        if words[0] not in METHODS:
            fail(PROG, f"the first word names the method: expected one of {', '.join(METHODS)}, got '{words[0]}'")
        words = [*words[1:], "--method", words[0]]
    run_command(
        baseline, prog=PROG, positional="cube", args=words, groups={"reading": CubeOptions, "lines": LineOptions}
    )


if __name__ == "__main__":
    main()
