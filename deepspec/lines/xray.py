"""X-ray peaks: which elements may they be?

The lines of one shell of an element come together, in nearly fixed ratios: a family. All families that have their main
line near a peak are fitted to the spectrum at once, with no coefficient below zero, after both went through the same
top-hat filter (Schamber 1977), which removes the background. A family explains a peak by what it adds there. Beside it
stand the families that the fit did without, with the share of the peak that each could explain without making its other
lines stronger than what was measured: Pb Lα asks for Pb Lβ, As Kα for As Kβ.

Shapes: C channels, F families, P peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.label import Candidate, LabelledPeak, ranked
from deepspec.lines.peaks import TopHat, filter_spectrum, find_peaks, fwhm_kev, peak_widths
from deepspec.synthetic.xrf_lines import xrf_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis
    from deepspec.lines.label import Kind
    from deepspec.lines.peaks import Peak
    from deepspec.synthetic.xrf_lines import XrfLine

    Array = NDArray[np.float64]

_MET = (
    "Na Mg Al Si P S Cl Ar K Ca Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Rb Sr Y Zr Nb Mo Ru Rh Pd Ag Cd In Sn Sb "
    "Te I Cs Ba La Ce Nd Hf Ta W Re Ir Pt Au Hg Tl Pb Bi Th U"
)
ELEMENTS = tuple(_MET.split())
"""What is met in paintings, metals, glass, stones, and as anodes of tubes."""

_RARE = "Ga Ge Se Nb Ru In Te Cs La Ce Nd Hf Ta Re Ir Tl Th U Y Rb V"
_SELDOM = frozenset(_RARE.split())
"""Of these, the ones to believe only if nothing usual is nearly as good."""

_ANODES = ("Rh", "Mo", "Ag", "Pd")
"""Anodes of tubes whose K lines a sample scatters."""

_WIDTHS_EV = (130.0, 150.0, 175.0, 210.0)
"""Resolutions at 5.895 keV that are tried."""

_SILICON_KA = 1.740
_ELECTRON_KEV = 511.0
_RATIO_ERROR = 0.15
"""Relative error of line ratios: they vary with the matrix, the layers and the tube."""

_BLEND = {"K": 1.0, "L": 1.0, "M": 1.4}
"""The M lines of an element make one peak, between the strongest two."""

_GREEK = {"a": "α", "b": "β", "g": "γ", "l": "ℓ", "n": "η"}


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

    def shape(self, axis: SpectralAxis, fwhm_mn_ev: float) -> Array:
        """(C,) peaks of the family, the strongest line having area 1 keV."""
        energy = np.array([line.energy for line in self.lines])[:, None]
        sigma = fwhm_kev(energy, fwhm_mn_ev) / 2.3548
        peaks = np.exp(-0.5 * ((axis.values - energy) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
        return np.asarray(np.array([line.intensity for line in self.lines]) @ peaks)

    def main(self, axis: SpectralAxis) -> XrfLine | None:
        """The strongest line on an axis; None if the strong ones are beyond it."""
        seen = [line for line in self.lines if axis.values[0] < line.energy < axis.values[-1]]
        line = max(seen, key=lambda line: line.intensity, default=None)
        return line if line is not None and line.intensity >= 0.3 else None

    def near(self, energy: float, reach: float) -> XrfLine | None:
        """The strongest line within `reach` of an energy."""
        lines = [line for line in self.lines if abs(line.energy - energy) <= reach]
        return max(lines, key=lambda line: line.intensity, default=None)


@lru_cache
def families() -> tuple[Family, ...]:
    """All families, by rising atomic number."""
    found: dict[tuple[str, str], list[XrfLine]] = {}
    for line in xrf_lines():
        if line.element in ELEMENTS:
            found.setdefault((line.element, line.name[0]), []).append(line)
    return tuple(Family(element, tuple(lines)) for (element, _), lines in found.items())


def label_energies(spectrum_C: Array, axis: SpectralAxis) -> list[LabelledPeak]:
    """Peaks of an X-ray spectrum with their candidates.

    Args:
        spectrum_C: (C,) finite counts or rates.
        axis: rising, in keV.
    """
    peaks = find_peaks(spectrum_C, axis)
    if not peaks:
        return []
    tried = _plausible(peaks, axis)
    fit = min((_Fit(spectrum_C, axis, tried, width) for width in _WIDTHS_EV), key=lambda fit: fit.misfit)
    labelled = []
    for number, peak in enumerate(peaks):
        candidates = fit.candidates(peak)
        explained = max((c.score for c in candidates), default=0.0)
        candidates += _escapes(peak, peaks, fit) + _sums(peak, peaks, fit, number) + _scatter(peak, peaks, explained)
        labelled.append(LabelledPeak(peak, ranked(candidates)))
    return labelled


def _reach(axis: SpectralAxis, energy: Array) -> Array:
    """How far peaks may lie from their lines: calibrations are wrong by tens of eV, and overlaps shift peaks."""
    widths = np.interp(energy, axis.values, axis.widths())
    return np.asarray(np.maximum(0.45 * fwhm_kev(energy, 145.0), 0.9 * widths))


def _plausible(peaks: list[Peak], axis: SpectralAxis) -> list[Family]:
    """Families with a peak near their main line, and near that of the next deeper shell if the tube reached it."""
    positions = np.array([peak.position for peak in peaks])
    reach = _reach(axis, positions)
    main = {(family.element, family.shell): family.main(axis) for family in families()}

    def seen(line: XrfLine) -> bool:
        return bool((np.abs(positions - line.energy) <= reach * _BLEND[line.name[0]]).any())

    found = []
    for family in families():
        line, deeper = (
            main[family.element, family.shell],
            main.get((family.element, {"L": "K", "M": "L"}.get(family.shell, ""))),
        )
        reached = deeper is not None and deeper.energy < positions[-1]
        if line is not None and seen(line) and (deeper is None or not reached or seen(deeper)):
            found.append(family)
    return found


class _Fit:
    """Families fitted to a spectrum at one resolution."""

    def __init__(self, spectrum_C: Array, axis: SpectralAxis, tried: list[Family], fwhm_mn_ev: float) -> None:
        self.axis, self.families = axis, tried
        self._reach_C = _reach(axis, axis.values)
        top_hat = TopHat(peak_widths(axis))
        self.filtered_C, self.noise_C = filter_spectrum(spectrum_C, axis, top_hat)
        highest = float(self.filtered_C.max())
        self.shapes_FC = np.array([top_hat(family.shape(axis, fwhm_mn_ev)) for family in tried]).reshape(
            -1, axis.channels
        )
        model_error_C = _RATIO_ERROR * np.abs(self.filtered_C)
        self.sigma_C = np.sqrt(self.noise_C**2 + model_error_C**2 + (3e-4 * highest) ** 2)
        self.amount_F, self.misfit = self._solve()

    @cached_property
    def most_F(self) -> Array:
        """The most of each family that none of its stronger peaks speaks against."""
        return np.array([self._most(number) for number in range(len(self.families))])

    def _solve(self) -> tuple[Array, float]:
        from scipy.optimize import nnls

        used_C = (self.axis.values > self.axis.values[0]) & (np.abs(self.shapes_FC).sum(0) > 0)
        weighted_CF = (self.shapes_FC[:, used_C] / self.sigma_C[used_C]).T
        if weighted_CF.size == 0:
            return np.zeros(len(self.families)), 0.0
        # In units of their own largest value, or the smallest of them would count as zero.
        scale_F = np.abs(weighted_CF).max(axis=0)
        amount_F, misfit = nnls(weighted_CF / scale_F, self.filtered_C[used_C] / self.sigma_C[used_C])
        return amount_F / scale_F, float(misfit)

    def at(self, energy: float) -> int:
        """The channel of an energy."""
        return int(np.abs(self.axis.values - energy).argmin())

    def reach(self, energy: float) -> float:
        """How far a peak may lie from a line."""
        return float(self._reach_C[self.at(energy)])

    def candidates(self, peak: Peak) -> list[Candidate]:
        """The families with a line near a peak."""
        channel, reach = self.at(peak.position), self.reach(peak.position)
        found = []
        for number, family in enumerate(self.families):
            line = family.near(peak.position, reach * _BLEND[family.shell])
            if line is None or line.intensity < 0.01:
                continue
            height = self.shapes_FC[number, channel]
            share = float(np.clip(self.amount_F[number] * height / peak.height, 0, 1))
            alone = float(np.clip(self.most_F[number] * height / peak.height, 0, 1))
            score = 0.65 * share + 0.35 * alone * np.exp(-2 * ((line.energy - peak.position) / reach) ** 2)
            if family.element in _SELDOM:
                score *= 0.7
            if score >= 0.03:
                label = f"{family.element} {line.name[0]}{_GREEK[line.name[1]]}"
                found.append(Candidate(label, family.element, "line", line.energy, float(score), round(alone, 3)))
        return found

    def _most(self, number: int) -> float:
        shape_C = self.shapes_FC[number]
        # A strong neighbour pulls the filtered spectrum below zero beside it.
        others_C = self.amount_F @ self.shapes_FC - self.amount_F[number] * shape_C
        measured_C = self.filtered_C - np.minimum(others_C, 0)
        inner_C = shape_C[1:-1]
        tops = 1 + np.flatnonzero(
            (inner_C >= shape_C[:-2]) & (inner_C > shape_C[2:]) & (inner_C >= 0.05 * shape_C.max()) & (inner_C > 0)
        )
        if len(tops) == 0:
            return 0.0
        upper = (1 + 2 * _RATIO_ERROR) * np.maximum(measured_C[tops], 0) + 3 * self.noise_C[tops]
        return float((upper / shape_C[tops]).min())

    def name(self, peak: Peak) -> str:
        """The best line of a peak; its position if there is none."""
        lines = ranked(self.candidates(peak), 1)
        return lines[0].label if lines else f"{peak.position:.2f} keV"


def _escapes(peak: Peak, peaks: list[Peak], fit: _Fit) -> list[Candidate]:
    """A silicon detector shows a line once more, 1.74 keV lower, at 0.1 to 2 % of its height."""
    found = []
    for parent in peaks:
        off = parent.position - _SILICON_KA - peak.position
        share = peak.height / parent.height
        if parent.position > 2.0 and abs(off) <= fit.reach(peak.position) and share <= 0.03:
            expected = 0.015 * min(1.0, (3.0 / parent.position) ** 1.5)
            score = 0.8 * np.exp(-0.5 * (np.log(share / expected) / 1.2) ** 2)
            found.append(_artefact("escape", f"{fit.name(parent)} escape", peak.position + off, float(score)))
    return found


def _sums(peak: Peak, peaks: list[Peak], fit: _Fit, number: int) -> list[Candidate]:
    """Two photons of strong lines that arrive together count as one of their summed energy."""
    highest = max(other.height for other in peaks)
    strong = [other for i, other in enumerate(peaks) if other.height >= 0.15 * highest and i != number]
    found = []
    for i, one in enumerate(strong):
        for other in strong[i:]:
            position = one.position + other.position
            small = peak.height <= 0.02 * min(one.height, other.height)
            if small and abs(position - peak.position) <= fit.reach(position):
                label = f"{fit.name(one)} + {fit.name(other)}"
                found.append(_artefact("sum", label, position, 0.45))
    return found


def _scatter(peak: Peak, peaks: list[Peak], explained: float) -> list[Candidate]:
    """A tube's K line, scattered at 80 to 150 degrees: a broad peak below it."""
    found = []
    for family in families():
        if family.element not in _ANODES or family.shell != "K":
            continue
        lines = {line.name: line.energy for line in family.lines}
        if not any(abs(other.position - lines["Ka1"]) < 0.1 for other in peaks):
            continue
        for name, text in (("Ka1", "Kα"), ("Kb1", "Kβ")):
            low, high = (_scattered(lines[name], angle) for angle in (150, 80))
            if low <= peak.position <= high:
                label = f"{family.element} {text} Compton"
                found.append(_artefact("scatter", label, peak.position, max(0.6, explained + 0.05)))
    return found


def _scattered(energy: float, angle: float) -> float:
    """Energy in keV after Compton scattering by an angle in degrees."""
    return float(energy / (1 + energy / _ELECTRON_KEV * (1 - np.cos(np.radians(angle)))))


def _artefact(kind: Kind, label: str, position: float, score: float) -> Candidate:
    return Candidate(label, label.split()[0], kind, position, min(score, 1.0), 1.0)
