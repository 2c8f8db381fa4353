"""X-ray lines of the elements, and the families in which they stand.

X-ray emission lines of the elements: one table for labels, calibration and synthetic scans.

Families of X-ray lines: the lines of one shell of an element, which come together in nearly fixed ratios.

Shapes: C channels, F families, L lines.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.peaks import fwhm_kev

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class XrfLine:
    """One emission line."""

    element: str
    """Chemical symbol."""
    name: str
    """Siegbahn name: Ka1, Lb1, ..."""
    energy: float
    """keV."""
    intensity: float
    """Relative to the strongest line of the same element and shell, excited at 40 keV (K shells that lie deeper at
    150 keV); in (0, 1]."""

    @property
    def group(self) -> str:
        """The lines that it goes with: "Ka" for Ka1 and Ka2, "Lb" for Lb1, Lb2, ..., "Ll" for Ll."""
        return self.name[:2]


@lru_cache
def xrf_lines() -> tuple[XrfLine, ...]:
    """K, L and M lines between 0.2 and 120 keV of the elements from carbon to uranium.

    >>> [f"{line.energy:.2f}" for line in xrf_lines() if (line.element, line.name) == ("Cu", "Ka1")]
    ['8.05']
    """
    text = resources.files("deepspec.lines").joinpath("xray_lines.csv").read_text()
    return tuple(
        XrfLine(row["element"], row["line"], float(row["energy_kev"]), float(row["relative_intensity"]))
        for row in csv.DictReader(text.splitlines())
    )


@lru_cache
def lines_of() -> dict[str, tuple[XrfLine, ...]]:
    """The lines of each element by its symbol, in the order of the table."""
    found: dict[str, list[XrfLine]] = {}
    for line in xrf_lines():
        found.setdefault(line.element, []).append(line)
    return {element: tuple(lines) for element, lines in found.items()}


_USUAL = "C N O F Na Mg Al Si P S Cl Ar K Ca Ti Cr Mn Fe Co Ni Cu Zn As Br Sr Zr Mo Ag Cd Sn Sb Ba W Au Hg Pb Bi"
_SELDOM = "V Ga Ge Se Rb Y Nb Ru Rh Pd In Te I Cs La Ce Pr Nd Sm Gd Hf Ta Re Ir Pt Tl Th U"
SELDOM = frozenset(_SELDOM.split())
"""Elements to believe only if nothing usual is nearly as good."""
ELEMENTS = tuple(element for element in lines_of() if element in {*_USUAL.split(), *SELDOM})
"""What is met in paintings, metals, glass, stones, and as anodes of tubes, by atomic number."""

LIGHT = frozenset(["C", "N", "O", "F"])
"""Elements whose lines no air lets through, and which lie where the electronics begin to count."""

GREEK = {"a": "α", "b": "β", "g": "γ", "l": "ℓ", "n": "η", "s": "s"}

RESOLVED = 0.6
"""Lines further apart than this many full widths of a peak show as two; of closer ones the weighted mean is seen."""


_ONE_PEAK_KEV = 3.0


@dataclass(frozen=True)
class Family:
    """The lines of one shell of one element."""

    element: str
    """Chemical symbol."""
    lines: tuple[XrfLine, ...]
    """Their intensities are relative to the strongest."""

    @property
    def shell(self) -> str:
        """K, L or M."""
        return self.lines[0].name[0]

    @property
    def blend(self) -> float:
        """How much further than others a peak may lie from its line.

        M lines, and L lines of little energy, make one peak between the strongest two.
        """
        return 1.8 if self.shell == "M" or (self.shell == "L" and self.lines[0].energy < _ONE_PEAK_KEV) else 1.0

    def main(self, low: float, high: float) -> XrfLine | None:
        """The strongest line between two energies in keV; None if the strong ones lie beyond."""
        seen = [line for line in self.lines if low < line.energy < high]
        line = max(seen, key=lambda line: line.intensity, default=None)
        return line if line is not None and line.intensity >= 0.3 else None

    def near(self, energy: float, reach: float) -> XrfLine | None:
        """The strongest line within `reach` of an energy, both in keV, where a line of its group is seen."""
        lines = [line for line in self.lines if abs(self.seen_at(line) - energy) <= reach]
        return max(lines, key=lambda line: line.intensity, default=None)

    def seen_at(self, line: XrfLine) -> float:
        """Energy in keV at which a detector shows the group of a line: see `seen_energy`."""
        return _seen_at(self, line)


@lru_cache(maxsize=4096)
def _seen_at(family: Family, line: XrfLine) -> float:
    return seen_energy([other for other in family.lines if other.group == line.group], line)


@lru_cache
def families() -> tuple[Family, ...]:
    """All families of `ELEMENTS`, by rising atomic number."""
    found: dict[tuple[str, str], list[XrfLine]] = {}
    for element in ELEMENTS:
        for line in lines_of()[element]:
            found.setdefault((element, line.name[0]), []).append(line)
    return tuple(Family(element, tuple(lines)) for (element, _), lines in found.items())


def seen_energy(group: list[XrfLine], line: XrfLine | None = None) -> float:
    """Where the peak of a group of lines lies in the spectrum of a silicon detector, in keV.

    Args:
        group: lines of one name, such as Ka1 and Ka2.
        line: of the group; default its strongest.

    Returns:
        The mean, weighted with their intensities, of the lines that the detector cannot tell from this one.
    """
    line = line or max(group, key=lambda line: line.intensity)
    reach = RESOLVED * float(fwhm_kev(np.array(line.energy), 145.0))
    merged = [other for other in group if abs(other.energy - line.energy) <= reach]
    weights = [max(other.intensity, 1e-6) for other in merged]
    return float(np.average([other.energy for other in merged], weights=weights))


def group_name(line: XrfLine) -> str:
    """Name of the group of a line for a reader: "Kα", "Lℓ"."""
    return f"{line.name[0]}{GREEK[line.name[1]]}"
