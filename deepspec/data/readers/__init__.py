"""One file per format; `open_stored` picks the reader by the file's first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.data.readers.signature import file_format
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepspec.data.readers.stored import Stored


def open_stored(path: Path, dataset: str | None, dims: Sequence[int]) -> Stored:
    """Open the array named `dataset` (default: guessed) of a file, with one of `dims` numbers of dimensions.

    Raises:
        UserError: if the file is missing, damaged, of an unknown format, or has no such array.
    """
    # Each library is imported when its format is met: astropy alone takes half a second.
    kind = file_format(path)
    if kind == "HDF5":
        from deepspec.data.readers.hdf5 import open_hdf5

        return open_hdf5(path, dataset, dims)
    if kind == "MATLAB":
        from deepspec.data.readers.matlab import open_matlab

        return open_matlab(path, dataset, dims)
    if kind == "FITS":
        from deepspec.data.readers.fits import open_fits

        return open_fits(path, dataset, dims)
    if kind not in ("NPY", "NPZ"):
        raise UserError(f"{path}: a {kind} file holds no cube, expected HDF5, NPY, NPZ, MATLAB or FITS")
    from deepspec.data.readers.numpy_files import open_npy, open_npz

    return open_npy(path, dims) if kind == "NPY" else open_npz(path, dataset, dims)
