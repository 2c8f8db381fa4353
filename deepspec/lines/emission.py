"""Peaks in the spectra of ionised gas: which emission lines may they be, at which redshift?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepspec.lines.candidate import Candidate, LabelledPeak, ranked
from deepspec.lines.peaks import find_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis
    from deepspec.lines.peaks import Peak

    Array = NDArray[np.float64]


class EmissionLine(NamedTuple):
    """One line."""

    name: str
    ion: str
    wavelength: float
    """Angstrom at rest, in air above 2000."""
    weight: float
    """How often it is seen and how strong it then is, 0 to 1."""


# Wavelengths as in the tables of Osterbrock & Ferland (2006) and, below 3000 angstrom, of Vanden Berk et al. (2001).
LINES = tuple(
    EmissionLine(*line)
    for line in (
        ("Lyα", "H I", 1215.67, 1.0), ("NV1240", "N V", 1240.14, 0.3), ("CIV1549", "C IV", 1549.06, 0.6),
        ("HeII1640", "He II", 1640.42, 0.3), ("CIII]1909", "C III", 1908.73, 0.5), ("MgII2798", "Mg II", 2798.75, 0.6),
        ("[OII]3727", "O II", 3727.42, 1.0), ("[NeIII]3869", "Ne III", 3868.76, 0.5), ("Hε", "H I", 3970.08, 0.3),
        ("Hδ", "H I", 4101.73, 0.4), ("Hγ", "H I", 4340.46, 0.6), ("[OIII]4363", "O III", 4363.21, 0.3),
        ("HeI4471", "He I", 4471.48, 0.2), ("HeII4686", "He II", 4685.71, 0.4), ("[ArIV]4740", "Ar IV", 4740.17, 0.2),
        ("Hβ", "H I", 4861.33, 0.8), ("[OIII]4959", "O III", 4958.91, 0.8), ("[OIII]5007", "O III", 5006.84, 1.0),
        ("[NI]5199", "N I", 5199.1, 0.3), ("HeII5412", "He II", 5411.52, 0.2), ("[ClIII]5518", "Cl III", 5517.71, 0.2),
        ("[ClIII]5538", "Cl III", 5537.87, 0.2), ("[NII]5755", "N II", 5754.59, 0.3), ("HeI5876", "He I", 5875.66, 0.5),
        ("[OI]6300", "O I", 6300.30, 0.6), ("[SIII]6312", "S III", 6312.06, 0.3), ("[OI]6364", "O I", 6363.78, 0.4),
        ("[NII]6548", "N II", 6548.05, 0.6), ("Hα", "H I", 6562.80, 1.0), ("[NII]6583", "N II", 6583.46, 0.8),
        ("HeI6678", "He I", 6678.16, 0.3), ("[SII]6716", "S II", 6716.44, 0.7), ("[SII]6731", "S II", 6730.82, 0.7),
        ("HeI7065", "He I", 7065.25, 0.3), ("[ArIII]7136", "Ar III", 7135.79, 0.4), ("[OII]7320", "O II", 7319.5, 0.3),
        ("[OII]7330", "O II", 7330.2, 0.3), ("[ArIII]7751", "Ar III", 7751.11, 0.3), ("Pa12", "H I", 8750.47, 0.15),
        ("Pa11", "H I", 8862.78, 0.2), ("Pa10", "H I", 9014.91, 0.2), ("[SIII]9069", "S III", 9068.6, 0.7),
        ("Pa9", "H I", 9229.01, 0.2), ("[SIII]9531", "S III", 9531.1, 0.8), ("[CI]9850", "C I", 9850.26, 0.2),
        ("Paδ", "H I", 10049.4, 0.3), ("HeI10830", "He I", 10830.3, 0.8), ("Paγ", "H I", 10938.1, 0.4),
    )
)  # fmt: skip

_PAIRS = (
    ("[OIII]4959", "[OIII]5007"),
    ("[NII]6548", "[NII]6583"),
    ("[NII]6583", "Hα"),
    ("[OI]6364", "[OI]6300"),
    ("[SII]6716", "[SII]6731"),
    ("[SII]6731", "[SII]6716"),
    ("Hβ", "[OIII]5007"),
)
"""A line and one that it is hardly ever seen without."""

_WEAKER = {"[OIII]4959": "[OIII]5007", "[NII]6548": "[NII]6583", "[OI]6364": "[OI]6300"}
"""A line and the one of the same upper level that is three times as strong, whatever the gas."""

SKY = (5577.34, 6300.30, 6363.78)
"""Lines of the night sky, at the wavelengths observed; what is subtracted leaves residuals there."""


def label_wavelengths(spectrum_C: Array, axis: SpectralAxis, redshift: tuple[float, float]) -> list[LabelledPeak]:
    """Peaks of a spectrum with the lines that they may be.

    Args:
        spectrum_C: (C,) finite flux.
        axis: rising wavelengths.
        redshift: lowest and highest; the one between them that names most of what stands out is taken.

    Raises:
        ValueError: if the highest redshift is below the lowest, or the lowest below -0.1.
    """
    low, high = redshift
    if not -0.1 <= low <= high:
        raise ValueError(f"redshift: expected -0.1 <= lowest <= highest, got {low:g} and {high:g}")
    axis = axis.to("angstrom")
    peaks = find_peaks(spectrum_C, axis)
    z, named = _best_redshift(peaks, axis, low, high)
    if low < high and named < 2:
        return [LabelledPeak(peak, ()) for peak in peaks]  # one line alone can be any
    near = {line.name: [peak.height for peak in peaks if _near(peak, line, z, axis)] for line in LINES}
    present = {name: max(heights) for name, heights in near.items() if heights}
    return [LabelledPeak(peak, ranked(_candidates(peak, z, axis, present))) for peak in peaks]


def _tolerance(axis: SpectralAxis, wavelength: float) -> float:
    """A channel and a half, and 120 km/s: gas moves, and air and vacuum differ by 80 km/s."""
    return 1.5 * float(np.interp(wavelength, axis.values, axis.widths())) + 4e-4 * wavelength


def _near(peak: Peak, line: EmissionLine, z: float, axis: SpectralAxis) -> bool:
    return abs(line.wavelength * (1 + z) - peak.position) <= _tolerance(axis, peak.position)


def _best_redshift(peaks: list[Peak], axis: SpectralAxis, low: float, high: float) -> tuple[float, int]:
    """The redshift that names most, and how many peaks it names: each strong peak is tried as each strong line."""
    tried = {low}
    for peak in sorted(peaks, key=lambda peak: -peak.significance)[:8]:
        tried |= {peak.position / line.wavelength - 1 for line in LINES if line.weight >= 0.5}
    best = (0.0, low, 0)
    for z in sorted(z for z in tried if low <= z <= high):
        total, named = 0.0, 0
        for peak in peaks:
            weight = max((line.weight for line in LINES if _near(peak, line, z, axis)), default=0.0)
            total += weight * min(peak.significance, 50.0)
            named += weight > 0
        if total > best[0]:
            best = (total, z, named)
    return best[1], best[2]


def _candidates(peak: Peak, z: float, axis: SpectralAxis, present: dict[str, float]) -> list[Candidate]:
    found = []
    for line in LINES:
        if not _near(peak, line, z, axis):
            continue
        position = line.wavelength * (1 + z)
        wanted = [other for name, other in _PAIRS if name == line.name]
        family = sum(other in present for other in wanted) / len(wanted) if wanted else 1.0
        if peak.height > present.get(_WEAKER.get(line.name, ""), math.inf):
            family = 0.0
        off = abs(position - peak.position) / _tolerance(axis, peak.position)
        score = (0.4 + 0.6 * line.weight**0.5) * (0.4 + 0.6 * family) * np.exp(-0.5 * off**2)
        label = line.name if abs(z) < 1e-3 else f"{line.name} z={z:.4f}"
        found.append(Candidate(label, line.ion, "line", position, float(score), family))
    if any(abs(peak.position - sky) <= _tolerance(axis, sky) for sky in SKY):
        found.append(Candidate("night sky", "O I", "line", peak.position, 0.5, 1.0))
    return found
