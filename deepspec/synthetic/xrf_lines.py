"""X-ray emission lines of the elements, to label peaks."""

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
    """Relative to the strongest line of the same element and shell, excited at 40 keV; in (0, 1]."""


@lru_cache
def xrf_lines() -> tuple[XrfLine, ...]:
    """K, L and M lines between 0.5 and 38.5 keV of the elements from sodium to uranium.

    >>> [f"{line.energy:.2f}" for line in xrf_lines() if (line.element, line.name) == ("Cu", "Ka1")]
    ['8.05']
    """
    text = resources.files("deepspec.synthetic").joinpath("xrf_lines.csv").read_text()
    return tuple(
        XrfLine(row["element"], row["line"], float(row["energy_kev"]), float(row["relative_intensity"]))
        for row in csv.DictReader(text.splitlines())
    )
