"""Peaks in the spectra of ionised gas: which emission lines may they be, at which redshift?

Emission lines of ionised and neutral gas: one table for labels and for synthetic nebulae.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from deepspec.lines.candidate import Candidate, LabelledPeak, ranked
from deepspec.lines.peaks import SIGNIFICANCE, find_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.lines.peaks import Peak

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


Medium = Literal["air", "vacuum"]

_PAIRS = (
    ("[OIII]4959", "[OIII]5007"),
    ("[NII]6548", "[NII]6583"),
    ("[NII]6583", "Hα"),
    ("[OI]6364", "[OI]6300"),
    ("[SII]6716", "[SII]6731"),
    ("[SII]6731", "[SII]6716"),
    ("Hβ", "[OIII]5007"),
    ("[FeVII]5721", "[FeVII]6087"),
    ("[NeIII]3967", "[NeIII]3869"),
    ("[NeV]3346", "[NeV]3426"),
)
"""A line and one that it is hardly ever seen without."""

_WEAKER = {
    "[OIII]4959": "[OIII]5007",
    "[NII]6548": "[NII]6583",
    "[OI]6364": "[OI]6300",
    "[NeIII]3967": "[NeIII]3869",
    "[NeV]3346": "[NeV]3426",
}
"""A line and the one of the same upper level that is three times as strong, whatever the gas."""

SKY = (5577.34, 6300.30, 6363.78)
"""Lines of the night sky, at the wavelengths observed in air; what is subtracted leaves residuals there."""

MOTION = 0.002
"""Gas moves by up to this redshift (600 km/s) about one that the user gives; each cluster has its own."""

_STRONG = 0.5
"""Weight of lines one of which is there wherever gas shines: without any, a weak line is a flaw of the continuum."""

_WINDOW = 101
"""Channels that the continuum about a peak is judged by."""

_ROUGHNESS = 3.0
"""An emission line rises this many times above the continuum's own scatter, which in starlight is that of its
absorption lines: between two of them the continuum is no line."""

_RARE, _RARE_ROUGHNESS = 0.3, 5.0
"""Lines of less than this weight rise as often above it: residuals of the night sky hit some of the many rare lines."""


@dataclass(frozen=True)
class WavelengthLabels:
    """The peaks of a spectrum, and the redshift that they were named at."""

    labels: list[LabelledPeak]
    """By position."""
    redshift: float | None
    """None if too few lines are there to tell."""


def label_wavelengths(
    spectrum_C: Array,
    axis: SpectralAxis,
    redshift: tuple[float, float],
    *,
    significance: float = SIGNIFICANCE,
    medium: Medium = "air",
) -> WavelengthLabels:
    """Peaks of a spectrum with the lines that they may be.

    Args:
        spectrum_C: (C,) finite flux.
        axis: rising wavelengths.
        redshift: lowest and highest; the one between them that names most of what stands out is taken. Where both are
            the same, gas may move by 600 km/s about it.
        significance: of peaks at least.
        medium: whether the axis is in air or in vacuum.

    Raises:
        ValueError: if the highest redshift is below the lowest, or the lowest below -0.1.
    """
    low, high = redshift
    if not -0.1 <= low <= high:
        raise ValueError(f"redshift: expected -0.1 <= lowest <= highest, got {low:g} and {high:g}")
    axis = axis.to("angstrom")
    peaks = find_peaks(spectrum_C, axis, significance=significance)
    rises = {peak: _rise(spectrum_C, axis, peak) for peak in peaks}
    risen = [peak for peak in peaks if rises[peak] > _ROUGHNESS]
    within = (low - MOTION, high + MOTION) if low == high else (low, high)
    z, named = _best_redshift(risen, axis, *within, medium)
    if named < 2:  # one line alone can be any
        if low < high:
            return WavelengthLabels([LabelledPeak(peak, ()) for peak in peaks], None)
        z = low
    near: dict[str, list[float]] = {}
    for line, at in _observed(z, medium):
        near[line.name] = [peak.height for peak in risen if abs(at - peak.position) <= _tolerance(axis, peak.position)]
    present = {name: max(heights) for name, heights in near.items() if heights}
    strong = {line.name for line in emission_lines() if line.weight >= _STRONG}
    least = 0.0 if strong & present.keys() else _STRONG
    labels = [
        LabelledPeak(
            peak,
            ranked(_candidates(peak, z, axis, present, medium, max(least, _least_weight(rises[peak]))))
            if peak in risen
            else (),
        )
        for peak in peaks
    ]
    return WavelengthLabels(labels, z if named >= 2 else None)


def _least_weight(rise: float) -> float:
    """Weight of lines that a peak may be: one that hardly rises is no rare line."""
    return 0.0 if rise > _RARE_ROUGHNESS else _RARE


def _rise(spectrum_C: Array, axis: SpectralAxis, peak: Peak) -> float:
    """How far a peak rises from the continuum, in units of its scatter; not far between two absorption lines."""
    channel = int(np.abs(axis.values - peak.position).argmin())
    start = min(max(0, channel - _WINDOW // 2), max(0, len(spectrum_C) - _WINDOW))
    around = spectrum_C[start : start + _WINDOW]
    continuum = float(np.median(around))
    roughness = 1.4826 * float(np.median(np.abs(around - continuum)))
    top = float(spectrum_C[max(0, channel - 1) : channel + 2].max())
    return (top - continuum) / max(roughness, 1e-300)


def _observed(z: float, medium: Medium) -> list[tuple[EmissionLine, float]]:
    """Lines and where they are seen at a redshift, in angstrom."""
    lines = [line for line in emission_lines() if line.weight > 0]
    moved = to_vacuum(np.array([line.wavelength for line in lines])) * (1 + z)
    return list(zip(lines, (moved if medium == "vacuum" else to_air(moved)).tolist(), strict=True))


def _tolerance(axis: SpectralAxis, wavelength: float) -> float:
    """A channel and a half, and 120 km/s: ions move apart from each other, coronal ones the most."""
    return 1.5 * float(np.interp(wavelength, axis.values, axis.widths())) + 4e-4 * wavelength


def _best_redshift(peaks: list[Peak], axis: SpectralAxis, low: float, high: float, medium: Medium) -> tuple[float, int]:
    """The redshift that names most, and how many peaks it names: each strong peak is tried as each strong line."""
    tried = {low, high, (low + high) / 2}
    strong = [line for line in emission_lines() if line.weight >= _STRONG]
    rest = to_vacuum(np.array([line.wavelength for line in strong]))
    for peak in sorted(peaks, key=lambda peak: -peak.significance)[:8]:
        seen = np.array(peak.position)
        tried |= set(((seen if medium == "vacuum" else to_vacuum(seen)) / rest - 1).tolist())
    best = (0.0, (low + high) / 2, 0)
    for z in sorted((z for z in tried if low <= z <= high), key=lambda z: (abs(z - (low + high) / 2), z)):
        total, named = 0.0, 0
        observed = _observed(z, medium)
        for peak in peaks:
            reach = _tolerance(axis, peak.position)
            # Of lines that are as good in name the nearer one: it places the redshift.
            worth = max(
                (
                    line.weight * (1 - 0.3 * (abs(at - peak.position) / reach) ** 2)
                    for line, at in observed
                    if abs(at - peak.position) <= reach
                ),
                default=0.0,
            )
            total += worth * min(peak.significance, 50.0)
            named += worth > 0
        if total > best[0] * (1 + 1e-9):
            best = (total, z, named)
    return best[1], best[2]


def _candidates(
    peak: Peak, z: float, axis: SpectralAxis, present: dict[str, float], medium: Medium, least: float
) -> list[Candidate]:
    found = []
    reach = _tolerance(axis, peak.position)
    for line, at in _observed(z, medium):
        if abs(at - peak.position) > reach or line.weight < least:
            continue
        wanted = [other for name, other in _PAIRS if name == line.name]
        family = sum(other in present for other in wanted) / len(wanted) if wanted else 1.0
        if peak.height > present.get(_WEAKER.get(line.name, ""), math.inf):
            family = 0.0
        off = abs(at - peak.position) / reach
        score = (0.4 + 0.6 * line.weight**0.5) * (0.4 + 0.6 * family) * np.exp(-0.5 * off**2)
        found.append(Candidate(line.name, line.ion, "line", at, float(score), family, z))
    sky = np.array(SKY)
    if (np.abs(peak.position - (sky if medium == "air" else to_vacuum(sky))) <= reach).any():
        found.append(Candidate("night sky", "O I", "line", peak.position, 0.5, 1.0))
    return found
