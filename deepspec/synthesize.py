"""Make synthetic datacubes with known ground truth: `python -m deepspec.synthesize xrf IMAGE... --out DIR`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import Progress

from deepspec.command import fail, run_command
from deepspec.errors import UserError
from deepspec.synthetic.images import list_images, load_image, miniature_number
from deepspec.synthetic.miniature import miniature_palette
from deepspec.synthetic.mixture import Weighting  # noqa: TC001  # jsonargparse resolves the hints
from deepspec.synthetic.rgb_clusters import ColourSpace  # noqa: TC001
from deepspec.synthetic.scan_file import write_preview, write_scan
from deepspec.synthetic.xrf import Counts, Mode, xrf_cube

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepspec.synthetic.xrf import SyntheticScan

PROG = "python -m deepspec.synthesize"


def xrf(
    images: list[str],
    *,
    out: str,
    size: int = 256,
    channels: int = 512,
    palette: int | list[str] | None = None,
    counts: Counts = "poisson",
    mean_counts: float = 400.0,
    threshold: float = 0.6,
    weighting: Weighting = "linear",
    top_k: int | None = None,
    k_range: tuple[int, int] = (3, 10),
    colour_space: ColourSpace = "rgb",
    mode: Mode = "clusters",
    fwhm_ev: tuple[float, float] = (130.0, 150.0),
    vary_parchment: bool = True,
    keep: float = 1.0,
    seed: int = 0,
) -> None:
    """Make an MA-XRF scan of each image, written as DIR/NAME.h5 with a picture DIR/NAME.png.

    Args:
        images: image files, folders of images, sklearn:china, sklearn:flower, miniature:N, or preset:paper (17
            miniatures, train_00 to test_01; the paper's are scanned at --size 512 --keep 0.2).
        out: folder for the results, made if need be.
        size: longest side in pixels; larger images are reduced.
        channels: 512 or 1024 over 0.5 to 38.5 keV.
        palette: number of a historical palette, 1 to 7, or [names, of, pigments]; default: each image takes the
            next of the seven, and miniature:N the one it is painted with.
        counts: poisson, fixed (exactly mean_counts in each pixel) or absolute (with the pigments' own brightness).
        mean_counts: photons per pixel.
        threshold: least colour similarity of a pigment, 0.6 for delta-E up to 40.
        weighting: linear (the paper: many pigments of nearly equal share) or softmin (the nearest dominate).
        top_k: most pigments in one mixture.
        k_range: least and greatest number of colour clusters.
        colour_space: space in which the image's colours are clustered.
        mode: clusters (one mixture per cluster, as in the paper) or pixels (one per pixel).
        fwhm_ev: range of the detector resolution at Mn Ka, drawn for each scan, in eV.
        vary_parchment: whether to draw the parchment's composition for each scan.
        keep: share of the pixels that the dataset `mask` marks for training; 1 writes no mask.
        seed: of the first image; the n-th has seed + n, counted from 0.
    """
    if not 0.0 < keep <= 1.0:
        raise UserError(f"keep={keep}: expected a share above 0, at most 1")
    settings: dict[str, Any] = {
        "channels": channels,
        "counts": counts,
        "mean_counts": mean_counts,
        "threshold": threshold,
        "weighting": weighting,
        "top_k": top_k,
        "k_range": k_range,
        "colour_space": colour_space,
        "mode": mode,
        "fwhm_ev": fwhm_ev,
        "vary_parchment": vary_parchment,
    }
    sources = list_images(images)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(transient=True, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("synthesizing", total=len(sources))
        for position, (name, source) in enumerate(sources.items()):
            chosen = _palette_in_turn(source, position) if palette is None else palette
            own: dict[str, Any] = {"palette": chosen, "seed": seed + position}
            try:
                scan = xrf_cube(load_image(source, size), **own, **settings)
            except UserError as error:
                raise UserError(f"{source}: {error}") from None
            given = {"generator": "deepspec synthesize xrf", "source": source, "size": size, "keep": keep}
            attributes = {key: _plain(value) for key, value in {**given, **own, **settings}.items()}
            write_scan(folder / f"{name}.h5", scan, attributes, _kept(scan.labels.shape, keep, seed + position))
            write_preview(folder / f"{name}.png", scan)
            progress.console.print(
                f"wrote {folder / name}.h5 and .png: {_summary(scan)}", soft_wrap=True, highlight=False
            )
            progress.advance(task)


def _palette_in_turn(source: str, position: int) -> int:
    number = miniature_number(source)
    return miniature_palette(position if number is None else number)


def _kept(shape: tuple[int, ...], share: float, seed: int) -> NDArray[np.bool_] | None:
    """Mask of exactly the share of the pixels, rounded down as the paper's 52,428 of 512 x 512."""
    if share == 1.0:
        return None
    pixels = int(np.prod(shape))
    mask = np.zeros(pixels, dtype=bool)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    mask[rng.choice(pixels, max(1, int(share * pixels)), replace=False)] = True
    return mask.reshape(shape)


def _plain(value: Any) -> str | int | float:
    """The value of a setting as HDF5 attributes hold it."""
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return value if isinstance(value, (str, int, float)) else str(value)


def _summary(scan: SyntheticScan) -> str:
    height, width, channels = scan.counts.shape
    return (
        f"{height} x {width} pixels, {channels} channels, {len(scan.weights)} clusters of {len(scan.pigments)} pigments"
    )


KINDS = {"xrf": xrf}


def main(args: Sequence[str] | None = None) -> None:
    """Make one kind of data; the first word of the command line names it."""
    words = list(sys.argv[1:] if args is None else args)
    valid = ", ".join(KINDS)
    if words[:1] in (["-h"], ["--help"]):
        print(f"usage: {PROG} KIND IMAGE... --out DIR\n\nKIND: {valid}; `{PROG} KIND --help` lists its options")
        return
    if not words or words[0] not in KINDS:
        found = f"got '{words[0]}'" if words else "got nothing"
        fail(PROG, f"the first word names what to synthesize: expected {valid}, {found}")
    run_command(KINDS[words[0]], prog=f"{PROG} {words[0]}", positional="images", many=True, args=words[1:])


if __name__ == "__main__":
    main()
