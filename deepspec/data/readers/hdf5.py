"""HDF5: deepspec's own files, NeXus, APS MAPS with one dataset per detector, or a dataset at any path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import hdf5plugin  # noqa: F401  (registers the compression filters that other programs use)
import numpy as np

from deepspec.data.cube_file import MARK, TRAINING, VERSION
from deepspec.data.hdf5_file import read_hdf5
from deepspec.data.readers.hdf5_axes import Described, hyperspy_axes, nexus_data
from deepspec.data.readers.signature import is_matlab73
from deepspec.data.readers.stored import AXIS_NAMES, AxisCandidate, Stored, check_dims, choose_key, reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CHUNK_CACHE = 64 * 2**20  # bytes; a row of chunks of a channel-first cube stays decompressed while it is read


def open_hdf5(path: Path, dataset: str | None, dims: Sequence[int]) -> Stored:
    """Open a cube in an HDF5 file.

    Args:
        path: the file.
        dataset: path of a dataset, of a NeXus NXdata group, or of a group whose largest 3-D datasets of one shape
            are the detectors; default `MAPS_RAW` if present, else what NeXus names, else the dataset with a usual
            name or the largest.
        dims: numbers of dimensions that the dataset may have.

    Raises:
        UserError: if the file is damaged or holds no such dataset.
    """
    with reading(path, "HDF5"):
        file = read_hdf5(path, locking=False, rdcc_nbytes=_CHUNK_CACHE)
    try:
        with reading(path, "HDF5"):
            return _open(path, file, dataset, dims)
    except UserError:
        file.close()
        raise


def _open(path: Path, file: h5py.File, dataset: str | None, dims: Sequence[int]) -> Stored:
    if MARK in file.attrs and dataset in (None, "img", "/img"):
        return _open_own(path, file, dims)
    found: dict[str, h5py.Dataset] = {}

    def collect(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iufb" and item.ndim > 0:
            found[name] = item

    file.visititems(collect)
    maps = dataset is None and isinstance(file.get("MAPS_RAW"), h5py.Group)
    place = "MAPS_RAW" if maps else None if dataset is None else dataset.strip("/")
    notes: list[str] = []
    described = None if maps else _described(path, file, place, dims, notes)
    if described is not None:
        arrays, place = [described.array], described.array.name.strip("/")
    elif place is not None and isinstance(file.get(place), h5py.Group):
        arrays = _detectors(path, place, found, dims)
        notes.append(f"took the datasets {', '.join(a.name for a in arrays)} as {len(arrays)} detectors")
    else:
        place, notes = choose_key(path, {name: item.shape for name, item in found.items()}, place, dims)
        arrays = [found[place]]
        described = hyperspy_axes(arrays[0])
    reversed_dims = is_matlab73(path)
    channel_first = place.startswith(("MAPS_RAW", "MAPS/mca_arr")) or (reversed_dims and arrays[0].ndim == 3)
    by_name = _axes(found)
    return Stored(
        arrays=arrays,
        name=f"{path}:{place}",
        spectral_dim=0 if channel_first else None if described is None else described.spectral_dim,
        rows_last=reversed_dims or (described is not None and described.rows_last),
        axes=by_name if described is None else described.axes + by_name,
        metadata={**_attributes(file), **_attributes(arrays[0])},
        notes=notes,
        close=file.close,
    )


def _open_own(path: Path, file: h5py.File, dims: Sequence[int]) -> Stored:
    """Open what deepspec wrote itself, in which nothing has to be guessed."""
    if file.attrs[MARK] != VERSION:
        raise UserError(f"{path}: cube of version {file.attrs[MARK]}, this deepspec reads version {VERSION}")
    image, axis = file["img"], file["axis"]
    check_dims(path, "img", image.shape, dims)
    mask = file.get("mask")
    training = mask is not None and mask.attrs.get("use") == TRAINING
    valid = None if mask is None else np.asarray(mask[()])
    return Stored(
        arrays=[image],
        name=f"{path}:img",
        spectral_dim=2,
        axes=[AxisCandidate("axis", np.asarray(axis[()], dtype=np.float64), str(axis.attrs["unit"]))],
        mask=None if training else valid,
        training=valid if training else None,
        metadata={key: value for key, value in _attributes(file).items() if key != MARK},
        close=file.close,
    )


def _described(
    path: Path, file: h5py.File, place: str | None, dims: Sequence[int], notes: list[str]
) -> Described | None:
    """The array of a NXdata group: the one whose group or array is named, else the file's default or its largest."""
    groups = nexus_data(file)
    if place is not None:
        return next((d for name, d in groups.items() if place in (name, d.array.name.strip("/"))), None)
    fitting = {name: d for name, d in groups.items() if d.array.ndim in dims and d.array.size > 0}
    if not fitting:
        return None
    first = next(iter(groups))
    chosen = first if first in fitting else max(fitting, key=lambda name: int(fitting[name].array.size))
    if len(fitting) > 1:
        others = ", ".join(name for name in fitting if name != chosen)
        notes.append(f"took '{chosen}' {fitting[chosen].array.shape} (others: {others}); choose with dataset=NAME")
    return fitting[chosen]


def _detectors(path: Path, group: str, found: dict[str, h5py.Dataset], dims: Sequence[int]) -> list[h5py.Dataset]:
    children = [d for name, d in found.items() if name.rpartition("/")[0] == group and d.ndim == 3]
    if not children:
        raise UserError(f"{path}: the group '{group}' has no 3-D dataset")
    largest = max(children, key=lambda d: int(d.size))
    check_dims(path, largest.name, largest.shape, dims)
    return [d for d in children if d.shape == largest.shape]


def _axes(found: dict[str, h5py.Dataset]) -> list[AxisCandidate]:
    candidates = []
    for name, item in found.items():
        leaf = name.rsplit("/", 1)[-1].lower()
        if leaf in AXIS_NAMES and max(item.shape) == item.size:
            unit = _attributes(item).get("unit", _attributes(item).get("units"))
            values = np.asarray(item[()], dtype=np.float64).ravel()
            candidates.append(AxisCandidate(name, values, None if unit is None else str(unit)))
    return candidates


def _attributes(item: h5py.HLObject) -> dict[str, str | int | float]:
    """Attributes that are one text or number; others (references, tables) are left out."""
    plain: dict[str, str | int | float] = {}
    for key, raw in item.attrs.items():
        value: Any = raw.item() if isinstance(raw, (np.ndarray, np.generic)) and raw.size == 1 else raw
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, (str, int, float)):
            plain[key] = value
    return plain
