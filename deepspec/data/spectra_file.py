"""Files of spectra without an image, as the method's authors keep them: rows (N, C) under one or several names.

    HDF5   /<name>/hist (N, C), and /<name>/pixel (N, 2) or (N,): where in a cube each came from
    .pt    `torch.save` of a tensor (N, C), or of a dict, list or tuple of tensors; `hist` and `pixel` as above

Each name becomes an "image" of N x 1 pixels, so that whatever takes cubes takes these. Shapes: N rows, C channels.
"""

from __future__ import annotations

import zipfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.data.archive_check import DAMAGE, check_archive
from deepspec.data.axis_choice import choose_axis
from deepspec.data.cube import SpectralCube
from deepspec.data.hdf5_file import check_stored, read_hdf5
from deepspec.data.layout import Layout, UnfoldedPixels
from deepspec.data.pixels import parse_channels
from deepspec.data.readers.stored import Stored, reading
from deepspec.errors import UserError
from deepspec.notes import note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray

_SPECTRA, _PLACES = "hist", "pixel"


@dataclass(eq=False)
class SpectraTable(SpectralCube):
    """Rows of spectra, shown as a cube of N x 1 pixels.

    Attributes:
        name: under which the rows lie in the file.
        places: (N, 2) int32, row and column y, x in the cube that each spectrum came from; None if not known.
    """

    name: str = ""
    places: NDArray[np.int32] | None = None


def open_spectra(
    path: Path,
    *,
    dataset: str | None = None,
    channels: str | None = None,
    axis: str | None = None,
    calibrate: str | None = None,
) -> list[SpectraTable] | None:
    """Open the tables of spectra in a file.

    Args:
        path: the file.
        dataset: the name of one of them; default all.
        channels: ranges of channels to keep, such as "0:107,113:153".
        axis: `FIRST:LAST:UNIT`, `FILE:UNIT` or `channel`; default channel numbers.
        calibrate: instead of `axis`, two X-ray lines and their channels, see `read_cube`.

    Returns:
        One table for each name, in the order of the file; None if the file has not the layout of spectra without an
        image. Closing any of them closes the file.

    Raises:
        UserError: if a `.pt` file is damaged or holds no spectra, or an option does not fit.
    """
    if not path.is_file():
        return None
    if h5py.is_hdf5(path):
        found = _from_hdf5(path, dataset)
    elif _is_torch(path):
        found = _from_torch(path, dataset)
    else:
        return None
    if found is None:
        return None
    arrays, close = found
    try:
        tables = []
        for name, (spectra, places) in arrays.items():
            rows, width = spectra.shape
            if not rows or not width or np.dtype(spectra.dtype).kind not in "iuf":
                raise UserError(f"{path}: expected numbers (N, C) in '{name}', got {spectra.dtype} ({rows}, {width})")
            whole, _ = choose_axis(Stored([spectra], f"{path}:{name}"), axis, width, calibrate)
            kept = None if channels is None else parse_channels(channels, width)
            table = SpectraTable(
                [UnfoldedPixels(spectra, 0, (rows, 1))],
                Layout(0, 1, 2),
                whole if kept is None else SpectralAxis(whole.values[kept], whole.unit),
                np.ones((rows, 1), dtype=bool),
                path=path,
                channels=kept,
                close_file=close,
                name=name,
                places=None if places is None else _read_places(f"{path}:{name}", places, rows),
            )
            tables.append(table)
    except BaseException:
        close()
        raise
    return tables


_Parts = tuple["StoredArray", "StoredArray | None"]
"""Spectra (N, C), and where they came from."""


def _read_places(name: str, stored: StoredArray, rows: int) -> NDArray[np.int32] | None:
    """Rows and columns; a single number per spectrum, the authors' pixel id, is taken as the column of one long row."""
    shape = tuple(stored.shape)
    if np.dtype(stored.dtype).kind not in "iu" or shape not in ((rows,), (rows, 1), (rows, 2)):
        note(
            f"{name}: '{_PLACES}' {stored.dtype} {shape} is not used: expected integers ({rows}, 2), y and x, "
            f"or ({rows},)"
        )
        return None
    places = np.asarray(stored[tuple(slice(None) for _ in shape)]).reshape(rows, -1)
    return np.pad(places, ((0, 0), (2 - places.shape[1], 0))).astype(np.int32)


