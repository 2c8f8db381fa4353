"""The options that every verb has which reads cubes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.data.cube import SpectralCube


@dataclass(frozen=True)
class CubeOptions:
    """How the file is read, for what the file does not state or states wrongly; see `read_cube`.

    Args:
        dataset: name of the array in the file (HDF5 path, NPZ key, MATLAB variable, FITS extension, TIFF stack).
        spectral_dim: which dimension of the stored array is the spectral one, from 0.
        spatial_shape: rows and columns of the image, for files with one row per spectrum.
        order: order of the pixels in a file with one row per spectrum: C along the rows, F along the columns.
        detector: number of the detector to take, or sum.
        detector_dim: which dimension of a 4-D array holds the detectors.
        channels: ranges of channels to keep, such as 0:107,113:153, or all. Without it, channels that the file marks as
            bad are left out, and ingest leaves out those of an XRF scan where the tube's scattered lines begin.
        axis: the spectral axis as FIRST:LAST:UNIT, FILE:UNIT, or the UNIT of the axis found in the file.
        calibrate: instead of axis, X-ray lines and the channels of their peaks, such as Fe-Ka=641,Cu-Ka=806.
    """

    dataset: str | None = None
    spectral_dim: int | None = None
    spatial_shape: tuple[int, int] | None = None
    order: Literal["C", "F"] = "C"
    detector: int | Literal["sum"] = "sum"
    detector_dim: int | None = None
    channels: str | None = None
    axis: str | None = None
    calibrate: str | None = None

    def open(self, path: str, mask: str | None = None, *, training: bool = False) -> SpectralCube:
        """`read_cube` with these options.

        Args:
            path: the file.
            mask: image of valid pixels, FILE or FILE:KEY.
            training: whether to leave out the pixels that the file keeps from training.

        Raises:
            UserError: the file cannot be read as asked.
        """
        from deepspec.data.cube import read_cube  # here: whoever only asks for --help need not wait for h5py

        return read_cube(path, mask=mask, training=training, **asdict(self))


NAME = "{name}"
"""What stands for the name of each of several files in that of another that goes with it, such as its mask."""


def masks_of(mask: str | list[str] | None, cubes: Sequence[str]) -> list[str | None]:
    """The mask of each cube: one of its own, by its name or its place in a list, or the one for all.

    Args:
        mask: as the user gives it; `{name}` in it is the name of the cube's file without its suffix.
        cubes: their files.

    Raises:
        UserError: the number of masks is neither 1 nor the number of cubes.

    >>> masks_of("masks/{name}.png", ["scans/a.h5", "b.npy"])
    ['masks/a.png', 'masks/b.png']
    """
    if isinstance(mask, list) and len(mask) == len(cubes):
        return [*mask]
    if isinstance(mask, list):
        raise UserError(f"{len(mask)} masks for {len(cubes)} cubes: give one for each, or a single one for all")
    return [None if mask is None else mask.replace(NAME, Path(cube).stem) for cube in cubes]
