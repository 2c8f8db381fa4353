"""One file per format; `open_stored` picks the reader by the file's content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.data.readers.signature import CUBE_FORMATS, file_format
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
    if kind == "Zarr":
        from deepspec.data.readers.zarr_store import open_zarr

        return open_zarr(path, dataset, dims)
    if kind in ("NPY", "ENVI", "RPL", "EMSA", "EDF", "MCA", "SPE", "folder"):
        if dataset is not None:
            raise UserError(f"{path}: a {kind} file holds one array without a name: leave dataset out")
        return _open_single(kind, path, dims)
    if kind == "HDF5":
        from deepspec.data.readers.hdf5 import open_hdf5

        return open_hdf5(path, dataset, dims)
    if kind == "NPZ":
        from deepspec.data.readers.numpy_files import open_npz

        return open_npz(path, dataset, dims)
    if kind == "MATLAB":
        from deepspec.data.readers.matlab import open_matlab

        return open_matlab(path, dataset, dims)
    if kind == "FITS":
        from deepspec.data.readers.fits import open_fits

        return open_fits(path, dataset, dims)
    if kind == "TIFF":
        from deepspec.data.readers.tiff import open_tiff

        return open_tiff(path, dataset, dims)
    if kind == "RosettaSciIO":
        from deepspec.data.readers.rosetta import open_rosetta

        return open_rosetta(path, dataset, dims)
    raise UserError(f"{path}: a {kind} file holds no cube, expected one of {', '.join(CUBE_FORMATS)}")


def _open_single(kind: str, path: Path, dims: Sequence[int]) -> Stored:
    """Open a file of a format that holds one array."""
    if kind == "ENVI":
        from deepspec.data.readers.envi import open_envi

        return open_envi(path, dims)
    if kind == "RPL":
        from deepspec.data.readers.ripple import open_ripple

        return open_ripple(path, dims)
    if kind == "EMSA":
        from deepspec.data.readers.emsa import open_emsa

        return open_emsa(path, dims)
    if kind == "EDF":
        from deepspec.data.readers.edf import open_edf

        return open_edf([path], path, dims)
    if kind in ("MCA", "SPE"):
        from deepspec.data.readers.spectrum_files import open_spectrum

        return open_spectrum(path, kind, dims)
    if kind == "folder":
        from deepspec.data.readers.cube_folder import open_folder

        return open_folder(path, dims)
    from deepspec.data.readers.numpy_files import open_npy

    return open_npy(path, dims)
