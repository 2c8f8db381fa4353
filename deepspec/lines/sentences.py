"""What the lines say about a measurement, in sentences for its reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepspec.lines.xray_lines import GREEK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.lines.calibration_fit import Calibration
    from deepspec.lines.label import Identification

    Array = NDArray[np.float64]

_SURE_SCORE, _SURE_SIGNIFICANCE = 0.7, 15.0
_LATIN = {greek: latin for latin, greek in GREEK.items() if latin in "abg"}
_MOST_ELEMENTS = 8
_STRONGEST = 6
"""Lines among which the two that lie furthest apart are taken to put an axis right."""

_SIGMAS = 3.0
"""An axis is called wrong where it is so by this many standard errors, and by half a channel."""


class SureLine(NamedTuple):
    """A line that is surely there."""

    name: str
    """As `--calibrate` takes it: "Fe-Ka"."""
    energy: float
    """keV."""
    significance: float
    """Of its peak."""


def sure_lines(found: Identification) -> list[SureLine]:
    """Lines of elements that are sure in some spectrum, by rising energy."""
    best: dict[str, SureLine] = {}
    for labels in found.labels:
        for peak in labels:
            top = peak.candidates[0] if peak.candidates else None
            if top is None or top.kind != "line" or top.score < _SURE_SCORE:
                continue
            element, _, group = top.label.partition(" ")
            if peak.peak.significance < _SURE_SIGNIFICANCE or group[0] not in "KL" or group[1] not in _LATIN:
                continue
            name = f"{element}-{group[0]}{_LATIN[group[1]]}"
            line = SureLine(name, top.position, peak.peak.significance)
            best[name] = max(best.get(name, line), line, key=lambda line: line.significance)
    return sorted(best.values(), key=lambda line: line.energy)


def refined_axis(axis: SpectralAxis, calibration: Calibration) -> SpectralAxis:
    """An axis of energies put right."""
    return type(axis)(calibration.energy(axis.values), axis.unit)


def sentences(found: Identification, axis: SpectralAxis, *, calibratable: bool = True) -> tuple[str, ...]:
    """What the peaks say about the axis, the tube and the redshift of each spectrum.

    Args:
        found: peaks of the spectra of a cube.
        axis: of the spectra, as it is.
        calibratable: whether its channels are those of the file, so that `--calibrate` can put it right.
    """
    said = _about_axis(found, axis, calibratable=calibratable) if found.calibration is not None else []
    if found.tube is not None and _shows_scatter(found):
        said.append(
            f"lines of the tube's {found.tube} that the sample scattered are flagged as scatter, not as elements"
        )
    moved = {number: z for number, z in enumerate(found.redshifts) if z is not None}
    if moved:
        parts = ", ".join(f"{z:.4f} in cluster {number}" for number, z in moved.items())
        said.append(f"the emission lines have a redshift of {parts}")
    return tuple(said)


def _shows_scatter(found: Identification) -> bool:
    return any(c.kind == "scatter" for labels in found.labels for peak in labels for c in peak.candidates[:1])


def _about_axis(found: Identification, axis: SpectralAxis, *, calibratable: bool) -> list[str]:
    calibration = found.calibration
    lines = sure_lines(found)
    if calibration is None or not lines:
        return []
    elements = list(dict.fromkeys(line.name.partition("-")[0] for line in lines))
    named = ", ".join(elements[:_MOST_ELEMENTS]) + (" and others" if len(elements) > _MOST_ELEMENTS else "")
    said = [
        f"energy axis: the lines of {named} fit with an offset of {1e3 * calibration.offset:+.0f} "
        f"± {1e3 * calibration.offset_error:.0f} eV at 6 keV and a gain of {1 + calibration.gain:.4f} "
        f"± {calibration.gain_error:.4f}; peaks are {calibration.fwhm_mn_ev:.0f} eV wide at 5.9 keV"
    ]
    energies = np.array([line.energy for line in lines])
    shown = calibration.shown(energies)
    off = energies - shown
    error = np.hypot(calibration.offset_error, calibration.gain_error * (shown - 6.0))
    half = np.interp(shown, *_rising(axis.values, axis.widths())) / 2
    doubtful = np.abs(off) > np.maximum(half, _SIGMAS * error)
    if not doubtful.any():
        return said
    worst = int(np.abs(off * doubtful).argmax())
    text = (
        f"warning: the energy axis is off by {1e3 * off[worst]:+.0f} eV ({abs(off[worst]) / (2 * half[worst]):.1f} "
        f"channels) at {lines[worst].name}; the names of peaks allow for it, positions and exports do not: "
    )
    call = _calibrate(lines, axis, calibration) if calibratable else None
    said.append(
        text + (f"read the cube with --calibrate {call}, or add --refine_axis" if call else "add --refine_axis")
    )
    return said


def _calibrate(lines: list[SureLine], axis: SpectralAxis, calibration: Calibration) -> str | None:
    """Two sure lines, far apart, with the channels at which the fit has them; None if there is only one."""
    if len(lines) < 2:
        return None
    strongest = sorted(lines, key=lambda line: -line.significance)[:_STRONGEST]
    first, last = (end(strongest, key=lambda line: line.energy) for end in (min, max))
    places = np.interp(
        calibration.shown(np.array([first.energy, last.energy])),
        *_rising(axis.values, np.arange(axis.channels, dtype=float)),
    )
    if abs(places[1] - places[0]) < 1 or axis.values[0] > axis.values[-1]:
        return None
    return f"{first.name}={places[0]:.2f},{last.name}={places[1]:.2f}"


def _rising(positions: Array, values: Array) -> tuple[Array, Array]:
    """Positions and values in the order that interpolation needs."""
    order = np.argsort(positions)
    return positions[order], values[order]
