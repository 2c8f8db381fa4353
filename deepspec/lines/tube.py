"""Lines of the X-ray tube that the sample scatters: with their energy (Rayleigh) or with less (Compton).

Shapes: B scattered shapes, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepspec.errors import UserError
from deepspec.lines.calibration_fit import Calibration, family_shapes, fit_calibration, solve
from deepspec.lines.parts import Part, family_part
from deepspec.lines.peaks import FilteredSpectra, TopHat, find_peaks, fwhm_kev
from deepspec.lines.xray_lines import families, group_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.lines.xray_lines import Family, XrfLine

    Array = NDArray[np.float64]

ANODES = ("Rh", "Mo", "Ag", "Pd", "W", "Cr")
"""Anodes whose scattered lines are flagged."""

NO_TUBE = "none"
"""What the user says where nothing is scattered from a tube, as at a synchrotron."""

_FOUND = ("Rh", "Mo", "Ag", "Pd")
"""Those that a spectrum shows by itself: their K lines lie apart from their Compton peaks."""

_ELECTRON_KEV = 511.0
_TURNS = np.arange(0.5, 2.01, 0.25)
"""1 - cosine of the angles of scattering that are tried, 60 to 180 degrees."""

_LEAST_KEV = 4.0
"""Lines of less energy lose less by Compton scattering than a detector can tell."""

_L_PRICE = 6.0
"""By how much scattered L lines, which lie among those of light elements, must better a fit."""

_NEVER_IN_SAMPLES = frozenset({"Rh"})

_EVIDENCE = 12.0
"""How much better, in units of chi squared, a fit with a tube's Compton peaks must be."""


def check_tube(tube: str | None) -> None:
    """Refuse an anode that is not known.

    Args:
        tube: symbol of the anode, `none` where there is no tube, None to look for one.

    Raises:
        UserError: saying which are known.
    """
    if tube is not None and tube not in (*ANODES, NO_TUBE):
        raise UserError(
            f"tube '{tube}': expected the anode, one of {', '.join(ANODES)}, or {NO_TUBE}; leave it out to look for it"
        )


def compton_energy(energy: Array, turn: Array) -> Array:
    """Energy in keV after Compton scattering, `turn` being 1 - cosine of the angle."""
    return np.asarray(energy / (1 + energy / _ELECTRON_KEV * turn))


def compton_fwhm(energy: Array, fwhm_mn_ev: float) -> Array:
    """Full width in keV of a Compton peak: electrons move, and a detector sees a range of angles."""
    return np.asarray(np.hypot(fwhm_kev(energy, fwhm_mn_ev), 0.022 * energy))


def scattered_parts(tube: str, energy_C: Array, fwhm_mn_ev: float) -> list[Part]:
    """Everything that the lines of an anode may look like after scattering.

    Args:
        tube: one of `ANODES`.
        energy_C: (C,) rising, true energies in keV.
        fwhm_mn_ev: full width of peaks at 5.895 keV.

    Returns:
        One part for each shell that keeps its energy (Rayleigh), and for each angle one that loses some (Compton).
    """
    found = []
    for family in families():
        line = family.main(float(energy_C[0]), float(energy_C[-1]))
        if family.element != tube or family.shell == "M" or line is None:
            continue
        price = _L_PRICE if family.shell == "L" and line.energy < _LEAST_KEV else 0.0
        found.append(
            family_part(family, energy_C, fwhm_mn_ev, kind="scatter", suffix=" Rayleigh", price=price, rare=False)
        )
        if line.energy > _LEAST_KEV:
            found += [_compton(family, turn, energy_C, fwhm_mn_ev) for turn in _TURNS]
    return found


