"""X-ray emission lines of the elements: one table for labels, calibration and synthetic scans."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources


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
