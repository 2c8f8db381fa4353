"""Wavelengths and scales that an HDF5 file keeps in attributes: beside a dataset, of a whole file, or as PRISMA does.

PRISMA (the Italian space agency's product specification, issue 2.3) keeps cubes (rows, bands, columns) of VNIR and of
SWIR. The file's attributes List_Cw_Vnir and List_Cw_Swir give the bands' wavelengths in nm, zero for bands that are not
used. Radiances (level 1) are number / ScaleFactor - Offset; all else (level 2) lies between L2Scale...Min for 0 and
L2Scale...Max for 65,535.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.axis import find_unit
from deepspec.data.readers.described import text_of
from deepspec.data.readers.stored import AxisCandidate, axis_unit
from deepspec.data.readers.values import physical

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py
    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray

_MOST_COUNTS = 65535
_LISTS = re.compile(r"^(center_|central_|band_)?(wave_?lengths?|wave_?numbers?|energ(y|ies))(_(nm|um|kev|ev))?$")
_UNITS = ("{}_units", "{}_unit", "units_{}", "wavelength_units", "wavelength_unit")


@dataclass(frozen=True, eq=False)
class Prisma:
    """What a PRISMA file says of one of its cubes.

    Attributes:
        axis: (C,) wavelengths in nm; of unused bands numbers that go on from their neighbours.
        bad_channels: (C,) bool, True = not used.
        scale, offset: value = scale x number + offset.
    """

    axis: AxisCandidate
    bad_channels: NDArray[np.bool_]
    scale: float
    offset: float

    def physical(self, values: StoredArray, notes: list[str]) -> StoredArray:
        """Radiances or reflectances of the stored numbers."""
        if (self.scale, self.offset) == (1.0, 0.0):
            return values
        notes.append(f"the stored numbers are read as {self.scale:g} x number + {self.offset:g}, as the file says")
        return physical(values, scale=self.scale, offset=self.offset)


def prisma(file: h5py.File, array: h5py.Dataset) -> Prisma | None:
    """What is said of a cube in a PRISMA file; None if it is none."""
    leaf = array.name.rsplit("/", 1)[-1]
    which = re.fullmatch(r"(VNIR|SWIR)_Cube", leaf)
    if which is None or array.ndim != 3:
        return None
    sensor = which[1].title()
    listed = np.asarray(file.attrs.get(f"List_Cw_{sensor}", []), dtype=np.float64).ravel()
    used = np.isfinite(listed) & (listed > 0)
    if listed.size != array.shape[1] or np.count_nonzero(used) < 2:
        return None
    numbers = np.arange(listed.size)
    places = np.flatnonzero(used)
    # Unused bands lie at the ends; a channel needs a position of its own even where it is left out.
    values = np.interp(numbers, places, listed[used])
    for end, side in ((places[:2], numbers < places[0]), (places[-2:], numbers > places[-1])):
        step = (listed[end[1]] - listed[end[0]]) / (end[1] - end[0])
        values[side] = listed[end[0]] + step * (numbers[side] - end[0])

    def number(name: str, default: float) -> float:
        found = np.asarray(file.attrs.get(name, default)).ravel()
        return float(found[0]) if found.size == 1 and found.dtype.kind in "iuf" else default

    if f"ScaleFactor_{sensor}" in file.attrs:
        scale, offset = 1 / (number(f"ScaleFactor_{sensor}", 1.0) or 1.0), -number(f"Offset_{sensor}", 0.0)
    else:
        low, high = number(f"L2Scale{sensor}Min", 0.0), number(f"L2Scale{sensor}Max", float(_MOST_COUNTS))
        scale, offset = (high - low) / _MOST_COUNTS, low
    axis = AxisCandidate(f"List_Cw_{sensor}", values, "nm", "stated")
    return Prisma(axis, ~used, scale or 1.0, offset + 0.0)


def attribute_axes(array: h5py.Dataset) -> Iterator[tuple[AxisCandidate, int | None]]:
    """Lists of positions in the attributes of a dataset, of its group and of its file.

    Yields:
        The list, and the one dimension that is as long, where it is an attribute of the dataset itself.
    """
    for owner in (array, array.parent, array.file):
        for name, value in owner.attrs.items():
            lower = name.lower().replace(" ", "_")
            if axis_unit(lower) is None and not _LISTS.match(lower):
                continue
            values = _list(value)
            if values is None:
                continue
            fitting = [dim for dim, n in enumerate(array.shape) if n == values.size]
            if not fitting or np.unique(values).size < values.size:
                continue
            said = owner == array and len(fitting) == 1
            found = AxisCandidate(name, values, _unit(owner, lower), "stated" if said else "near")
            yield found, fitting[0] if said else None


def _list(value: Any) -> NDArray[np.float64] | None:
    """Numbers of an attribute; also of one text with commas or blanks between them."""
    if isinstance(value, (str, bytes)):
        try:
            found = np.array([float(part) for part in re.split(r"[,;\s]+", text_of(value).strip(" []{}()")) if part])
        except ValueError:
            return None
    else:
        found = np.asarray(value)
        if found.dtype.kind not in "iuf":
            return None
        found = found.astype(np.float64).ravel()
    return found if found.size > 1 and bool(np.isfinite(found).all()) else None


def _unit(owner: h5py.HLObject, name: str) -> str | None:
    attributes = {key.lower().replace(" ", "_"): text_of(value) for key, value in owner.attrs.items()}
    said = next((attributes[key.format(name)] for key in _UNITS if attributes.get(key.format(name))), None)
    ending = name.rpartition("_")[2]
    return said or (ending if "_" in name and find_unit(ending) is not None else None)
