"""What the names and units that files give to dimensions say of them: row, column, spectral, or detector."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from deepspec.data.axis import find_unit
from deepspec.data.readers.stored import AXIS_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

Role = Literal["row", "column", "spectral", "detector"]

_SPECTRAL = re.compile(
    r"energ|wave_?len|wave_?number|lambda|channel|spectr|band|mca|freq|raman|photon|^(c|e|ch|chan|wl|wave|wav|lam|nu|bins?)$"
)
_INCIDENT = re.compile(r"incident|beam|mono|source|excit|primary")
_DETECTOR = re.compile(r"detector|element|sensor|module|^(det|dets|sdd|elem)$")
_ROW = re.compile(r"^(y|row|rows|line|lines|lat|latitude|height|northing)$|down_?track|along_?track|_y$|^y[_ ]|^y\b")
_COLUMN = re.compile(
    r"^(x|col|cols|column|columns|sample|samples|lon|longitude|width|easting)$"
    r"|cross_?track|across_?track|_x$|^x[_ ]|^x\b"
)
_PLACE = re.compile(
    r"stage|motor|pos|scan|sample|translation|theta|phi|^s[xyz]$|^[xyz]$|^z\b|time|temperature|depth|tilt"
)
_UNITS = ("keV", "angstrom", "nm")  # not um: stages move by micrometres


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
