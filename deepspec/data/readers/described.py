"""What a file says of the dimensions of an array, and how names and axes are turned into it.

What the names and units that files give to dimensions say of them: row, column, spectral, or detector.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from deepspec.axis import find_unit
from deepspec.data.readers.stored import AXIS_NAMES, AxisCandidate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


Role = Literal["row", "column", "spectral", "detector"]

_SPECTRAL = re.compile(
    r"energ|wave_?len|wave_?number|lambda|channel|spectr|band|mca|freq|raman|photon|^(c|e|ch|chan|wl|wave|wav|lam|nu|bins?)$"
)
_INCIDENT = re.compile(r"incident|beam|mono|source|excit|primary")
_OF_A_DETECTOR = re.compile(r"mca|chan|bin|emi|fluo|xrf|det|spectr")
_DETECTOR = re.compile(r"detector|element|sensor|module|^(det|dets|sdd|elem)$")
_ROW = re.compile(r"^(y|row|rows|line|lines|lat|latitude|height|northing)$|down_?track|along_?track|_y$|^y[_ ]|^y\b")
_COLUMN = re.compile(
    r"^(x|col|cols|column|columns|sample|samples|lon|longitude|width|easting)$"
    r"|cross_?track|across_?track|_x$|^x[_ ]|^x\b"
)
_PLACE = re.compile(
    r"stage|motor|pos|scan|sample|translation|theta|phi|^s[xyz]$|^[xyz]$|^z\b|time|temperature|depth|tilt"
)
_UNITS = ("keV", "angstrom", "nm", "1/cm")  # not um: stages move by micrometres


class Named(NamedTuple):
    """What is known of a dimension: its name and the unit of its positions, both empty if not given."""

    name: str
    unit: str = ""


def roles(dims: Sequence[Named]) -> list[Role | None]:
    """The role of each dimension, None where neither name nor unit says it, or several claim to be spectral.

    A name that says energy or wavelength outranks a unit, and what is named after a place is no wavelength, though
    it may be given in nanometres. Energies of the beam are not those of the channels.
    """
    found: list[Role | None] = [_place(dim.name) for dim in dims]
    by_name = [i for i, dim in enumerate(dims) if is_spectral_name(dim.name) and found[i] is None]
    emitted = [i for i in by_name if not _INCIDENT.search(dims[i].name.lower())] or by_name
    by_unit = [i for i, dim in enumerate(dims) if found[i] is None and not by_name and _is_spectral_unit(dim)]
    if len(emitted) > 1:  # the energies of the beam without a word that says so, in a scan over them
        emitted = [i for i in emitted if _OF_A_DETECTOR.search(dims[i].name.lower())] or emitted
    spectral = emitted or by_unit
    if len(spectral) == 1:
        found[spectral[0]] = "spectral"
    return found


def is_spectral_name(name: str) -> bool:
    """Whether a name says energies, wavelengths or channels."""
    return name.lower() in AXIS_NAMES or _SPECTRAL.search(name.lower()) is not None


def _place(name: str) -> Role | None:
    text = name.lower().strip()
    if is_spectral_name(text):
        return None
    for pattern, role in ((_DETECTOR, "detector"), (_ROW, "row"), (_COLUMN, "column")):
        if pattern.search(text):
            return role  # type: ignore[return-value]
    return None


def _is_spectral_unit(dim: Named) -> bool:
    if _PLACE.search(dim.name.lower()):
        return False
    known = find_unit(dim.unit) if dim.unit else None
    return known is not None and known[0] in _UNITS


_WITH_UNIT = re.compile(
    r"(?<![\w.])(\d+(?:\.\d*)?)\s*(nm|nanomet(?:er|re)s?|um|\u00b5m|\u03bcm|micromet(?:er|re)s?|angstroms?|keV|eV|cm-1)(?!\w)",
    re.IGNORECASE,
)
_NO_UNIT = (
    "",
    "<undefined>",
    "undefined",
    "none",
    "_none_",
    "t.traits.undefined",
    "1",
    "-",
    "n/a",
    "channel",
    "channels",
)


@dataclass
class Described:
    """An array whose dimensions the file describes.

    Attributes:
        array: what is described.
        spectral_dim: the spectral dimension, if said.
        detector_dim: that of the detectors, if said.
        image: dimensions of rows and columns, if both are said.
        axes: positions of the channels, if said.
    """

    array: Any
    spectral_dim: int | None = None
    detector_dim: int | None = None
    image: tuple[int, int] | None = None
    axes: list[AxisCandidate] = field(default_factory=list)


def place_image(described: Described, found: Sequence[str | None]) -> None:
    """Fill in rows, columns and detectors by the roles of all dimensions, as far as they are said."""
    rows = [dim for dim, role in enumerate(found) if role == "row"]
    columns = [dim for dim, role in enumerate(found) if role == "column"]
    detectors = [dim for dim, role in enumerate(found) if role == "detector"]
    dims = len(found)
    left = [dim for dim in range(dims) if dim != described.spectral_dim and dim not in detectors]
    if len(rows) == 1 and len(columns) == 1:
        described.image = (rows[0], columns[0])
    elif described.spectral_dim is not None and len(left) == 2 and len(rows) + len(columns) == 1:
        known = (rows or columns)[0]  # the other of the two is what is left
        other = left[1] if left[0] == known else left[0]
        described.image = (known, other) if rows else (other, known)
    if len(detectors) == 1 and dims > 3:
        described.detector_dim = detectors[0]


def positions_in_names(names: Sequence[str]) -> AxisCandidate | None:
    """The positions that names of bands give, each as a number with its unit; None if any of them does not.

    >>> positions_in_names(["Band 1 (400.5 nm)", "Band 2 (410 nm)"]).values.tolist()
    [400.5, 410.0]
    """
    found = [_WITH_UNIT.findall(name) for name in names]
    if len(found) < 2 or any(len(each) != 1 for each in found):
        return None
    units = {each[0][1] for each in found}
    if len(units) > 1 or find_unit(unit := units.pop()) is None:
        return None
    return AxisCandidate("names of the bands", np.array([float(each[0][0]) for each in found]), unit, "stated")


def text_of(value: Any) -> str:
    """The one text in the value of an attribute; empty if there is none."""
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
        value = value.item()
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def candidate(name: str, values: NDArray[np.float64], unit: str) -> AxisCandidate:
    """A stated axis; a unit that means none, and one that is unknown, is left to be guessed or to be said."""
    if "wave" in name.lower() and unit.strip() == "mm":  # Digital Surf; elsewhere millimetres are places
        return AxisCandidate(name, values * 1e3, "um", "stated")
    if unit.strip().lower() in _NO_UNIT:
        return AxisCandidate(name, values, None, "stated")
    return AxisCandidate(name, values, unit, "stated")
