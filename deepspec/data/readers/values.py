"""Numbers as a file stores them, shown as the values that they stand for.

Scale, offset and the sign for "no value" are attributes of the array (netCDF, HDF5), fields of a header (ENVI) or tags
(TIFF). They are applied where rows are read, so that nothing else has to know of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray


class PhysicalValues:
    """An array read as `offset + scale x stored`, and as NaN where the file has no value.

    Args:
        array: numbers of any real type.
        missing: stored numbers that stand for none.
        valid: least and greatest stored number that stand for a value; None = any.
        scale: a number, or an array that fits the stored one by NumPy's rules of broadcasting.
        offset: likewise.
        as_type: type that the stored bits are taken as, where the file says that they are no signed integers.
    """

    def __init__(
        self,
        array: StoredArray,
        missing: Sequence[float] = (),
        *,
        valid: tuple[float, float] | None = None,
        scale: float | NDArray[np.float64] = 1.0,
        offset: float | NDArray[np.float64] = 0.0,
        as_type: np.dtype[Any] | None = None,
    ) -> None:
        self._array, self._missing, self._valid, self._as_type = array, tuple(missing), valid, as_type
        self._scale, self._offset = scale, offset
        self.shape = array.shape
        stored = np.dtype(array.dtype).newbyteorder("=") if as_type is None else as_type
        self.dtype = np.result_type(stored, np.float32)
        chunks = getattr(array, "chunks", None)
        self.chunks: tuple[int, ...] | None = chunks

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        stored = np.asarray(self._array[index])
        if self._as_type is not None:
            stored = stored.astype(stored.dtype.newbyteorder("="), copy=False).view(self._as_type)
        shown = stored.astype(self.dtype)
        # A single number is what it is in the array's own type: 0.1 as text is not 0.1 in single precision.
        gone = [np.isnan(shown)] if any(np.isnan(self._missing)) else []
        gone += [stored == _as_stored(value, stored.dtype) for value in self._missing if not np.isnan(value)]
        if self._valid is not None:
            gone.append((stored < self._valid[0]) | (stored > self._valid[1]))
        if not self._is_plain(self._scale, 1.0):
            shown *= _part(self._scale, index, self.dtype)
        if not self._is_plain(self._offset, 0.0):
            shown += _part(self._offset, index, self.dtype)
        for where in gone:
            shown[where] = np.nan
        return np.asarray(shown)

    @staticmethod
    def _is_plain(value: float | NDArray[np.float64], neutral: float) -> bool:
        return not isinstance(value, np.ndarray) and value == neutral


def physical(
    array: StoredArray,
    missing: Sequence[float] = (),
    *,
    valid: tuple[float, float] | None = None,
    scale: float | NDArray[np.float64] = 1.0,
    offset: float | NDArray[np.float64] = 0.0,
    as_type: np.dtype[Any] | None = None,
) -> StoredArray:
    """`PhysicalValues` of these arguments; the array itself if they change nothing, so that counts stay integers."""
    floats = np.dtype(array.dtype).kind == "f"
    missing = [value for value in missing if floats or (np.isfinite(value) and value == int(value))]
    if floats:
        missing = [value for value in missing if np.isfinite(value)]  # NaN and infinity are no values as they are
    same = bool(np.all(np.asarray(scale) == 1) and np.all(np.asarray(offset) == 0))
    if same and not missing and valid is None and as_type is None:
        return array
    return PhysicalValues(array, missing, valid=valid, scale=scale, offset=offset, as_type=as_type)


def _as_stored(value: float, dtype: np.dtype[Any]) -> Any:
    """A number as the array would hold it; NaN, which equals nothing, where it cannot hold it."""
    if dtype.kind == "f":
        return dtype.type(value)
    if dtype.kind == "b" or not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return np.nan
    return dtype.type(int(value))


def _part(value: float | NDArray[np.float64], index: tuple[slice, ...], dtype: np.dtype[Any]) -> Any:
    """The part of a scale or offset that belongs to an indexed part of the array."""
    if not isinstance(value, np.ndarray):
        return dtype.type(value)
    inner = tuple(i if length > 1 else slice(None) for i, length in zip(index, value.shape, strict=True))
    return value[inner].astype(dtype)
