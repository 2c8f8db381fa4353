"""X-ray peaks: which elements may they be?

The lines of one shell of an element come together, in nearly fixed ratios: a family. All families that have their main
line near a peak are fitted to the spectrum at once, with no coefficient below zero, after both went through the same
top-hat filter (Schamber 1977), which removes the background; the tube's scattered lines, escape and sum peaks of what
was fitted take part. Then families are taken out again, the rare ones first, wherever the others explain the spectrum
as well: Pb Lβ5 is no thorium. A family explains a peak by what it adds there. Beside it stand the families that the fit
did without, with the share of the peak that each could explain without making its other lines stronger than what was
measured: Pb Lα asks for Pb Lβ, As Kα for As Kβ.

Shapes: C channels, F families, K spectra, P parts of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.artefacts import SILICON_KA_KEV, escape_share, escape_spectrum, sum_spectrum
from deepspec.lines.calibration_fit import Calibration, family_shapes, fit_calibration, plausible, solve
from deepspec.lines.candidate import Candidate, LabelledPeak, ranked
from deepspec.lines.families import SELDOM, group_name
from deepspec.lines.filtered import FilteredSpectra
from deepspec.lines.peaks import find_peaks, fwhm_kev
from deepspec.lines.tube import NO_TUBE, find_tube, scattered_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis
    from deepspec.lines.candidate import Kind
    from deepspec.lines.families import Family
    from deepspec.lines.peaks import Peak

    Array = NDArray[np.float64]

_RATIO_ERROR = 0.15
"""Relative error of line ratios, when it is asked how much of a family there may be at most."""

_REACH = 0.3
"""How far a peak may lie from its line, in full widths: overlaps shift peaks."""

_BLEND = {"K": 1.0, "L": 1.0, "M": 1.4}

_PRICE = {"K": 3.0, "L": 4.0, "M": 5.0}
"""By how much a family must better the fit, in units of chi squared, to be believed."""
_RARE_PRICE = 6.0
"""By how much more, if its element is rare."""

_LEAST_SCORE = 0.05


@dataclass(frozen=True)
class EnergyLabels:
    """The peaks of spectra of one detector, and what was found about it."""

    labels: list[list[LabelledPeak]]
    """Of each spectrum."""
    calibration: Calibration
    """Of the axis."""
    tube: str | None
    """Its anode, if it was given or found."""


def label_energies(
    spectra_KC: Array, axis: SpectralAxis, *, significance: float, tube: str | None = None
) -> EnergyLabels:
    """Peaks of X-ray spectra with their candidates.

    Args:
        spectra_KC: (K, C) finite counts or rates, all of one detector.
        axis: rising, in keV.
        significance: of peaks at least.
        tube: anode, `none` where there is no tube, None to look for it.
    """
    peaks = [find_peaks(spectrum_C, axis, significance=significance) for spectrum_C in spectra_KC]
    spectra = FilteredSpectra(spectra_KC, axis)
    calibration = fit_calibration(spectra, np.array([peak.position for found in peaks for peak in found]))
    anode = tube or find_tube(spectra, calibration)
    if anode == NO_TUBE:
        anode = None
    labels = [
        _Explanation(spectra, number, calibration, found, anode).labelled() if found else []
        for number, found in enumerate(peaks)
    ]
    return EnergyLabels(labels, calibration, anode)


class _Explanation:
    """Everything that makes up one spectrum."""

    def __init__(
        self, spectra: FilteredSpectra, number: int, calibration: Calibration, peaks: list[Peak], anode: str | None
    ) -> None:
        self._spectra, self._calibration, self.peaks = spectra, calibration, peaks
        self.filtered_C, self.sigma_C = spectra.filtered_SC[number], spectra.sigma_SC[number]
        self.noise_C = spectra.noise_SC[number]
        self.energy_C = calibration.energy(spectra.energy_C)
        self.position_of = {peak: float(calibration.energy(np.array(peak.position))) for peak in peaks}
        self.families = self._families(anode)
        fwhm = calibration.fwhm_mn_ev
        self.line_FC = family_shapes(self.families, self.energy_C, fwhm)
        self.scattered = scattered_lines(anode, self.energy_C, fwhm) if anode else []
        scattered_BC = np.array([part.shape_C for part in self.scattered]).reshape(-1, len(self.energy_C))
        top_hat = spectra.top_hat
        self.family_FC, scattered_BC = top_hat(self.line_FC), top_hat(scattered_BC)
        used_F = np.ones(len(self.families), dtype=bool)
        artefact_AC = np.zeros((2, len(self.energy_C)))
        for _ in range(2):  # escape and sum peaks are made of the lines that they are fitted with
            self.parts_PC = np.vstack([self.family_FC, scattered_BC, artefact_AC])
            self.amount_P = self._solve(used_F)
            model_C = self.amount_P[: len(self.families)] @ self.line_FC
            artefact_AC = top_hat(
                np.stack([escape_spectrum(model_C, self.energy_C), sum_spectrum(model_C, self.energy_C)])
            )
        self.parts_PC = np.vstack([self.family_FC, scattered_BC, artefact_AC])
        self.amount_P = self._solve(self._believed())
        self.amount_F = self.amount_P[: len(self.families)]
        self.model_C = self.amount_P @ self.parts_PC

    def _families(self, anode: str | None) -> list[Family]:
        positions = np.sort(np.array(list(self.position_of.values())))
        reach = np.array([self.reach(energy) for energy in positions])
        low, high = self.energy_C[[0, -1]]
        found = plausible(positions, float(low), float(high), reach)
        # What the anode has in common with the sample cannot be told from what is scattered.
        return [family for family in found if family.element != anode or family.shell == "M"]

    def reach(self, energy: float) -> float:
        """How far a peak may lie from a line, in keV."""
        width = float(np.interp(energy, self.energy_C, self._spectra.width_C))
        return max(_REACH * float(fwhm_kev(np.array(energy), self._calibration.fwhm_mn_ev)), 0.7 * width)

    def channel(self, peak: Peak) -> int:
        """Channel of a peak."""
        return self._spectra.channel(peak.position)

    def _solve(self, used_F: NDArray[np.bool_]) -> Array:
        used_P = np.concatenate([used_F, np.ones(len(self.parts_PC) - len(used_F), dtype=bool)])
        amount_P = np.zeros(len(self.parts_PC))
        amount_P[used_P], residual_C = solve(self.parts_PC[used_P], self.filtered_C, self.sigma_C)
        self._misfit = float((self._spectra.independent_C * 9 * np.log1p(residual_C**2 / 9)).sum())
        return amount_P

    def _believed(self) -> NDArray[np.bool_]:
        """(F,) families that the fit is worse without."""
        used_F = np.ones(len(self.families), dtype=bool)
        used_F &= self._solve(used_F)[: len(self.families)] > 0
        best = self._misfit
        effect_F = (self.amount_P[: len(self.families), None] * self.family_FC / self.sigma_C).max(axis=1, initial=0.0)
        price_F = np.array([_PRICE[f.shell] + _RARE_PRICE * (f.element in SELDOM) for f in self.families])
        for number in np.lexsort((effect_F, -price_F)):
            if not used_F[number]:
                continue
            used_F[number] = False
            self._solve(used_F)
            if self._misfit - best < price_F[number]:
                best = self._misfit
            else:
                used_F[number] = True
        return used_F

    def labelled(self) -> list[LabelledPeak]:
        """The peaks with their candidates."""
        found = []
        for peak in self.peaks:
            channel = self.channel(peak)
            candidates = self.lines(peak) + self._scatter(peak) + self._escapes(peak) + self._sums(peak)
            explained = float(self.model_C[channel] / max(self.filtered_C[channel], 1e-300))
            found.append(LabelledPeak(peak, ranked(candidates), round(explained, 3)))
        return found

    def _share(self, part: int, channel: int) -> float:
        """Share of the peak in a channel that a part of the model explains."""
        height = max(float(self.filtered_C[channel]), 1e-300)
        return float(np.clip(self.amount_P[part] * self.parts_PC[part, channel] / height, 0, 1))

    def lines(self, peak: Peak) -> list[Candidate]:
        """The families with a line near a peak."""
        channel, energy = self.channel(peak), self.position_of[peak]
        reach = self.reach(energy)
        found = []
        for number, family in enumerate(self.families):
            line = family.near(energy, reach * _BLEND[family.shell])
            if line is None or line.intensity < 0.005:
                continue
            alone = float(np.clip(self.most_F[number] * self.family_FC[number, channel] / peak_height(self, channel), 0, 1))
            share = self._share(number, channel)
            position = family.seen_at(line)
            score = 0.65 * share + 0.35 * alone * np.exp(-2 * ((position - energy) / reach) ** 2)
            if share == 0 and family.element in SELDOM:
                score *= 0.5
            if score >= _LEAST_SCORE:
                label = f"{family.element} {group_name(line)}"
                found.append(Candidate(label, family.element, "line", position, float(score), round(alone, 3)))
        return found

    @cached_property
    def most_F(self) -> Array:
        """The most of each family that none of its stronger peaks speaks against."""
        return np.array([self._most(number) for number in range(len(self.families))])

    def _most(self, number: int) -> float:
        shape_C = self.family_FC[number]
        # A strong neighbour pulls the filtered spectrum below zero beside it.
        others_C = self.model_C - self.amount_F[number] * shape_C
        measured_C = self.filtered_C - np.minimum(others_C, 0)
        inner_C = shape_C[1:-1]
        tops = 1 + np.flatnonzero(
            (inner_C >= shape_C[:-2]) & (inner_C > shape_C[2:]) & (inner_C >= 0.05 * shape_C.max()) & (inner_C > 0)
        )
        if len(tops) == 0:
            return 0.0
        upper = (1 + 2 * _RATIO_ERROR) * np.maximum(measured_C[tops], 0) + 3 * self.noise_C[tops]
        return float((upper / shape_C[tops]).min())

    def _scatter(self, peak: Peak) -> list[Candidate]:
        """What the sample scattered of the tube's lines."""
        channel, shares = self.channel(peak), dict[str, float]()
        for number, part in enumerate(self.scattered, len(self.families)):
            share = self._share(number, channel)
            if share > 0:
                shares[part.label] = shares.get(part.label, 0.0) + share
        energy = self.position_of[peak]
        return [
            _artefact("scatter", label, energy, min(share, 1.0)) for label, share in shares.items() if share > _LEAST_SCORE
        ]

    @cached_property
    def _strong(self) -> list[tuple[str, float, float]]:
        """Name, true energy and area in counts of the peaks that are lines."""
        found = []
        for peak in self.peaks:
            lines = ranked([c for c in self.lines(peak) if c.score > 0.3], 1)
            energy = self.position_of[peak]
            name = lines[0].label if lines else f"{energy:.2f} keV"
            area = peak.height * float(fwhm_kev(np.array(energy), self._calibration.fwhm_mn_ev))
            found.append((name, lines[0].position if lines else energy, area))
        return found

    def _escapes(self, peak: Peak) -> list[Candidate]:
        """A silicon detector shows a line once more, 1.74 keV lower, at up to 2 % of its height."""
        energy, part = self.position_of[peak], len(self.parts_PC) - 2
        share = self._share(part, self.channel(peak))
        reach = 1.5 * self.reach(energy)
        parents = [
            (area * float(escape_share(np.array(line))), name, line)
            for name, line, area in self._strong
            if abs(line - SILICON_KA_KEV - energy) <= reach
        ]
        if share <= _LEAST_SCORE or not parents:
            return []
        _, name, line = max(parents)
        return [_artefact("escape", f"{name} escape", line - SILICON_KA_KEV, share)]

    def _sums(self, peak: Peak) -> list[Candidate]:
        """Two photons of strong lines that arrive together count as one; two different lines do so twice as often."""
        energy, part = self.position_of[peak], len(self.parts_PC) - 1
        share = self._share(part, self.channel(peak))
        reach = 1.5 * self.reach(energy)
        pairs = [
            ((1 if i == j else 2) * one[2] * other[2], f"{one[0]} + {other[0]}", one[1] + other[1])
            for i, one in enumerate(self._strong)
            for j, other in enumerate(self._strong[i:], i)
            if abs(one[1] + other[1] - energy) <= reach
        ]
        if share <= _LEAST_SCORE or not pairs:
            return []
        _, name, position = max(pairs)
        return [_artefact("sum", name, position, share)]


def peak_height(explanation: _Explanation, channel: int) -> float:
    """Height of the filtered spectrum in a channel, above zero."""
    return max(float(explanation.filtered_C[channel]), 1e-300)


def _artefact(kind: Kind, label: str, position: float, share: float) -> Candidate:
    return Candidate(label, label.split()[0], kind, position, 0.95 * share, round(share, 3))
