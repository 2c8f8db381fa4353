"""Emission lines of ionised and neutral gas: one table for labels and for synthetic nebulae."""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

AIR_FROM = 2000.0
"""Angstrom: wavelengths are given in air from here on, in vacuum below, as is the custom."""


class EmissionLine(NamedTuple):
    """One line."""

    name: str
    """As in "[OIII]5007", "Hα"."""
    ion: str
    """As in "O III"."""
    wavelength: float
    """Angstrom at rest, in air from 2000 on."""
    weight: float
    """How often it is seen and how strong it then is, 0 to 1; 0 for a part of a blend that has a row of its own."""


@lru_cache
def emission_lines() -> tuple[EmissionLine, ...]:
    """Lines from 1,000 to 23,500 angstrom of HII regions, planetary nebulae, shocks and active galaxies.

    After Osterbrock & Ferland (2006), Vanden Berk et al. (2001) and the NIST Atomic Spectra Database.

    >>> [line.wavelength for line in emission_lines() if line.name == "[FeX]6375"]
    [6374.51]
    """
    text = resources.files("deepspec.lines").joinpath("emission_lines.csv").read_text(encoding="utf-8")
    return tuple(
        EmissionLine(row["name"], row["ion"], float(row["wavelength"]), float(row["weight"]))
        for row in csv.DictReader(text.splitlines())
    )


def to_vacuum(air: Array) -> Array:
    """Wavelengths in vacuum of those in air, in angstrom (Ciddor 1996 as in VALD: Piskunov); below 2000 unchanged.

    >>> round(float(to_vacuum(np.array(6562.80))), 2)
    6564.61
    """
    square = (1e4 / air) ** 2
    index = 1 + 8.336624212083e-5 + 2.408926869968e-2 / (130.1065924522 - square)
    index += 1.599740894897e-4 / (38.92568793293 - square)
    return np.asarray(np.where(air < AIR_FROM, air, air * index))


def to_air(vacuum: Array) -> Array:
    """Wavelengths in air of those in vacuum, in angstrom (Ciddor 1996); below 2000 unchanged.

    >>> round(float(to_air(np.array(6564.61))), 2)
    6562.8
    """
    square = (1e4 / vacuum) ** 2
    index = 1 + 5.792105e-2 / (238.0185 - square) + 1.67917e-3 / (57.362 - square)
    return np.asarray(np.where(vacuum < AIR_FROM, vacuum, vacuum / index))