def _compton(family: Family, turn: float, energy_C: Array, fwhm_mn_ev: float) -> Part:
    groups: dict[str, list[XrfLine]] = {}
    for line in family.lines:
        groups.setdefault(group_name(line), []).append(line)
    shapes = []
    for lines in groups.values():
        centres = compton_energy(np.array([line.energy for line in lines]), np.array(turn))
        sigmas = compton_fwhm(centres, fwhm_mn_ev) / 2.3548
        peaks = np.exp(-0.5 * ((energy_C - centres[:, None]) / sigmas[:, None]) ** 2) / sigmas[:, None]
        shapes.append(np.array([line.intensity for line in lines]) @ peaks / np.sqrt(2 * np.pi))
    names = tuple(f"{family.element} {name} Compton" for name in groups)
    return Part(family.element, "scatter", names, np.array(shapes), (0.2,) * len(names), 0.0)


def find_tube(spectra: FilteredSpectra, calibration: Calibration) -> str | None:
    """The anode whose Compton peaks the spectra show; None if none is sure.

    Args:
        spectra: of one cube; their sum is looked at.
        calibration: of their axis.
    """
    counts_C = spectra.counts_SC.sum(0)
    energy_C = calibration.energy(spectra.energy_C)
    # Compton peaks are twice as wide as lines: a filter of their width sees them best.
    wide = TopHat(2 * spectra.fwhm_C)
    filtered_C = wide(counts_C)
    sigma_C = np.hypot(wide.noise(spectra.variance_SC.sum(0)), 0.05 * np.abs(filtered_C)) + 1e-300
    best, found = _EVIDENCE, None
    for anode in _FOUND:
        family = _k_family(anode)
        lines = {line.name: line.energy for line in family.lines}
        low, high = 0.93 * float(compton_energy(np.array(lines["Ka2"]), np.array(2.0))), lines["Kb1"] + 0.8
        window_C = (energy_C > low) & (energy_C < high)
        if energy_C[-1] < lines["Ka1"] + 0.5 or window_C.sum() < 20:
            continue
        evidence = _evidence(anode, wide, energy_C, calibration.fwhm_mn_ev, window_C, filtered_C, sigma_C, spectra)
        if evidence > best:
            best, found = evidence, anode
    return found


def _evidence(
    anode: str,
    wide: TopHat,
    energy_C: Array,
    fwhm_mn_ev: float,
    window_C: NDArray[np.bool_],
    filtered_C: Array,
    sigma_C: Array,
    spectra: FilteredSpectra,
) -> float:
    """How much worse elements alone, the anode's among them, explain the window than the anode scattered."""
    low, high = energy_C[window_C][[0, -1]]
    elements = [f for f in families() if f.shell == "K" and (line := f.main(0.0, 200.0)) and low < line.energy < high]
    element_FC = wide(family_shapes(elements, energy_C, fwhm_mn_ev))[:, window_C]
    compton_BC = np.array(
        [
            wide(part.shape_GC.sum(0))[window_C]
            for part in scattered_parts(anode, energy_C, fwhm_mn_ev)
            if part.names[0].split()[1][0] == "K"
        ]
    )
    weight_C = spectra.independent_C[window_C] / 2

    def misfit(shapes: Array) -> tuple[float, Array]:
        amount, residual_C = solve(shapes, filtered_C[window_C], sigma_C[window_C])
        return float((weight_C * 16 * np.log1p(residual_C**2 / 16)).sum()), amount

    alone, _ = misfit(element_FC)
    rest_FC = np.delete(element_FC, [n for n, family in enumerate(elements) if family.element == anode], axis=0)
    together, amount_B = misfit(np.vstack([rest_FC, compton_BC]))
    if amount_B[len(rest_FC)] <= 0:  # nothing with its energy: no tube scatters by Compton alone
        return 0.0
    without, _ = misfit(rest_FC)
    # No sample is made of rhodium: where its lines are, it is the anode's, however little Compton there is of a metal.
    return alone - together + (without - alone if anode in _NEVER_IN_SAMPLES else 0.0)


def _k_family(element: str) -> Family:
    return next(family for family in families() if (family.element, family.shell) == (element, "K"))


