"""What HDF5 files that follow a convention say of an array's dimensions: NeXus and HyperSpy.

NeXus: a group with NX_class "NXdata" names its array in `signal` and, in `axes`, one dataset per dimension; files from
before 2014 mark the array itself with `signal` = 1 and separate the names by colons. HyperSpy keeps a group `axis-N`
for each dimension beside the array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from deepspec.data.axis import normalise_unit
from deepspec.data.readers.stored import AXIS_NAMES, AxisCandidate
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_SPECTRAL_WORDS = ("energ", "wavelength", "lambda", "channel", "spectr")
_DEEPEST = 10  # steps from a file's `default` to its plot; three are usual, and the chain may run in a circle
_SPECTRAL_UNITS = ("keV", "angstrom", "nm")  # not um: stages move by micrometres


@dataclass
class Described:
    """An array whose dimensions the file describes: which is spectral, if said, and whether columns come first."""

    array: h5py.Dataset
    spectral_dim: int | None = None
    rows_last: bool = False
    axes: list[AxisCandidate] = field(default_factory=list)


def nexus_data(file: h5py.File) -> dict[str, Described]:
    """The arrays of all NXdata groups by the path of their group; those that the file's `default` names come first."""
    groups: dict[str, h5py.Group] = {}

    def collect(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Group) and _text(item.attrs.get("NX_class")) == "NXdata":
            groups[name] = item

    default: h5py.Group = file
    for _ in range(_DEEPEST):
        name = _text(default.attrs.get("default"))
        default = default.get(name) if name else None
        if not isinstance(default, h5py.Group):
            break
        collect(default.name.strip("/"), default)
    file.visititems(collect)
    found = {name: _nexus_group(group) for name, group in groups.items()}
    return {name: item for name, item in found.items() if item is not None}


def hyperspy_axes(array: h5py.Dataset) -> Described | None:
    """What HyperSpy wrote beside an array; None if it did not."""
    described = Described(array)
    spectral = []
    for dim, length in enumerate(array.shape):
        group = array.parent.get(f"axis-{dim}")
        if not isinstance(group, h5py.Group) or int(group.attrs.get("size", length)) != length:
            return None
        if not bool(group.attrs.get("navigate", False)):
            spectral.append(dim)
            first, step = float(group.attrs.get("offset", 0)), float(group.attrs.get("scale", 1))
            described.axes += _candidate(
                str(group.attrs.get("name", "axis")), first + step * np.arange(length), group.attrs.get("units")
            )
    if len(spectral) == 1:
        described.spectral_dim = spectral[0]
    return described


def _nexus_group(group: h5py.Group) -> Described | None:
    name = _text(group.attrs.get("signal"))
    array = group.get(name) if name else None
    if not name:
        marked = [d for d in _datasets(group) if _text(d.attrs.get("signal")) == "1"]
        array = marked[0] if marked else None
    if not isinstance(array, h5py.Dataset) or array.dtype.kind not in "iufb" or array.ndim == 0:
        return None
    names = _names(group.attrs.get("axes", array.attrs.get("axes")))
    if not names:
        names = [next((_leaf(d) for d in _datasets(group) if _is_axis(d, i)), ".") for i in range(array.ndim)]
    return _describe(group, array, names) if len(names) == array.ndim else Described(array)


def _describe(group: h5py.Group, array: h5py.Dataset, names: Sequence[str]) -> Described:
    described = Described(array)
    spectral = []
    for dim, name in enumerate(names):
        axis = group.get(name) if name not in (".", "") else None
        unit = _text(axis.attrs.get("units", axis.attrs.get("unit"))) if isinstance(axis, h5py.Dataset) else ""
        if not _is_spectral(name, unit):
            continue
        spectral.append(dim)
        if isinstance(axis, h5py.Dataset) and axis.ndim == 1 and axis.dtype.kind in "iuf":
            values = np.asarray(axis[()], dtype=np.float64)
            if values.size == array.shape[dim] + 1:  # borders of the channels
                values = (values[1:] + values[:-1]) / 2
            described.axes += _candidate(name, values, unit)
    if len(spectral) == 1:
        described.spectral_dim = spectral[0]
        image = [name.lower() for dim, name in enumerate(names) if dim != spectral[0]]
        described.rows_last = len(image) == 2 and _is_column(image[0]) and not _is_column(image[1])
    return described


def _datasets(group: h5py.Group) -> Iterator[h5py.Dataset]:
    return (item for item in group.values() if isinstance(item, h5py.Dataset))


def _candidate(name: str, values: NDArray[np.float64], unit: Any) -> list[AxisCandidate]:
    """The axis, with its unit where that is understood; "<undefined>" and the like are left to be guessed."""
    text = _text(unit)
    try:
        known = normalise_unit(text)[0] != "channel"
    except UserError:
        known = False
    return [AxisCandidate(name, values, text if known else None)]


def _is_spectral(name: str, unit: str) -> bool:
    if name.lower() in AXIS_NAMES or any(word in name.lower() for word in _SPECTRAL_WORDS):
        return True
    try:
        return normalise_unit(unit or ".")[0] in _SPECTRAL_UNITS
    except UserError:
        return False


def _is_column(name: str) -> bool:
    return name.startswith("x") or name.endswith("_x")


def _is_axis(dataset: h5py.Dataset, dim: int) -> bool:
    return _text(dataset.attrs.get("axis")) == str(dim + 1)


def _leaf(dataset: h5py.Dataset) -> str:
    return str(dataset.name).rsplit("/", 1)[-1]


def _names(value: Any) -> list[str]:
    """Names of axes from a list, or from one text as old files have it."""
    if value is None:
        return []
    if isinstance(value, (str, bytes)):
        return [part.strip() for part in _text(value).strip("[]").replace(",", ":").split(":")]
    return [_text(part) for part in np.asarray(value).ravel()]


def _text(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
        value = value.item()
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)
