"""Tell a file's format by its first bytes; the extension serves only to word the error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from deepspec.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

_SIGNATURES = {
    b"\x93NUMPY": "NPY",
    b"PK\x03\x04": "NPZ",
    b"SIMPLE  =": "FITS",
    b"MATLAB 5.0": "MATLAB",
    b"\x89PNG": "PNG",
}
_EXTENSIONS = {
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".hdf": "HDF5",
    ".nxs": "HDF5",
    ".npy": "NPY",
    ".npz": "NPZ",
    ".mat": "MATLAB",
    ".fits": "FITS",
    ".fit": "FITS",
    ".png": "PNG",
}
_TEXT = (".txt", ".csv", ".dat")


def file_format(path: Path) -> str:
    """Format of a file: "HDF5", "NPY", "NPZ", "MATLAB" (version 5), "FITS", "PNG" or "text".

    MATLAB 7.3 files are HDF5.

    Raises:
        UserError: if there is no such file, it is empty, or its content is none of these.
    """
    if path.is_dir():
        raise UserError(f"{path}: this is a folder, expected a file")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise UserError(f"{path}: the file is empty")
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if h5py.is_hdf5(path):  # also finds the signature behind a user block, as MATLAB 7.3 writes it
        return "HDF5"
    extension = path.suffix.lower()
    if extension in _TEXT:
        return "text"
    start = f"its content starts with {head!r}"
    if extension == ".gz":
        raise UserError(f"{path}: compressed files are not read: gunzip it first")
    if extension in _EXTENSIONS:
        raise UserError(f"{path}: not a {_EXTENSIONS[extension]} file although its name says so: {start}")
    raise UserError(f"{path}: unknown format, expected HDF5, NPY, NPZ, MATLAB or FITS: {start}")


def is_matlab73(path: Path) -> bool:
    """Whether an HDF5 file was written by MATLAB, which stores every array with its dimensions reversed."""
    with path.open("rb") as file:
        return file.read(10) == b"MATLAB 7.3"