def _from_hdf5(path: Path, dataset: str | None) -> tuple[dict[str, _Parts], Callable[[], None]] | None:
    with reading(path, "an HDF5 file"):
        file = read_hdf5(path, locking=False)
        try:
            groups = {name: item for name, item in file.items() if isinstance(item, h5py.Group)} | {"": file}
            if dataset is not None and dataset in groups:
                groups = {dataset: groups[dataset]}
            tables = _tables(path, groups)
        except BaseException:
            file.close()
            raise
    # A name that is not among them is that of a cube, which another reader knows.
    if not tables or (dataset is not None and dataset not in tables):
        file.close()
        return None
    return tables if dataset is None else {dataset: tables[dataset]}, file.close


def _tables(path: Path, groups: Mapping[str, h5py.Group]) -> dict[str, _Parts]:
    """The spectra and places in each group that has spectra.

    Raises:
        UserError: one of several is damaged: it must not be left out without a word.
    """
    parts = {
        name: {part: group[part] for part in (_SPECTRA, _PLACES) if part in group} for name, group in groups.items()
    }
    if not any(isinstance(h := found.get(_SPECTRA), h5py.Dataset) and h.ndim == 2 for found in parts.values()):
        return {}
    tables: dict[str, _Parts] = {}
    for name, found in parts.items():
        if not found or (name == "" and _SPECTRA not in found):
            continue
        for part in (_SPECTRA, _PLACES):
            item = found.get(part)
            wrong = item is not None and not isinstance(item, h5py.Dataset)
            if wrong or (part == _SPECTRA and (item is None or item.ndim != 2)):
                said = "missing" if item is None else f"a {type(item).__name__.lower()}" if wrong else f"{item.shape}"
                expected = "(N, C)" if part == _SPECTRA else "(N, 2)"
                raise UserError(
                    f"{path}: damaged, or no table of spectra: expected an array {expected} in "
                    f"'{f'{name}/{part}'.strip('/')}', which is {said}; --dataset NAME takes one table alone"
                )
            if item is not None:
                check_stored(item)
        tables[name] = (found[_SPECTRA], found.get(_PLACES))
    return tables


def _is_torch(path: Path) -> bool:
    """Whether `torch.save` wrote a file: an archive with `data.pkl`, or a bare pickle of before torch 1.6."""
    if zipfile.is_zipfile(path):
        with suppress(*DAMAGE), zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    return path.suffix.lower() in (".pt", ".pth")


def _from_torch(path: Path, dataset: str | None) -> tuple[dict[str, _Parts], Callable[[], None]]:
    import torch

    if zipfile.is_zipfile(path):
        check_archive(path)
    try:
        # Mapped into memory: rows are read from the file as they are asked for.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises half a dozen types on a file that is damaged or holds code
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{path}: expected tensors written by torch.save, got what cannot be read: {reason[0]}"
        ) from error
    named = _named_tensors(content)
    places = None
    if _SPECTRA in named:
        named, places = {_SPECTRA: named[_SPECTRA]}, named.get(_PLACES)
    tables = {name: tensor for name, tensor in named.items() if tensor.ndim == 2}
    if not tables or (dataset is not None and dataset not in tables):
        listed = ", ".join(f"'{name}' {tuple(t.shape)}" for name, t in named.items()) or "none"
        wanted = f"'{dataset}'" if dataset is not None else "spectra, a tensor (N, C)"
        raise UserError(f"{path}: expected {wanted}; tensors found: {listed}")
    return {
        name: (_array(tensor), None if places is None else _array(places))
        for name, tensor in tables.items()
        if dataset in (None, name)
    }, lambda: None


def _named_tensors(content: Any) -> dict[str, Any]:
    """The tensors in what `torch.save` wrote, by key or number; one bare tensor has the empty name."""
    import torch

    items: Mapping[Any, Any] = (
        content
        if isinstance(content, dict)
        else dict(enumerate(content))
        if isinstance(content, (list, tuple))
        else {"": content}
    )
    return {str(name): tensor for name, tensor in items.items() if isinstance(tensor, torch.Tensor)}


def _array(tensor: Any) -> NDArray[Any]:
    """A tensor's values without a copy, unless NumPy has no such type."""
    import torch

    dense = tensor.detach()
    return np.asarray((dense.float() if dense.dtype == torch.bfloat16 else dense).numpy())
