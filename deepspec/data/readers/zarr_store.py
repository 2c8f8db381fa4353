"""Zarr, versions 2 and 3, as folder or ZIP file: HyperSpy's .zspy, maxrf4u's .datastack, xarray's and plain arrays.

The package `zarr` is imported when such a file is opened; it comes with the extra `formats`.
"""

from __future__ import annotations

import importlib
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.memory import check_memory
from deepspec.data.readers.described import Described, Named, candidate, place_image, roles
from deepspec.data.readers.hyperspy import hyperspy_described
from deepspec.data.readers.stored import AxisCandidate, Stored, axis_unit, choose_key, is_list, reading
from deepspec.data.readers.values import described_values
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


_LONGEST = 2**24  # values of an axis, 128 MiB


def open_zarr(path: Path, array: str | None, dims: Sequence[int]) -> Stored:
    """Open a cube in a zarr store.

    Args:
        path: the folder or the ZIP file.
        array: path of the array in the store; default the one with a usual name, else the largest.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if the package zarr is not installed, the store is damaged, or it holds no such array.
    """
    try:
        zarr = importlib.import_module("zarr")
        storage = importlib.import_module("zarr.storage")
    except ImportError as error:
        raise UserError(
            f"{path}: zarr stores are read by the package 'zarr', which is not installed: "
            "pip install 'deepspec[formats]', or pip install zarr"
        ) from error
    with reading(path, "zarr"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that the format does not specify yet; what matters raises
        store = storage.LocalStore(path, read_only=True) if path.is_dir() else storage.ZipStore(path, mode="r")
        try:
            return _open(path, zarr.open(store=store, mode="r"), array, dims, store.close)
        except BaseException:
            store.close()
            raise


class ZarrValues:
    """A zarr array whose parts are NumPy arrays."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.chunks: tuple[int, ...] = tuple(getattr(array, "shards", None) or array.chunks)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(self._array[index])


def _open(path: Path, root: Any, wanted: str | None, dims: Sequence[int], close: Any) -> Stored:
    if hasattr(root, "shape"):
        found, groups = {"": root}, {}
    else:
        members = dict(root.members(max_depth=None))
        found = {name.strip("/"): item for name, item in members.items() if hasattr(item, "shape")}
        groups = {name.strip("/"): item for name, item in members.items() if not hasattr(item, "shape")} | {"": root}
    numeric = {name: a for name, a in found.items() if np.dtype(a.dtype).kind in "iufb" and a.ndim > 0}
    shapes = {name: tuple(a.shape) for name, a in numeric.items()}
    chosen, notes = choose_key(path, shapes, None if wanted is None else wanted.strip("/"), dims)
    array = numeric[chosen]
    chunk = math.prod(getattr(array, "shards", None) or array.chunks) * array.dtype.itemsize
    check_memory(2 * chunk, f"{path}: a chunk of '{chosen}'")
    missing = array.nchunks - array.nchunks_initialized
    if missing == array.nchunks:
        raise UserError(f"{path}: '{chosen}' should have shape {array.shape}, but none of its chunks is there")
    if missing > 0:
        notes.append(f"{missing} of its {array.nchunks} chunks are not there: they are read as {array.fill_value}")
    described = _described(array, chosen, numeric, groups)
    attributes = {key.lower(): value for key, value in dict(array.attrs).items()}
    return Stored(
        arrays=[described_values(ZarrValues(array), attributes, notes)],
        name=f"{path}:{chosen}" if chosen else str(path),
        spectral_dim=described.spectral_dim,
        detector_dim=described.detector_dim,
        image=described.image,
        axes=described.axes + _axes(numeric, chosen),
        metadata={k: v for k, v in dict(array.attrs).items() if isinstance(v, (str, int, float))},
        notes=notes,
        close=close,
    )


def _whole(array: Any) -> NDArray[Any]:
    """All values of a small array, such as positions of channels, which nobody has by the hundred million.

    Raises:
        ValueError: it is far larger.
    """
    if math.prod(array.shape) > _LONGEST:
        raise ValueError(f"'{array.path}' should have shape {tuple(array.shape)}, too many for an axis")
    return np.asarray(array[...])


class _AxisGroup:
    """The attributes, arrays and groups of a group as one mapping."""

    def __init__(self, name: str, arrays: Mapping[str, Any], groups: Mapping[str, Any]) -> None:
        self._name, self._arrays, self._groups = name, arrays, groups
        self._attributes = dict(groups[name].attrs)

    def get(self, name: str, default: Any = None) -> Any:
        inner = f"{self._name}/{name}"
        if name in self._attributes:
            return self._attributes[name]
        if inner in self._arrays:
            return _whole(self._arrays[inner])
        return _AxisGroup(inner, self._arrays, self._groups) if inner in self._groups else default


def _described(array: Any, name: str, arrays: Mapping[str, Any], groups: Mapping[str, Any]) -> Described:
    """What HyperSpy's groups of axes, or the names of the dimensions, say."""
    group = name.rpartition("/")[0]
    inside = f"{group}/" if group else ""
    names = [f"{inside}axis-{dim}" for dim in range(array.ndim)]
    if all(axis in groups for axis in names):
        axes = [_AxisGroup(axis, arrays, groups) for axis in names]
        if all(int(axis.get("size", n)) == n for axis, n in zip(axes, array.shape, strict=True)):
            return hyperspy_described(array, array.shape, axes) or Described(array)
    labels = getattr(array.metadata, "dimension_names", None) or dict(array.attrs).get("_ARRAY_DIMENSIONS")
    described = Described(array)
    if not isinstance(labels, (list, tuple)) or len(labels) != array.ndim:
        return described
    texts = ["" if label is None else str(label) for label in labels]
    positions = [arrays.get(f"{inside}{text}") for text in texts]
    units = ["" if p is None else str(dict(p.attrs).get("units", "")) for p in positions]
    found = roles([Named(*pair) for pair in zip(texts, units, strict=True)])
    spectral = [dim for dim, role in enumerate(found) if role == "spectral"]
    if len(spectral) == 1:
        dim = described.spectral_dim = spectral[0]
        position = positions[dim]
        if position is not None and position.ndim == 1:
            values = _whole(position).astype(np.float64)
            described.axes = [candidate(texts[dim], values, units[dim])]
    place_image(described, found)
    return described


def _axes(arrays: Mapping[str, Any], chosen: str) -> list[AxisCandidate]:
    candidates = []
    for name, item in arrays.items():
        group, _, leaf = name.rpartition("/")
        named = axis_unit(leaf)
        if named is None or name == chosen or not is_list(tuple(item.shape), tuple(arrays[chosen].shape)):
            continue
        unit = dict(item.attrs).get("units", dict(item.attrs).get("unit", named or None))
        values = _whole(item).astype(np.float64).ravel()
        near = group == chosen.rpartition("/")[0]
        candidates.append(AxisCandidate(name, values, None if unit is None else str(unit), "near" if near else "far"))
    return candidates
