"""Emission lines of ionised nebulae between 4750 and 9350 angstrom, their ratios, and how brightly ions shine.

A feature is what a model gives a flux to: one line, or several whose ratios are fixed by atomic physics, such as
[OIII] 4959 and 5007, which leave from the same level. Hydrogen's Paschen lines follow H beta (case B, 10,000 K).

Emissivities relative to H beta, at an electron temperature (K) and density (per cm3), are fits to PyNeb 1.1 between
7,000 and 20,000 K, good to 1.3 % where they were fitted (densities 100 and 3,000 per cm3); those of line and H beta are
at the same temperature. Functions take arrays that broadcast.

Shapes: F features, L lines, N spectra.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.emission import emission_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


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


HB_SLOPE = -0.88  # of H beta's emissivity with temperature, as a power
_DENSITIES = np.log10([100.0, 3000.0])
# Ratio of a doublet's first line to its second at densities, tabulated finer than the fits.
_DOUBLETS = {
    "[SII]": ([10, 100, 500, 1e3, 3e3, 1e4], [1.44, 1.35, 1.09, 0.91, 0.67, 0.52]),
    "[NI]": ([10, 100, 1e3, 1e4], [0.68, 0.78, 1.42, 2.36]),
    "[ClIII]": ([100, 1e3, 3e3], [1.42, 1.19, 0.90]),
}
_HA_HB = ([8e3, 1e4, 1.2e4, 1.5e4], [2.915, 2.863, 2.829, 2.788])
_NII = ([7e3, 1e4, 1.3e4, 1.6e4], [0.005, 0.015, 0.027, 0.038])
_SIII = ([7e3, 1e4, 1.3e4], [0.025, 0.067, 0.113])
# He I 7065 gains from its metastable level as the density rises (second value recalled, not fitted).
_HEI_7065 = ([100, 3e3], [0.176, 0.27])


@lru_cache
def _coefficients() -> dict[str, Array]:
    """For each feature a, b, c in two rows, for the two densities."""
    text = resources.files("deepspec.synthetic").joinpath("nebular_emissivities.csv").read_text()
    rows = csv.reader(text.splitlines()[1:])
    return {name: np.array(values, dtype=np.float64).reshape(2, 3) for name, *values in rows}


def emissivity(feature: str, temperature: Array, density: Array, hb_temperature: Array | None = None) -> Array:
    """Flux of a feature for one ion per proton, in units of H beta.

    `log10 = a + b log10 t + c / t`, t in 10,000 K, linear in log density; below 100 per cm3 as at 100.

    Args:
        feature: a feature of the table.
        temperature: of the zone where the ion is.
        density: electrons per cm3.
        hb_temperature: of the zone that emits H beta; default the same.

    Raises:
        KeyError: for a feature without a fit.
    """
    table = _coefficients()[feature]
    t = temperature / 1e4
    ends = [a + b * np.log10(t) + c / t for a, b, c in table]
    position = (np.log10(np.maximum(density, 100.0)) - _DENSITIES[0]) / (_DENSITIES[1] - _DENSITIES[0])
    value: Array = 10.0 ** (ends[0] + position * (ends[1] - ends[0]))
    return value if hb_temperature is None else value * (temperature / hb_temperature) ** HB_SLOPE


def doublet(ion: str, total: Array, density: Array) -> tuple[Array, Array]:
    """Share the flux of "[SII]", "[NI]" or "[ClIII]" out between the doublet's first and second line."""
    densities, ratios = _DOUBLETS[ion]
    ratio = np.interp(np.log10(density), np.log10(densities), ratios)
    return total * ratio / (1 + ratio), total / (1 + ratio)


def balmer(temperature: Array) -> Array:
    """H alpha over H beta, case B."""
    return np.interp(temperature, *_HA_HB)


def nii_5755(temperature: Array) -> Array:
    """[NII] 5755 over 6583, the thermometer of the low zone."""
    return np.interp(temperature, *_NII)


def siii_6312(temperature: Array) -> Array:
    """[SIII] 6312 over 9069."""
    return np.interp(temperature, *_SIII)


def hei_7065(density: Array) -> Array:
    """He I 7065 over 5876."""
    return np.interp(np.log10(density), np.log10(_HEI_7065[0]), _HEI_7065[1])