def tube_limit(axis: SpectralAxis, mean_spectrum: Array, tube: str | None = None) -> int | None:
    """The channel below which nothing of the tube's K lines is scattered.

    What lies above it tells scattering power and thickness of a sample rather than its elements.

    Args:
        axis: of the spectrum; other than energies have no such channel.
        mean_spectrum: (C,) finite, mean of a whole cube.
        tube: anode, one of `ANODES`, `none` where there is no tube, None to look for it in the spectrum.

    Returns:
        Number of the first channel of the scattered lines: `spectrum[:channel]` is free of them. None if the tube is
        neither known nor found, or if its K lines lie beyond the axis or, as chromium's, among those of the sample.

    Raises:
        UserError: an unknown anode.
        ValueError: the axis does not rise, or the spectrum does not fit it.
    """
    known = _anode(axis, mean_spectrum, tube)
    return None if known is None else _limit(axis, *known)


def scattered_channels(
    axis: SpectralAxis, mean_spectrum: Array, tube: str | None = None
) -> tuple[str, NDArray[np.bool_]] | None:
    """Where the tube's lines are scattered, with their energy or with less.

    These are all channels from `tube_limit` on. Of an anode that has none (tungsten, chromium), which is never looked
    for, they are those of its scattered K and L lines from 4 keV on, where lines of the sample may lie as well.

    Args:
        axis: of the spectrum, rising; other than energies have no such channels.
        mean_spectrum: (C,) finite, mean of a whole cube.
        tube: anode, one of `ANODES`, `none` where there is no tube, None to look for it in the spectrum.

    Returns:
        The anode, and (C,) whether its lines are scattered there; None if it is neither known nor found, or if nothing
        of it is on the axis.

    Raises:
        UserError: an unknown anode.
        ValueError: the axis does not rise, or the spectrum does not fit it.
    """
    known = _anode(axis, mean_spectrum, tube)
    if known is None:
        return None
    anode, calibration = known
    scattered_C = np.zeros(axis.channels, dtype=bool)
    limit = _limit(axis, anode, calibration)
    if limit is not None:
        scattered_C[limit:] = True
    else:
        for family in families():
            if family.element != anode or family.shell not in ("K", "L"):
                continue
            for line in family.lines:
                if line.energy < _LEAST_KEV or line.intensity < _LEAST_SHARE:
                    continue
                lowest = compton_energy(np.array(line.energy), np.array(2.0))
                first = lowest - compton_fwhm(lowest, calibration.fwhm_mn_ev)
                last = line.energy + float(fwhm_kev(np.array(line.energy), calibration.fwhm_mn_ev))
                scattered_C |= (axis.values >= calibration.shown(first)) & (
                    axis.values <= calibration.shown(np.array(last))
                )
    return (anode, scattered_C) if scattered_C.any() else None


def _anode(axis: SpectralAxis, mean_spectrum: Array, tube: str | None) -> tuple[str, Calibration] | None:
    """The anode that is known or found, and the calibration of the axis."""
    check_tube(tube)
    if axis.unit != "keV" or tube == NO_TUBE:
        return None
    if axis.values[0] > axis.values[-1] or mean_spectrum.shape != (axis.channels,):
        raise ValueError(
            f"expected a rising axis and a spectrum of {axis.channels} channels, got {mean_spectrum.shape}"
        )
    spectra = FilteredSpectra(np.asarray(mean_spectrum, dtype=float)[None], axis)
    calibration = fit_calibration(
        spectra, spectra, np.array([peak.position for peak in find_peaks(mean_spectrum, axis)])
    )
    anode = tube or find_tube(spectra, calibration)
    return None if anode is None else (anode, calibration)


def _limit(axis: SpectralAxis, anode: str, calibration: Calibration) -> int | None:
    """The first channel of the anode's scattered K lines."""
    line = next(line for line in _k_family(anode).lines if line.name == "Ka2")
    lowest = compton_energy(np.array(line.energy), np.array(2.0))
    if line.energy < _AMONG_SAMPLE_KEV or calibration.shown(np.array(line.energy)) > axis.values[-1]:
        return None
    start = float(calibration.shown(lowest - compton_fwhm(lowest, calibration.fwhm_mn_ev)))
    return int(np.searchsorted(axis.values, start))


_LEAST_SHARE = 0.05
"""Of the main line of a family: weaker lines are not looked at where windows are made of them."""

_AMONG_SAMPLE_KEV = 15.0
