"""`synthesize nebulae`: shards of nebular spectra, and cubes of fields."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from deepspec.data.shards.writer import SPLITS, check_output
from deepspec.errors import UserError
from deepspec.synthetic.console import contents, plain, say
from deepspec.synthetic.cube_files import write_nebular_cube, write_nebular_preview
from deepspec.synthetic.degradation import psnr
from deepspec.synthetic.muse import Binning  # noqa: TC001  # jsonargparse resolves the hints
from deepspec.synthetic.nebula_image import list_nebulae, load_nebula
from deepspec.synthetic.nebulae import Variety, nebular_cube
from deepspec.synthetic.nebular_models import CLASSES
from deepspec.synthetic.nebular_shards import write_nebular_shards
from deepspec.synthetic.nebular_spectra import Observation


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
        k_range: fewest and most colour clusters, with a threshold.
        seed: seed of the first image; the n-th image, counted from 0, has seed + n.
        overwrite: replace the spectra in DIR/shards.
    """
    if min(spectra) < 0:
        raise UserError(f"spectra={plain(spectra)}: expected 0 or more of each split")
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
            attributes = {key: plain(value) for key, value in {**given, **measured}.items()}
            write_nebular_cube(folder / f"{name}.h5", cube, attributes)
            write_nebular_preview(folder / f"{name}.png", cube)
            shares = np.bincount(cube.labels.ravel(), minlength=len(CLASSES)) / cube.labels.size
            named = ", ".join(f"{share:.0%} {label}" for share, label in zip(shares, CLASSES, strict=True))
            say(progress, f"wrote {folder / name}.h5 and .png: {cube.axis}, {named}")
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
            say(progress, f"wrote {folder / 'shards'} and truth.h5: {contents(shards)}")
