"""What the attributes of an HDF5 dataset say of its numbers: netCDF and CF, NeXus, and their usual variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.readers.values import physical

if TYPE_CHECKING:
    import h5py

    from deepspec.data.readers.hdf5_links import Links
    from deepspec.data.readers.stored import StoredArray

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
    return described_values(values, attributes, notes, beside)


def described_values(
    array: Any, attributes: dict[str, Any], notes: list[str], beside: dict[str, float] | None = None
) -> StoredArray:
    """An array with such attributes, their names in lower case, as the values that it stands for."""
    beside = beside or {}
    dtype = np.dtype(array.dtype)
    missing = [number for key in _MISSING for number in _numbers(attributes.get(key))]
    scale = next((n for key in _FACTORS for n in _numbers(attributes.get(key))[:1]), beside.get("scaling_factor", 1.0))
    offset = next((n for key in _OFFSETS for n in _numbers(attributes.get(key))[:1]), beside.get("offset", 0.0))
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
