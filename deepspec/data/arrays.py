"""Read a small array (a mask, a label map, an axis) from `FILE` or `FILE:KEY`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.readers.numpy_files import load_member, load_npy, npz_headers
from deepspec.data.readers.signature import file_format, is_matlab73
from deepspec.data.readers.stored import reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Lists the arrays of a file, and loads one of them.
_Contents = tuple[dict[str, tuple[int, ...]], "Callable[[str], NDArray[Any]]"]


def read_array(source: str | Path, what: str) -> NDArray[Any]:
    """Load an array wholly into memory.

    Args:
        source: a NPY, PNG, TIFF or text file, or an NPZ, MATLAB, HDF5 or FITS file, followed by `:KEY` where it holds
            more than one array. Of a colour image the strongest of red, green and blue counts.
        what: what it is for, to word errors ("the mask").

    Raises:
        UserError: if the file or the key does not exist, or the file cannot be read.
    """
    path, key = _split(str(source))
    kind = file_format(path)
    with reading(path, kind):
        if kind == "NPY":
            return load_npy(path)
        if kind in ("PNG", "TIFF"):
            return _read_image(path)
        if kind == "text":
            return np.asarray(np.loadtxt(path, delimiter="," if path.suffix.lower() == ".csv" else None))
        return np.asarray(_read_keyed(path, kind, key, what))


def _split(source: str) -> tuple[Path, str | None]:
    """Separate `FILE:KEY`; a colon that belongs to the file's name is left there."""
    if Path(source).exists() or ":" not in source:
        return Path(source), None
    name, _, key = source.rpartition(":")
    return (Path(name), key) if Path(name).exists() else (Path(source), None)


def _read_image(path: Path) -> NDArray[Any]:
    from deepspec.data.pictures import open_picture

    with open_picture(path) as image:
        if image.mode in ("RGB", "RGBA"):
            return np.asarray(np.asarray(image.convert("RGB")).max(axis=2))
        return np.asarray(image)


def _read_keyed(path: Path, kind: str, key: str | None, what: str) -> NDArray[Any]:
    openers = {"NPZ": _npz, "MATLAB": _matlab, "HDF5": _hdf5, "FITS": _fits}
    if kind not in openers:
        raise UserError(
            f"{path}: {what} is not read from {kind} files: use NPY, PNG, TIFF, text or {', '.join(openers)}"
        )
    shapes, load = openers[kind](path)
    if key is None and len(shapes) == 1:
        key = next(iter(shapes))
    if key is None or key not in shapes:
        listed = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:12]) or "none"
        problem = f"no array '{key}'" if key else f"several arrays, and {what} is one"
        raise UserError(f"{path}: {problem}: write {path.name}:KEY with one of: {listed}")
    return load(key)


def _npz(path: Path) -> _Contents:
    def load(key: str) -> NDArray[Any]:
        with zipfile.ZipFile(path) as archive:
            return np.array(load_member(path, archive, key))

    with zipfile.ZipFile(path) as archive:
        return {name: header.shape for name, header in npz_headers(archive).items()}, load


def _matlab(path: Path) -> _Contents:
    from deepspec.data.readers.matlab import load_whole, matlab_variables

    variables = matlab_variables(path)
    return {name: v.shape for name, v in variables.items()}, lambda key: load_whole(path, key, variables[key])


def _hdf5(path: Path) -> _Contents:
    import h5py
    import hdf5plugin  # noqa: F401  (registers the compression filters)

    from deepspec.data.hdf5_file import read_hdf5, whole

    shapes: dict[str, tuple[int, ...]] = {}

    def collect(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = item.shape

    def load(key: str) -> NDArray[Any]:
        with read_hdf5(path, locking=False) as file:
            array = whole(file[key])
        return array.T if is_matlab73(path) else array

    with read_hdf5(path, locking=False) as file:
        file.visititems(collect)
    return shapes, load


def _fits(path: Path) -> _Contents:
    from astropy.io import fits

    try:
        with fits.open(path) as hdus:
            images = [
                (hdu.name or str(i), hdu) for i, hdu in enumerate(hdus) if hdu.is_image and getattr(hdu, "shape", None)
            ]
            content = {name: np.array(hdu.data) for name, hdu in images}
    except fits.VerifyError as error:
        raise UserError(f"{path}: a header is damaged: {' '.join(str(error).split())}") from error
    return {name: array.shape for name, array in content.items()}, lambda key: content[key]
