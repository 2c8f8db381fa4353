"""`synthesize degrade`: cubes with noise added."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import Progress

from deepspec.data.cube import read_cube
from deepspec.data.hdf5_file import read_hdf5
from deepspec.errors import UserError
from deepspec.notes import note
from deepspec.synthetic.console import say
from deepspec.synthetic.cube_files import write_degraded
from deepspec.synthetic.degradation import LEVELS, degrade
from deepspec.synthetic.nebular_shards import is_record_of_shards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube


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
    taken = [path for path in cubes if not is_record_of_shards(Path(path))]
    for path in cubes:
        if path not in taken:
            note(f"{path}: skipped: it holds no cube, but what the shards of `synthesize nebulae` were made from")
    if not taken:
        raise UserError("expected cubes, got none")
    cubes = taken
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
                say(
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
            raise UserError(
                f"{error}; the noise is measured against a cube without noise; give it with --clean FILE:DATASET"
            ) from None
    file, _, dataset = (clean, "", "") if Path(clean).is_file() else clean.rpartition(":")
    return read_cube(file, dataset=dataset or None)


def _labels(path: str) -> NDArray[Any] | None:
    """Label map in a cube's file, if there is one."""
    with contextlib.suppress(OSError), read_hdf5(Path(path), locking=False) as file:
        return np.asarray(file["label"]) if "label" in file else None
    return None
