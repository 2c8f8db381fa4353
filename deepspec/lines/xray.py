"""X-ray peaks: which elements may they be?

The lines of one shell of an element come together, in nearly fixed ratios: a family. All families that have their main
line near a peak are fitted to the spectrum at once, with no coefficient below zero, after both went through the same
top-hat filter (Schamber 1977), which removes the background; the tube's scattered lines, escape peaks (of silicon's own
photons) and sum peaks (two photons counted as one) of what was fitted take part. Then families are taken out again, the
rare ones first, wherever the others explain the spectrum as well: Pb Lβ5 is no thorium. A family explains a peak by
what it adds there. Beside it stand the families that the fit did without, with the share of the peak that each could
explain without making its other lines stronger than what was measured: Pb Lα asks for Pb Lβ, As Kα for As Kβ.

Shapes: C channels, F families, K spectra, P parts of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.calibration_fit import Calibration, fit_calibration, plausible, solve
from deepspec.lines.candidate import Candidate, LabelledPeak, ranked
from deepspec.lines.parts import Part, artefact_part, family_part
from deepspec.lines.peaks import FilteredSpectra, find_peaks, fwhm_kev
from deepspec.lines.tube import NO_TUBE, find_tube, scattered_parts
from deepspec.lines.xray_lines import LIGHT, SELDOM, group_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.lines.candidate import Kind
    from deepspec.lines.peaks import Peak
    from deepspec.lines.xray_lines import XrfLine

    Array = NDArray[np.float64]


SILICON_KA_KEV = 1.740
_SILICON_EDGE_KEV = 1.839

# Mass attenuation of silicon in cm2/g: of its own photons, and above its edge about this times E^-2.83.
_OWN_ATTENUATION = 350.0
_EDGE_ATTENUATION, _FALL = 3190.0, -2.83


def escape_share(energy: Array) -> Array:
    """Photons of an energy in keV whose silicon photon leaves the crystal, as a share of those counted whole.

    Reed & Ware (1972): half the yield of the K shell, less what is absorbed on the way out.

    >>> [round(float(escape_share(np.array(e))), 4) for e in (1.5, 2.3, 3.69, 6.4)]
    [0.0, 0.0127, 0.0071, 0.0023]
    """
    attenuation = _EDGE_ATTENUATION * (np.maximum(energy, _SILICON_EDGE_KEV) / _SILICON_EDGE_KEV) ** _FALL
    ratio = _OWN_ATTENUATION / attenuation
    return np.asarray(np.where(energy > _SILICON_EDGE_KEV, 0.02 * (1 - ratio * np.log1p(1 / ratio)), 0.0))


def escape_spectrum(model_C: Array, energy_C: Array) -> Array:
    """(C,) escape peaks of a spectrum of lines.

    Args:
        model_C: (C,) lines without background.
        energy_C: (C,) true energies in keV, rising.
    """
    parents = energy_C + SILICON_KA_KEV
    return np.interp(parents, energy_C, model_C, right=0.0) * escape_share(parents)


def sum_spectrum(model_C: Array, energy_C: Array) -> Array:
    """(C,) peaks of two photons counted as one, in proportion: photons of different lines meet in two orders.

    Args:
        model_C: (C,) lines without background, in counts per keV.
        energy_C: (C,) true energies in keV, rising.
    """
    step = float(np.median(np.diff(energy_C)))
    even = np.arange(energy_C[0], energy_C[-1] + step, step)
    even_model = np.maximum(np.interp(even, energy_C, model_C, right=0.0), 0.0)
    size = 2 * len(even)
    doubled = np.fft.irfft(np.fft.rfft(even_model, size) ** 2, size)
    return np.interp(energy_C, 2 * energy_C[0] + step * np.arange(size), doubled * step, left=0.0, right=0.0)


_RATIO_ERROR = 0.15
"""Relative error of line ratios, when it is asked how much of a family there may be at most."""

_REACH = 0.22
"""How far a peak may lie from its line, in full widths: overlaps shift peaks."""

_BELIEVED = 1.5
"""How much further, if the family is in the fit: other lines of it say that it is there."""

_WEAK_MEMBER = 0.1
"""Share of a peak from which on a family in the fit goes before those that the fit did without."""

_PRICE = {"K": 3.0, "L": 4.0, "M": 5.0}
"""By how much a family must better the fit, in units of chi squared, to be believed."""
_RARE_PRICE = 6.0
"""By how much more, if its element is rare."""

_LIGHT_PRICE = 10.0
"""By how much more, if it is light."""

_LEAST_SCORE = 0.05
_LEAST_BEST = 0.3
"""A peak whose best candidate scores less is nothing that is known."""

_OWN_SUMS = 3
"""Elements whose photons may meet each other more often than those of others."""


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
    overall = FilteredSpectra(spectra_KC.sum(0)[None], axis)
    calibration = fit_calibration(spectra, overall, np.array([peak.position for found in peaks for peak in found]))
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
        self.energy_of = {peak: float(calibration.energy(np.array(peak.position))) for peak in peaks}
        parts = self._elements(anode)
        if anode:
            parts += scattered_parts(anode, self.energy_C, calibration.fwhm_mn_ev)
        self._set(parts, [np.ones(len(part.names)) for part in parts])
        self._solve(np.ones(len(parts), dtype=bool))
        for _ in range(2):  # what is made of the lines, and their ratios, follow from the amounts
            self._add_artefacts()
            used_P = self._believed()
            self._correct_ratios()
            self._solve(used_P)
        self.model_C = self.amount_P @ self.shape_PC

    def _elements(self, anode: str | None) -> list[Part]:
        positions = np.sort(np.array(list(self.energy_of.values())))
        reach = np.array([self.reach(energy) for energy in positions])
        low, high = self.energy_C[[0, -1]]
        return [
            family_part(
                family,
                self.energy_C,
                self._calibration.fwhm_mn_ev,
                price=_PRICE[family.shell]
                + _RARE_PRICE * (family.element in SELDOM)
                + _LIGHT_PRICE * (family.element in LIGHT),
                rare=family.element in SELDOM | LIGHT,
            )
            for family in plausible(positions, float(low), float(high), reach)
            # What the anode has in common with the sample cannot be told from what is scattered.
            if family.element != anode or family.shell == "M"
        ]

    def _set(self, parts: list[Part], factors: list[Array]) -> None:
        """Take these parts, their groups multiplied by factors."""
        self.parts, self._factors = parts, factors
        self.group_shapes = [self._spectra.top_hat(part.shape_GC) for part in parts]
        self._reshape()

    def _reshape(self) -> None:
        shapes = [factor @ shape for factor, shape in zip(self._factors, self.group_shapes, strict=True)]
        self.shape_PC = np.array(shapes).reshape(-1, len(self.energy_C))

    def _add_artefacts(self) -> None:
        """Escape and sum peaks of the lines as they are fitted now."""
        lines = [
            amount * (factor @ part.shape_GC)
            for part, factor, amount in zip(self.parts, self._factors, self.amount_P, strict=True)
            if part.kind == "line"
        ]
        kept = [n for n, part in enumerate(self.parts) if part.kind in ("line", "scatter")]
        parts, factors = [self.parts[n] for n in kept], [self._factors[n] for n in kept]
        if lines:
            model_C = np.sum(lines, axis=0)
            parts.append(artefact_part("escape", escape_spectrum(model_C, self.energy_C)))
            # The photons of one element meet more often than the mean over pixels says, where it is in some of them.
            strongest = sorted(lines, key=lambda line_C: -float(line_C.sum()))[:_OWN_SUMS] if len(lines) > 1 else []
            parts += [artefact_part("sum", sum_spectrum(line_C, self.energy_C)) for line_C in (model_C, *strongest)]
            factors += [np.ones(1)] * (len(parts) - len(factors))
        self._set(parts, factors)

    def _correct_ratios(self) -> None:
        """Multiply the groups of each part by what the spectrum says, as far as their ratios are uncertain."""
        rows, owners = [], []
        for part, shapes_GC, factor, amount, number in zip(
            self.parts, self.group_shapes, self._factors, self.amount_P, range(len(self.parts)), strict=True
        ):
            if amount <= 0 or len(part.names) < 2:
                continue
            for group, error in enumerate(part.errors):
                rows.append(error * amount * factor[group] * shapes_GC[group] / self.sigma_C)
                owners.append((number, group, error))
        if not rows:
            return
        weight_C = self._spectra.independent_C
        design_GC = np.array(rows)
        residual_C = (self.filtered_C - self.amount_P @ self.shape_PC) / self.sigma_C
        normal = (design_GC * weight_C) @ design_GC.T + np.eye(len(rows))
        change_G = np.linalg.solve(normal, (design_GC * weight_C) @ residual_C)
        for (number, group, error), change in zip(owners, change_G, strict=True):
            factor = self._factors[number].copy()
            factor[group] = np.clip(
                factor[group] * (1 + np.clip(error * change, -0.5, 0.5)), 1 - 2 * error, 1 + 2 * error
            )
            self._factors[number] = np.maximum(factor, 0.05)
        self._reshape()

    def reach(self, energy: float) -> float:
        """How far a peak may lie from a line, in keV."""
        width = float(np.interp(energy, self.energy_C, self._spectra.width_C))
        return max(_REACH * float(fwhm_kev(np.array(energy), self._calibration.fwhm_mn_ev)), 0.7 * width)

    def channel(self, peak: Peak) -> int:
        """Channel of a peak."""
        return self._spectra.channel(peak.position)

    def _solve(self, used_P: NDArray[np.bool_]) -> float:
        """Set the amounts of the parts in use; the misfit."""
        self.amount_P = np.zeros(len(self.parts))
        self.amount_P[used_P], residual_C = solve(self.shape_PC[used_P], self.filtered_C, self.sigma_C)
        return float((self._spectra.independent_C * 9 * np.log1p(residual_C**2 / 9)).sum())

    def _believed(self) -> NDArray[np.bool_]:
        """(P,) parts that the fit is worse without."""
        used_P = np.ones(len(self.parts), dtype=bool)
        best = self._solve(used_P)
        used_P &= self.amount_P > 0
        effect_P = (self.amount_P[:, None] * self.shape_PC / self.sigma_C).max(axis=1, initial=0.0)
        price_P = np.array([part.price for part in self.parts])
        explains_P = np.array([self._explains_own_peak(number) for number in range(len(self.parts))])
        for number in np.lexsort((effect_P, -price_P)):
            if not used_P[number] or price_P[number] == 0:
                continue
            used_P[number] = False
            misfit = self._solve(used_P)
            if misfit - best < price_P[number] or (self.parts[number].rare and not explains_P[number]):
                best = misfit
            else:
                used_P[number] = True
        self._solve(used_P)
        return used_P

    def _explains_own_peak(self, number: int) -> bool:
        """Whether a family is most of the peak at its main line."""
        family = self.parts[number].family
        line = None if family is None else family.main(float(self.energy_C[0]), float(self.energy_C[-1]))
        if family is None or line is None:
            return True
        position = family.seen_at(line)
        near = [p for p in self.peaks if abs(self.energy_of[p] - position) <= self.reach(position) * family.blend]
        return any(self.share(number, self.channel(peak)) >= 0.7 for peak in near)

    def labelled(self) -> list[LabelledPeak]:
        """The peaks with their candidates."""
        found = []
        for peak in self.peaks:
            candidates = ranked(self.lines(peak) + self._scatter(peak) + self._escapes(peak) + self._sums(peak))
            if candidates and candidates[0].score < _LEAST_BEST:
                candidates = ()
            found.append(LabelledPeak(peak, candidates, round(self.explained(peak), 3)))
        return found

    def explained(self, peak: Peak) -> float:
        """Height of the model at a peak as a share of the measured one."""
        channel = self.channel(peak)
        return float(self.model_C[channel]) / self._height(channel)

    def _height(self, channel: int) -> float:
        return max(float(self.filtered_C[channel]), 1e-300)

    def share(self, number: int, channel: int) -> float:
        """Share of the peak in a channel that a part of the model explains."""
        return float(np.clip(self.amount_P[number] * self.shape_PC[number, channel] / self._height(channel), 0, 1))

    def _own_share(self, number: int, line: XrfLine, channel: int) -> float:
        """Share of a peak that the group of a line explains.

        A strong neighbour, which may be of the same family, pulls the filtered spectrum down beside it: the peak is
        then higher than it looks.
        """
        group = self.parts[number].group_of(line)
        own = float(self.amount_P[number] * self._factors[number][group] * self.group_shapes[number][group, channel])
        net = float(self.amount_P[number] * self.shape_PC[number, channel])
        own = max(own, net)
        others = min(float(self.model_C[channel]) - own, 0.0)
        return float(np.clip(own / max(self._height(channel) - others, 1e-300), 0, 1))

    def lines(self, peak: Peak) -> list[Candidate]:
        """The families with a line near a peak."""
        channel, energy = self.channel(peak), self.energy_of[peak]
        reach = self.reach(energy)
        found: list[Candidate] = []
        shares: dict[str, float] = {}
        for number, part in enumerate(self.parts):
            family = part.family
            wider = _BELIEVED if self.amount_P[number] > 0 else 1.0
            line = None if family is None else family.near(energy, reach * family.blend * wider)
            if family is None or line is None or line.intensity < 0.005:
                continue
            position, share = family.seen_at(line), self._own_share(number, line, channel)
            if part.kind == "scatter":
                if share > _LEAST_SCORE:
                    label = f"{family.element} {group_name(line)} Rayleigh"
                    found.append(Candidate(label, family.element, "scatter", position, share, round(share, 3)))
                continue
            alone = float(np.clip(self._most[number] * self.shape_PC[number, channel] / self._height(channel), 0, 1))
            score = 0.65 * share + 0.35 * alone * np.exp(-2 * ((position - energy) / reach) ** 2)
            if share == 0 and part.rare:
                score *= 0.5
            if score >= _LEAST_SCORE:
                label = f"{family.element} {group_name(line)}"
                found.append(Candidate(label, family.element, "line", position, float(score), round(alone, 3)))
                shares[label] = share
        if max(shares.values(), default=0.0) < _WEAK_MEMBER:
            return found
        return [c if c.kind == "scatter" or shares[c.label] > 0 else replace(c, score=c.score / 2) for c in found]

    @cached_property
    def _most(self) -> dict[int, float]:
        """The most of each family that none of its stronger peaks speaks against."""
        return {number: self._most_of(number) for number, part in enumerate(self.parts) if part.kind == "line"}

    def _most_of(self, number: int) -> float:
        shape_C = self.shape_PC[number]
        # A strong neighbour pulls the filtered spectrum below zero beside it.
        others_C = self.model_C - self.amount_P[number] * shape_C
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
        """What the sample scattered of the tube's lines with a loss of energy."""
        channel, shares = self.channel(peak), dict[str, float]()
        for number, part in enumerate(self.parts):
            if part.kind == "scatter" and part.family is None and self.amount_P[number] > 0:
                heights = self._factors[number] * self.group_shapes[number][:, channel]
                share = self.share(number, channel)
                name = part.names[int(heights.argmax())]
                shares[name] = shares.get(name, 0.0) + share
        return [
            _artefact("scatter", label, self.energy_of[peak], min(share, 1.0))
            for label, share in shares.items()
            if share > _LEAST_SCORE
        ]

    @cached_property
    def _strong(self) -> list[tuple[str, float, float]]:
        """Name, true energy and area in counts of the peaks that are lines."""
        found = []
        for peak in self.peaks:
            lines = ranked([c for c in self.lines(peak) if c.score > 0.3], 1)
            energy = self.energy_of[peak]
            name = lines[0].label if lines else f"{energy:.2f} keV"
            area = peak.height * float(fwhm_kev(np.array(energy), self._calibration.fwhm_mn_ev))
            found.append((name, lines[0].position if lines else energy, area))
        return found

    def _artefact_share(self, kind: Kind, channel: int) -> float:
        shares = [self.share(number, channel) for number, part in enumerate(self.parts) if part.kind == kind]
        return min(sum(shares), 1.0)

    def _escapes(self, peak: Peak) -> list[Candidate]:
        """A silicon detector shows a line once more, 1.74 keV lower, at up to 2 % of its height."""
        energy, share = self.energy_of[peak], self._artefact_share("escape", self.channel(peak))
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
        energy, share = self.energy_of[peak], self._artefact_share("sum", self.channel(peak))
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


def _artefact(kind: Kind, label: str, position: float, share: float) -> Candidate:
    return Candidate(label, label.split()[0], kind, position, 0.95 * share, round(share, 3))
