"""Parts of the model of an X-ray spectrum: what is fitted with one amount each.

The lines of a part come in groups, whose ratios the table knows only roughly: an L line depends on which of the three
subshells was ionised, K lines of one element are absorbed differently on their way out.

Shapes: C channels, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deepspec.lines.calibration_fit import family_shapes
from deepspec.lines.xray_lines import Family, group_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deepspec.lines.candidate import Kind
    from deepspec.lines.xray_lines import XrfLine

    Array = NDArray[np.float64]

_SUBSHELL_2 = frozenset({"Lb1", "Lg1", "Lg5", "Lg6", "Lg8", "Ln"})
_SUBSHELL_3 = frozenset({"La1", "La2", "Lb2", "Lb15", "Lb5", "Lb6", "Lb7", "Ll", "Ls"})
_RATIO_ERRORS = {"K": 0.12, "L3": 0.12, "L2": 0.25, "L1": 0.5, "M": 0.25}
"""Relative error of the intensities of a group: L1 is fed by transitions that are badly known."""


@dataclass(frozen=True, eq=False)
class Part:
    """Something in the spectrum whose amount is fitted."""

    source: str
    """Chemical symbol; empty for escape and sum peaks."""
    kind: Kind
    """As of candidates."""
    names: tuple[str, ...]
    """(G,) what a peak of each group is called."""
    shape_GC: Array
    """(G, C) its groups in counts per keV."""
    errors: tuple[float, ...]
    """(G,) relative error of their ratios."""
    price: float
    """By how much the part must better a fit, in units of chi squared, to be believed."""
    family: Family | None = None
    """The lines, of an element's own or of the anode's with their energy."""
    groups: tuple[tuple[str, str], ...] = ()
    """(G,) subshell and name of the group of those lines."""
    rare: bool = field(default=False)
    """Whether it is believed only as the main explanation of some peak."""

    def group_of(self, line: XrfLine) -> int:
        """Number of the group that a line of the family is in."""
        return self.groups.index((_subshell(line), line.group))


def family_part(
    family: Family,
    energy_C: Array,
    fwhm_mn_ev: float,
    *,
    kind: Kind = "line",
    suffix: str = "",
    price: float,
    rare: bool,
) -> Part:
    """The lines of one shell of an element.

    Args:
        family: the lines.
        energy_C: (C,) rising, true energies in keV.
        fwhm_mn_ev: full width of peaks at 5.895 keV.
        kind: of its candidates.
        suffix: of their names.
        price: as of the part.
        rare: likewise.
    """
    groups: dict[tuple[str, str], list[XrfLine]] = {}
    for line in family.lines:
        groups.setdefault((_subshell(line), line.group), []).append(line)
    pieces = [Family(family.element, tuple(lines)) for lines in groups.values()]
    return Part(
        source=family.element,
        kind=kind,
        names=tuple(f"{family.element} {group_name(piece.lines[0])}{suffix}" for piece in pieces),
        shape_GC=family_shapes(pieces, energy_C, fwhm_mn_ev),
        errors=tuple(_RATIO_ERRORS[subshell] for subshell, _ in groups),
        price=price,
        family=family,
        groups=tuple(groups),
        rare=rare,
    )


def _subshell(line: XrfLine) -> str:
    if line.name in _SUBSHELL_3:
        return "L3"
    if line.name in _SUBSHELL_2:
        return "L2"
    return "L1" if line.name[0] == "L" else line.name[0]


def artefact_part(kind: Kind, shape_C: Array) -> Part:
    """Escape or sum peaks."""
    return Part("", kind, ("",), shape_C[None], (0.0,), 0.0)
