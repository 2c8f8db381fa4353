"""Numbers as a file stores them, shown as the values that they stand for.

Scale, offset and the sign for "no value" are attributes of the array (netCDF, HDF5), fields of a header (ENVI) or tags
(TIFF). They are applied where rows are read, so that nothing else has to know of them.

What the attributes of an HDF5 dataset say of its numbers: netCDF and CF, NeXus, and their usual variants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import h5py
    from numpy.typing import NDArray

    from deepspec.data.readers.hdf5_links import Links
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


_NETCDF = "_NCProperties"  # an attribute of files that the netCDF-4 library wrote
_NEVER_WRITTEN = 9.969209968386869e36  # its default for real numbers
# In lower case. netCDF and CF first; the others are those of NEON, HDF-EOS and NASA's older products.
_MISSING = ("_fillvalue", "missing_value", "data_ignore_value", "no_data_value", "nodata", "missing_data_value")
_FACTORS = ("scale_factor", "scalefactor", "slope")
_OFFSETS = ("add_offset", "intercept")


def physical_dataset(dataset: h5py.Dataset, values: StoredArray, links: Links, notes: list[str]) -> StoredArray:
    """A dataset as the values that it stands for.

    value = scale_factor x stored + add_offset, and none where stored is `_FillValue` or `missing_value` or lies out of
    `valid_range`, all three in the type that is stored (CF conventions, 2.5 and 8.1). NEON's `Scale_Factor` beside a
    `Data_Ignore_Value` divides. NeXus keeps `NAME_scaling_factor` and `NAME_offset` beside NAME.

    Args:
        dataset: as stored.
        values: where its numbers are read from.
        links: its file.
        notes: gets a line if something is changed.
    """
    beside = {
        name: item for name in ("scaling_factor", "offset") if (item := _beside(links, dataset, name)) is not None
    }
    attributes = {key.lower(): value for key, value in dataset.attrs.items()}
    if _NETCDF in dataset.file.attrs and dataset.dtype.kind == "f" and "_fillvalue" not in attributes:
        attributes["_fillvalue"] = _NEVER_WRITTEN
    return described_values(values, attributes, notes, beside)


def described_values(
    array: Any, attributes: dict[str, Any], notes: list[str], beside: dict[str, float] | None = None
) -> StoredArray:
    """An array with such attributes, their names in lower case, as the values that it stands for."""
    beside = beside or {}
    dtype = np.dtype(array.dtype)
    missing = [number for key in _MISSING for number in _numbers(attributes.get(key))]
    scales = next((n for key in _FACTORS if (n := _numbers(attributes.get(key)))), [beside.get("scaling_factor", 1.0)])
    offsets = next((n for key in _OFFSETS if (n := _numbers(attributes.get(key)))), [beside.get("offset", 0.0)])
    if len(scales) > 1 or len(offsets) > 1:
        return _by_channel(array, missing, attributes, (scales, offsets), notes)
    scale, offset = scales[0], offsets[0]
    if "data_ignore_value" in attributes and "scale_factor" in attributes and scale > 1:
        scale = 1 / scale  # reflectance times 10,000, as NEON writes it
    as_type = None
    if str(_text(attributes.get("_unsigned"))).lower() == "true" and dtype.kind == "i":
        as_type = np.dtype(f"u{dtype.itemsize}")
        missing = [number % 2 ** (8 * dtype.itemsize) for number in missing]
    if not (np.isfinite([scale, offset]).all() and scale != 0):
        notes.append(f"its scale {scale:g} and offset {offset:g} are no numbers to work with: stored values are used")
        scale, offset = 1.0, 0.0
    found = physical(array, missing, valid=_valid(attributes), scale=scale, offset=offset, as_type=as_type)
    if found is not array and (scale, offset) != (1.0, 0.0):
        notes.append(f"the stored numbers are read as {scale:g} x number + {offset:g}, as the file says")
    return found


def _by_channel(
    array: Any,
    missing: Sequence[float],
    attributes: dict[str, Any],
    factors: tuple[list[float], list[float]],
    notes: list[str],
) -> StoredArray:
    """An array with a scale or an offset for each place along one of its dimensions, as old satellite products have it.

    Where it is not clear which dimension is meant, or a scale is zero, stored values are used, and it is said.
    """
    both = []
    for name, numbers in zip(("scales", "offsets"), factors, strict=True):
        fitting = [dim for dim, length in enumerate(array.shape) if length == len(numbers)]
        values = np.array(numbers)
        if len(numbers) > 1 and (
            len(fitting) != 1 or not np.isfinite(values).all() or (name == "scales" and not values.all())
        ):
            notes.append(f"its {len(numbers)} {name} do not fit its shape {tuple(array.shape)}: stored values are used")
            return physical(array, missing, valid=_valid(attributes))
        shape = [1] * len(array.shape)
        if len(numbers) > 1:
            shape[fitting[0]] = len(numbers)
        both.append(values.reshape(shape))
    notes.append("the stored numbers are read with the scales and offsets of their channels, as the file says")
    return physical(array, missing, valid=_valid(attributes), scale=both[0], offset=both[1])


def _valid(attributes: dict[str, Any]) -> tuple[float, float] | None:
    both = _numbers(attributes.get("valid_range"))
    least, most = _numbers(attributes.get("valid_min")), _numbers(attributes.get("valid_max"))
    if len(both) == 2:
        return both[0], both[1]
    if least or most:
        return (least or [-np.inf])[0], (most or [np.inf])[0]
    return None


def _beside(links: Links, dataset: h5py.Dataset, what: str) -> float | None:
    import h5py

    leaf = dataset.name.rsplit("/", 1)[-1]
    item = links.get(dataset.parent, f"{leaf}_{what}")
    if isinstance(item, h5py.Dataset) and item.size == 1 and item.dtype.kind in "iuf":
        return float(np.asarray(item[()]).ravel()[0])
    return None


def _numbers(value: Any) -> list[float]:
    """The numbers in an attribute, which some programs write as text."""
    if value is None:
        return []
    flat = np.asarray(value).ravel()
    try:
        return [float(_text(item)) for item in flat]
    except (TypeError, ValueError):
        return []


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
