"""Emission lines of ionised nebulae between 4750 and 9350 angstrom, and which of them keep fixed ratios.

A feature is what a model gives a flux to: one line, or several whose ratios are fixed by atomic physics, such as
[OIII] 4959 and 5007, which leave from the same level. Hydrogen's Paschen lines follow H beta (case B, 10,000 K).

Shapes: F features, L lines, N spectra.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.emission_table import emission_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class NebularLine:
    """One emission line."""

    name: str
    """As in "[NII]6583"."""
    ion: str
    """As in "N II"."""
    wavelength: float
    """Angstrom, in air, at rest."""
    feature: str
    """Feature that it belongs to."""
    share: float
    """Flux of the line as a share of its feature's."""


_GREEK = {"Ha": "Hα", "Hb": "Hβ"}
"""Names of features that the table of emission lines spells otherwise."""


@lru_cache
def nebular_lines() -> tuple[NebularLine, ...]:
    """All lines.

    >>> [line.wavelength for line in nebular_lines() if line.feature == "[OIII]5007"]
    [4958.91, 5006.84]
    """
    known = {line.name: line for line in emission_lines()}
    text = resources.files("deepspec.synthetic").joinpath("nebular_lines.csv").read_text()
    found = []
    for row in csv.DictReader(text.splitlines()):
        line = known[_GREEK.get(row["name"], row["name"])]
        found.append(NebularLine(row["name"], line.ion, line.wavelength, row["feature"], float(row["share"])))
    return tuple(found)


@lru_cache
def features() -> tuple[str, ...]:
    """Names of the F features, in the order of the table."""
    return tuple(dict.fromkeys(line.feature for line in nebular_lines()))


@lru_cache
def shares() -> NDArray[np.float64]:
    """(F, L) share of each line in each feature: fluxes of features times this are fluxes of lines."""
    order = features()
    shares_FL = np.zeros((len(order), len(nebular_lines())))
    for column, line in enumerate(nebular_lines()):
        shares_FL[order.index(line.feature), column] = line.share
    shares_FL.setflags(write=False)
    return shares_FL


def stack(flux: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Fluxes of features by name, (N,) each, as one array (N, F); features that are not named have none."""
    unknown = flux.keys() - set(features())
    if unknown:
        raise ValueError(f"no such features: {', '.join(sorted(unknown))}")
    rows = len(next(iter(flux.values())))
    return np.stack([flux.get(name, np.zeros(rows)) for name in features()], axis=1)
