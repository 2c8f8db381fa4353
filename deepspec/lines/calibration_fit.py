"""Offset, gain and width of an energy axis, fitted together with the amounts of the elements.

Every spectrum that was measured with one detector has the same axis: the three numbers are common to all, the amounts
are each spectrum's own. For given numbers the amounts follow by non-negative least squares, so that only three are
searched for (variable projection). Families of lines are dense: from a start that is wrong by half a peak's width the
search would end among wrong elements, so that a row of starts is tried, and few, usual elements are believed before
many rare ones.

Shapes: C channels, F families, S spectra.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.peaks import fwhm_kev
from deepspec.lines.xray_lines import SELDOM, families

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepspec.lines.peaks import FilteredSpectra
    from deepspec.lines.xray_lines import Family

    Array = NDArray[np.float64]

PIVOT_KEV = 6.0
"""Where the offset is counted: in the middle of the usual lines offset and gain are nearly independent."""

_OFFSETS = np.arange(-0.12, 0.121, 0.02)
_MOST_OFFSET, _MOST_GAIN = 0.16, 0.012
_FWHM_EV = (115.0, 300.0)
_PRIOR = (0.06, 0.003, 30.0)
"""Usual errors of offset (keV) and gain, and of the width (eV) about 145: a weak hand on what the lines leave open."""


_SECOND = 0.3
"""Least intensity of a second line that can tell of a hidden main line."""


@dataclass(frozen=True)
class Calibration:
    """What the energies of an axis really are, and how wide peaks are."""

    offset: float = 0.0
    """keV to add at 6 keV."""
    gain: float = 0.0
    """keV to add for each keV above that."""
    fwhm_mn_ev: float = 145.0
    """Full width of peaks at 5.895 keV."""
    offset_error: float = 0.0
    """Standard error of the offset."""
    gain_error: float = 0.0
    """Standard error of the gain."""

    def energy(self, shown: Array) -> Array:
        """True energies in keV of those that the axis shows."""
        return np.asarray(shown + self.offset + self.gain * (shown - PIVOT_KEV))

    def shown(self, energy: Array) -> Array:
        """Energies on the axis of true ones."""
        return np.asarray((energy - self.offset + self.gain * PIVOT_KEV) / (1 + self.gain))


def family_shapes(chosen: Sequence[Family], energy_C: Array, fwhm_mn_ev: float) -> Array:
    """(F, C) peaks of families in counts per keV, the strongest line of each having area 1.

    Args:
        chosen: the families.
        energy_C: (C,) rising, true energies in keV.
        fwhm_mn_ev: full width of peaks at 5.895 keV in eV.
    """
    lines = [(number, line.energy, line.intensity) for number, family in enumerate(chosen) for line in family.lines]
    if not lines:
        return np.zeros((0, len(energy_C)))
    family_L = np.array([number for number, _, _ in lines])
    line_L, intensity_L = np.array([(energy, intensity) for _, energy, intensity in lines]).T
    sigma_L = fwhm_kev(line_L, fwhm_mn_ev) / 2.3548
    step = float(np.median(np.diff(energy_C)))
    reach = int(np.ceil(4.5 * sigma_L.max() / step))
    places_LW = np.searchsorted(energy_C, line_L)[:, None] + np.arange(-reach, reach + 1)
    inside_LW = (places_LW >= 0) & (places_LW < len(energy_C))
    away_LW = (energy_C[np.where(inside_LW, places_LW, 0)] - line_L[:, None]) / sigma_L[:, None]
    height_LW = np.exp(-0.5 * away_LW**2) * (intensity_L / (np.sqrt(2 * np.pi) * sigma_L))[:, None] * inside_LW
    flat = (family_L[:, None] * len(energy_C) + np.where(inside_LW, places_LW, 0)).ravel()
    heights = np.bincount(flat, height_LW.ravel(), len(chosen) * len(energy_C))
    return np.asarray(heights, dtype=np.float64).reshape(len(chosen), -1)


def solve(shapes_FC: Array, filtered_C: Array, sigma_C: Array) -> tuple[Array, Array]:
    """Non-negative amounts (F,), and the residuals (C,) in units of sigma."""
    from scipy.optimize import nnls

    weighted_FC = shapes_FC / sigma_C
    # In units of their own largest value, or the smallest of them would count as zero.
    scale_F = np.abs(weighted_FC).max(axis=1, initial=0.0)
    usable_F = scale_F > 0
    amount_F = np.zeros(len(shapes_FC))
    if usable_F.any():
        found, _ = nnls((weighted_FC[usable_F] / scale_F[usable_F, None]).T, filtered_C / sigma_C, maxiter=3000)
        amount_F[usable_F] = found / scale_F[usable_F]
    return amount_F, filtered_C / sigma_C - amount_F @ weighted_FC


def plausible(positions: Array, low: float, high: float, reach: Array) -> list[Family]:
    """Families with a peak near their main line, and near that of the next deeper shell if the tube reached it.

    Args:
        positions: true energies of all peaks in keV, rising.
        low: lowest energy of the axis.
        high: highest energy of the axis.
        reach: how far each peak may lie from a line.
    """
    main = {(family.element, family.shell): family.main(low, high) for family in families()}
    width = fwhm_kev(positions, 145.0)

    def seen(family: Family) -> bool:
        line = main[family.element, family.shell]
        assert line is not None
        away = np.abs(positions - family.seen_at(line))
        if (away <= reach * family.blend).any():
            return True
        # A stronger peak may hide the main line of one whose second peak is seen: W La lies under Ni Kb.
        second = max(
            (other for other in family.lines if other.group != line.group and low < other.energy < high),
            key=lambda other: other.intensity,
            default=None,
        )
        return bool(
            second is not None
            and second.intensity > _SECOND
            and (away <= width).any()
            and (np.abs(positions - family.seen_at(second)) <= reach).any()
        )

    found = []
    for family in families():
        if main[family.element, family.shell] is None or not seen(family):
            continue
        deeper = next(
            (f for f in families() if (f.element, f.shell) == (family.element, _DEEPER.get(family.shell))), None
        )
        line = None if deeper is None else main[deeper.element, deeper.shell]
        if deeper is None or line is None or line.energy > positions[-1] or seen(deeper):
            found.append(family)
    return found


_DEEPER = {"L": "K", "M": "L"}


def fit_calibration(spectra: FilteredSpectra, overall: FilteredSpectra, positions: Array) -> Calibration:
    """The axis on which the lines of the elements explain the spectra best.

    Args:
        spectra: all that were measured with the detector.
        overall: their sum alone, on which the starts are tried.
        positions: of all their peaks, on the axis as it is, in keV.
    """
    if len(positions) == 0:
        return Calibration()
    positions = np.sort(positions)
    starts = sorted((_cost(overall, positions, Calibration(float(offset))), float(offset)) for offset in _OFFSETS)
    tried = [_refine(overall, positions, Calibration(offset)) for _, offset in starts[:3]]
    best = min(tried, key=lambda pair: pair[0])[1]
    return best if len(spectra.counts_SC) == 1 else _refine(spectra, positions, best)[1]


def _families_at(spectra: FilteredSpectra, positions: Array, calibration: Calibration) -> list[Family]:
    energy = calibration.energy(positions)
    reach = np.maximum(0.3 * fwhm_kev(energy, 145.0), 0.7 * np.interp(positions, spectra.energy_C, spectra.width_C))
    low, high = calibration.energy(spectra.energy_C[[0, -1]])
    return plausible(energy, float(low), float(high), reach)


def _prior(calibration: Calibration) -> Array:
    return np.array(
        [
            calibration.offset / _PRIOR[0],
            calibration.gain / _PRIOR[1],
            (calibration.fwhm_mn_ev - 145.0) / _PRIOR[2],
        ]
    )


def _cost(spectra: FilteredSpectra, positions: Array, calibration: Calibration) -> float:
    """Misfit, with a price on every element that takes part."""
    chosen = _families_at(spectra, positions, calibration)
    shapes_FC = spectra.top_hat(family_shapes(chosen, calibration.energy(spectra.energy_C), calibration.fwhm_mn_ev))
    total = float((_prior(calibration) ** 2).sum())
    used_F = np.zeros(len(chosen), dtype=bool)
    for filtered_C, sigma_C in zip(spectra.filtered_SC, spectra.sure_sigma_SC, strict=True):
        amount_F, residual_C = solve(shapes_FC, filtered_C, sigma_C)
        total += float((spectra.independent_C * 9 * np.log1p(residual_C**2 / 9)).sum())
        used_F |= amount_F * np.abs(shapes_FC / sigma_C).max(axis=1, initial=0.0) > 1
    return total + sum(
        6.0 if family.element in SELDOM else 2.0 for family, used in zip(chosen, used_F, strict=True) if used
    )


def _refine(spectra: FilteredSpectra, positions: Array, start: Calibration) -> tuple[float, Calibration]:
    """The best axis near a start, and its cost."""
    from scipy.optimize import least_squares

    unit = np.array([0.01, 0.001, 10.0])
    origin = np.array([0.0, 0.0, 145.0])
    shift = 30.0  # keeps the numbers away from zero, about which relative steps vanish
    best = start
    for _ in range(2):
        chosen = _families_at(spectra, positions, best)

        def residuals(x: Array, chosen: list[Family] = chosen) -> Array:
            now = Calibration(*(float(value) for value in origin + (x - shift) * unit))
            shapes_FC = spectra.top_hat(family_shapes(chosen, now.energy(spectra.energy_C), now.fwhm_mn_ev))
            parts = [
                np.sqrt(spectra.independent_C) * solve(shapes_FC, filtered_C, sigma_C)[1]
                for filtered_C, sigma_C in zip(spectra.filtered_SC, spectra.sure_sigma_SC, strict=True)
            ]
            return np.concatenate([*parts, _prior(now)])

        low = np.array([-_MOST_OFFSET, -_MOST_GAIN, _FWHM_EV[0]])
        high = np.array([_MOST_OFFSET, _MOST_GAIN, _FWHM_EV[1]])
        begin = (np.array([best.offset, best.gain, best.fwhm_mn_ev]) - origin) / unit + shift
        found = least_squares(
            residuals,
            begin,
            bounds=((low - origin) / unit + shift, (high - origin) / unit + shift),
            diff_step=2e-3,
            loss="soft_l1",
            f_scale=2.0,
            max_nfev=12,
            xtol=1e-3,
            ftol=1e-4,
        )
        values = origin + (found.x - shift) * unit
        errors = unit * np.sqrt(np.diag(np.linalg.pinv(found.jac.T @ found.jac)))
        offset, gain, width = (float(value) for value in values)
        best = Calibration(offset, gain, width, float(errors[0]), float(errors[1]))
    return _cost(spectra, positions, best), best
