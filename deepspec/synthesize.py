"""Make synthetic datacubes with known ground truth: `python -m deepspec.synthesize KIND IMAGE... --out DIR`.

Kinds: `xrf`, MA-XRF scans; `nebulae`, spectra for training and cubes of an astronomical field; `degrade`, cubes with
noise added.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from rich.progress import Progress

from deepspec.command import fail, run_command
from deepspec.data.cube import read_cube
from deepspec.data.shard_writer import SPLITS, check_output
from deepspec.errors import UserError
from deepspec.synthetic.degradation import LEVELS, degrade, psnr
from deepspec.synthetic.images import list_images, load_image, miniature_number
from deepspec.synthetic.miniature import miniature_palette
from deepspec.synthetic.mixture import Weighting  # noqa: TC001  # jsonargparse resolves the hints
from deepspec.synthetic.muse import Binning  # noqa: TC001
from deepspec.synthetic.nebula_image import list_nebulae, load_nebula
from deepspec.synthetic.nebulae import Variety, nebular_cube
from deepspec.synthetic.nebular_files import write_degraded, write_nebular_cube, write_nebular_preview
from deepspec.synthetic.nebular_models import CLASSES
from deepspec.synthetic.nebular_shards import write_nebular_shards
from deepspec.synthetic.nebular_spectra import Observation
from deepspec.synthetic.rgb_clusters import ColourSpace  # noqa: TC001
from deepspec.synthetic.scan_file import write_preview, write_scan
from deepspec.synthetic.xrf import Counts, Mode, xrf_cube

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube
    from deepspec.data.manifest import ShardSet
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


def nebulae(
    images: list[str],
    *,
    out: str,
    spectra: tuple[int, int, int] = (161_001, 46_001, 30_001),
    size: int = 128,
    binning: Binning = "full",
    bins: int = 1024,
    velocity: tuple[float, float] = (-179.0, 25.0),
    reddening: tuple[float, float] = (0.0, 0.3),
    snr: tuple[float, float] = (5.0, 200.0),
    continuum: tuple[float, float] = (0.0, 0.0),
    instances: tuple[int, int] = (5, 10),
    cube_snr: float = 46.0,
    amplitude: float = 0.3,
    variety: Variety = "class",
    threshold: float | None = None,
    k_range: tuple[int, int] = (3, 10),
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Make MUSE-like spectra of HII regions, planetary nebulae and shocks as shards, and a cube of each image.

    DIR/shards holds the spectra with their classes as labels, DIR/truth.h5 what each was made from, DIR/NAME.h5 a
    cube with its label map, DIR/NAME.png a picture of it.

    Args:
        images: nebula:N (a drawn field), image files or folders of images in red (HII regions), green (planetary
            nebulae), blue (shocks) and black; or preset:paper, which is nebula:0 called test_cube.
        out: folder for the results, made if need be.
        spectra: number of spectra to train, validate and test with; the paper's by default, 0 0 0 makes cubes only.
        size: side of drawn fields in pixels; longest side of images, larger ones are reduced.
        binning: full (all 3681 pixels of 1.25 angstrom put into equal bins), paper (pairs of the first 2048, as the
            published code does) or pixels.
        bins: number of channels, except with binning pixels.
        velocity: mean and standard deviation in km/s; 0 0 is at rest.
        reddening: least and greatest colour excess E(B-V).
        snr: least and greatest height of H alpha over the noise, in spectra.
        continuum: least and greatest flat continuum as a share of H alpha's height, in spectra.
        instances: fewest and most spectra of one mixture of two models.
        cube_snr: mean height of H alpha over the noise, in cubes.
        amplitude: spread of the pixels' brightness in cubes, standard deviation of its logarithm.
        variety: class (all pixels of a class show its mean spectrum, as in the paper) or region (each connected
            region has a spectrum of its own).
        threshold: mix classes by similarity of colour as ganX does, for example 0.2 as in the paper; default: pure.
        k_range: least and greatest number of colour clusters, with a threshold.
        seed: of the spectra and of the first cube; the n-th has seed + n, counted from 0.
        overwrite: replace the spectra in DIR/shards.
    """
    if min(spectra) < 0:
        raise UserError(f"spectra={_plain(spectra)}: expected 0 or more of each split")
    observation = Observation(binning, bins, velocity, reddening, snr, continuum, instances)
    settings: dict[str, Any] = {
        "snr": cube_snr,
        "amplitude": amplitude,
        "variety": variety,
        "threshold": threshold,
        "k_range": k_range,
    }
    sources, folder = list_nebulae(images), Path(out)
    if any(spectra):
        check_output(folder / "shards", overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(transient=True, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("cubes", total=len(sources))
        for position, (name, source) in enumerate(sources.items()):
            rgb, labels = load_nebula(source, size)
            cube = nebular_cube(rgb, labels=labels, observation=observation, seed=seed + position, **settings)
            given = {"generator": "deepspec synthesize nebulae", "source": source, "size": size}
            given |= {**asdict(observation), **settings, "seed": seed + position}
            measured = {"psnr": psnr(cube.clean, cube.data)}
            attributes = {key: _plain(value) for key, value in {**given, **measured}.items()}
            write_nebular_cube(folder / f"{name}.h5", cube, attributes)
            write_nebular_preview(folder / f"{name}.png", cube)
            shares = np.bincount(cube.labels.ravel(), minlength=len(CLASSES)) / cube.labels.size
            named = ", ".join(f"{share:.0%} {label}" for share, label in zip(shares, CLASSES, strict=True))
            _say(progress, f"wrote {folder / name}.h5 and .png: {cube.axis}, {named}")
            progress.advance(task)
        if any(spectra):
            counts = dict(zip(SPLITS, spectra, strict=True))
            tasks = {step: progress.add_task(f"spectra {step}", total=sum(spectra)) for step in ("made", "written")}
            shards = write_nebular_shards(
                folder / "shards",
                counts,
                observation,
                folder / "truth.h5",
                seed=seed,
                overwrite=overwrite,
                progress=lambda step, n: progress.advance(tasks[step], n),
            )
            _say(progress, f"wrote {folder / 'shards'} and truth.h5: {_contents(shards)}")


def degrade_cubes(
    cubes: list[str],
    *,
    out: str,
    levels: list[float] = list(LEVELS),  # noqa: B006  # never changed; a tuple's length would be fixed
    clean: str | None = None,
    seed: int = 0,
) -> None:
    """Add noise to cubes until their peak signal-to-noise ratio has fallen by given shares.

    DIR/NAME-LEVEL.h5 is the cube at each level; the noise is the same at all of them, scaled.

    Args:
        cubes: files with a cube each, as `synthesize nebulae` writes them; others need --clean.
        out: folder for the results, made if need be.
        levels: shares by which the ratio in decibel falls, as a list: --levels 0 0.21 0.33, or --levels [0.21].
        clean: the cube without noise, FILE or FILE:DATASET; default the dataset `clean` of each file.
        seed: of the noise.
    """
    folder = Path(out)
    with Progress(transient=True, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("degrading", total=len(cubes) * len(levels))
        for path in cubes:
            with _open_clean(path, clean) as without, read_cube(path) as cube:
                observed, truth = (c.read_rows(0, c.shape[0]) for c in (cube, without))
            for level in levels:
                degraded = degrade(observed, truth, level, seed=seed)
                folder.mkdir(parents=True, exist_ok=True)
                target = folder / f"{Path(path).stem}-{level:g}.h5"
                given: dict[str, str | int | float]
                given = {"generator": "deepspec synthesize degrade", "source": path, "seed": seed}
                write_degraded(target, degraded, cube.axis, _labels(path), given)
                _say(
                    progress,
                    f"wrote {target}: degradation {degraded.achieved:.4f}, PSNR {degraded.psnr:.2f} of "
                    f"{degraded.psnr_before:.2f} dB, noise of {degraded.added_sd:.4g} added",
                )
                progress.advance(task)


def _open_clean(path: str, clean: str | None) -> SpectralCube:
    """The cube without noise that belongs to the one in `path`."""
    if clean is None:
        try:
            return read_cube(path, dataset="clean")
        except UserError as error:
            raise UserError(f"{error}; noise is measured by a cube without any: give --clean FILE:DATASET") from None
    file, _, dataset = (clean, "", "") if Path(clean).is_file() else clean.rpartition(":")
    return read_cube(file, dataset=dataset or None)


def _labels(path: str) -> NDArray[Any] | None:
    """Label map in a cube's file, if there is one."""
    with contextlib.suppress(OSError), h5py.File(path, locking=False) as file:
        return np.asarray(file["label"]) if "label" in file else None
    return None


def _contents(shards: ShardSet) -> str:
    rows = ", ".join(f"{shards.rows(split)} {split}" for split in shards.splits)
    size = sum(entry.bytes for split in shards.splits for entry in shards.entries(split))
    return f"{rows} spectra, {shards.axis}, {size / 1e6:.0f} MB"


def _say(progress: Progress, text: str) -> None:
    progress.console.print(text, soft_wrap=True, highlight=False)


# Kind -> its function and what it is given without a flag.
KINDS: dict[str, tuple[Callable[..., None], str]] = {
    "xrf": (xrf, "images"),
    "nebulae": (nebulae, "images"),
    "degrade": (degrade_cubes, "cubes"),
}


def main(args: Sequence[str] | None = None) -> None:
    """Make one kind of data; the first word of the command line names it."""
    words = list(sys.argv[1:] if args is None else args)
    valid = ", ".join(KINDS)
    if words[:1] in (["-h"], ["--help"]):
        print(f"usage: {PROG} KIND FILE... --out DIR\n\nKIND: {valid}; `{PROG} KIND --help` lists its options")
        return
    if not words or words[0] not in KINDS:
        found = f"got '{words[0]}'" if words else "got nothing"
        fail(PROG, f"the first word names what to synthesize: expected {valid}, {found}")
    function, positional = KINDS[words[0]]
    run_command(function, prog=f"{PROG} {words[0]}", positional=positional, many=True, args=words[1:])


if __name__ == "__main__":
    main()
