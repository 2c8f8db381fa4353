"""`synthesize xrf`: MA-XRF scans of images, and shards of them."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import Progress

from deepspec.data.cube import read_cube
from deepspec.data.ingestion import By, IngestPlan, ingest_cubes
from deepspec.data.shards.writer import check_output
from deepspec.errors import UserError
from deepspec.synthetic.console import contents, plain, say
from deepspec.synthetic.cube_files import write_preview, write_scan
from deepspec.synthetic.images import list_images, load_image, miniature_number
from deepspec.synthetic.miniature import miniature_palette
from deepspec.synthetic.mixture import Weighting  # noqa: TC001  # jsonargparse resolves the hints
from deepspec.synthetic.rgb_clusters import ColourSpace  # noqa: TC001
from deepspec.synthetic.xrf import Counts, Mode, xrf_cube

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.synthetic.xrf import SyntheticScan


def xrf(
    images: list[str],
    *,
    out: str,
    size: int | None = None,
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
    keep: float | None = None,
    shards: bool | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Make an MA-XRF scan of each image, written as DIR/NAME.h5 with a picture DIR/NAME.png, and shards if asked.

    Args:
        images: image files, folders of images, sklearn:china, sklearn:flower, miniature:N, or preset:paper: 17
            miniatures, train_00 to test_01, with --size 512, --keep 0.2 and --shards unless these are given.
        out: folder for the results, made if need be.
        size: longest side in pixels, 256 by default; larger images are reduced.
        channels: 512 or 1024 over 0.5 to 38.5 keV.
        palette: number of a historical palette, 1 to 7, or [names, of, pigments]; default: each image takes the
            next of the seven, and miniature:N the one it is painted with.
        counts: poisson, fixed (exactly mean_counts in each pixel) or absolute (with the pigments' own brightness).
        mean_counts: photons per pixel.
        threshold: least similarity of colour, 0 to 1, that a pigment must have to enter a mixture; 0.6 is a delta-E of
            40.
        weighting: linear (the paper: many pigments of nearly equal share) or softmin (the nearest dominate).
        top_k: most pigments in one mixture.
        k_range: fewest and most clusters that the colours of the picture are divided into; the silhouette decides.
        colour_space: space in which the image's colours are clustered.
        mode: clusters (one mixture per cluster, as in the paper) or pixels (one per pixel).
        fwhm_ev: range of the detector resolution at Mn Ka, drawn for each scan, in eV.
        vary_parchment: whether to draw the parchment's composition for each scan.
        keep: share of the pixels that the dataset `mask` marks for training; 1, the default, writes no mask.
        shards: whether to write the spectra of all scans to DIR/shards as well, split as `ingest` does: by blocks
            of each image; those of preset:paper by their names.
        seed: seed of the first image; the n-th image, counted from 0, has seed + n.
        overwrite: replace the spectra in DIR/shards.
    """
    paper = images == ["preset:paper"]
    size = size if size is not None else 512 if paper else 256
    keep = keep if keep is not None else 0.2 if paper else 1.0
    shards = shards if shards is not None else paper
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
    if shards:
        check_output(folder / "shards", overwrite)
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
            attributes = {key: plain(value) for key, value in {**given, **own, **settings}.items()}
            write_scan(folder / f"{name}.h5", scan, attributes, _kept(scan.labels.shape, keep, seed + position))
            write_preview(folder / f"{name}.png", scan)
            say(progress, f"wrote {folder / name}.h5 and .png: {_summary(scan)}")
            progress.advance(task)
        if shards:
            by: By = "name" if paper else "block"
            scans = [folder / f"{name}.h5" for name in sources]
            _write_shards(scans, folder / "shards", IngestPlan(by=by, seed=seed), progress, overwrite)


def _write_shards(scans: list[Path], folder: Path, plan: IngestPlan, progress: Progress, overwrite: bool) -> None:
    with ExitStack() as files:
        cubes = [files.enter_context(read_cube(scan, training=True)) for scan in scans]
        pixels = sum(cube.mask.size for cube in cubes)
        tasks = {step: progress.add_task(f"spectra {step}", total=pixels) for step in ("read", "write")}
        found = ingest_cubes(
            cubes, folder, plan, overwrite=overwrite, progress=lambda step, n: progress.advance(tasks[step], n)
        )
    say(progress, f"wrote {folder}: {contents(found)}")


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


def _summary(scan: SyntheticScan) -> str:
    height, width, channels = scan.counts.shape
    return (
        f"{height} x {width} pixels, {channels} channels, {len(scan.weights)} clusters of {len(scan.pigments)} pigments"
    )
