"""What the peaks of a spectrum may be: ranked candidates, never one claim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from deepspec.lines.peaks import find_peaks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis
    from deepspec.lines.peaks import Peak

Kind = Literal["line", "escape", "sum", "scatter"]

FINEST_RESOLUTION = 400.0
"""Emission lines are looked for where the wavelength is at least this many channels: not in broad-band scenes."""


@dataclass(frozen=True)
class Candidate:
    """One explanation of a peak."""

    label: str
    """As in "Fe Kα", "Fe Kα escape", "Fe Kα + Fe Kα", "[OIII]5007"."""
    source: str
    """Chemical symbol, or the ion as in "O III"."""
    kind: Kind
    """line: of an atom; escape: a line less the 1.74 keV that left the silicon detector; sum: two photons counted as
    one; scatter: a line of the tube that lost energy in the sample (Compton)."""
    position: float
    """Where it should lie, in the unit of the axis."""
    score: float
    """0 to 1, comparable among the candidates of one peak."""
    family: float
    """0 to 1: the share of the peak that the source can explain without making its other lines stronger than what was
    measured; of wavelengths, the share of its companions that are there."""


@dataclass(frozen=True)
class LabelledPeak:
    """A peak and what it may be."""

    peak: Peak
    """Where and how strong."""
    candidates: tuple[Candidate, ...]
    """From the most to the least likely; empty if nothing known lies there."""

    @property
    def text(self) -> str:
        """The first candidate, "?" after it if it is a weak one, or the position if there is none."""
        if not self.candidates:
            return f"{self.peak.position:.4g}"
        best = self.candidates[0]
        return best.label if best.score >= 0.5 else f"{best.label}?"


def label_peaks(
    spectrum_C: NDArray[np.float64], axis: SpectralAxis, *, redshift: tuple[float, float] = (0.0, 0.0)
) -> list[LabelledPeak]:
    """Find the peaks of a spectrum and say what they may be.

    Args:
        spectrum_C: (C,) counts or flux, of one pixel or the mean of many; NaN gives no peaks.
        axis: keV for X-ray lines, wavelengths for emission lines; in channels, peaks are found but not named.
        redshift: for wavelengths, lowest and highest redshift; the best between them is taken.

    Returns:
        Peaks by position.
    """
    if not np.isfinite(spectrum_C).all():
        return []
    if axis.values[0] > axis.values[-1]:
        axis, spectrum_C = type(axis)(axis.values[::-1], axis.unit), spectrum_C[::-1]
    if axis.unit == "keV":
        from deepspec.lines.xray import label_energies

        return label_energies(spectrum_C, axis)
    if axis.unit == "channel":
        return [LabelledPeak(peak, ()) for peak in find_peaks(spectrum_C, axis)]
    if np.median(axis.values / axis.widths()) < FINEST_RESOLUTION:
        return []
    from deepspec.lines.emission import label_wavelengths

    return label_wavelengths(spectrum_C, axis, redshift)


def label_clusters(
    spectra_KC: NDArray[np.float64], axis: SpectralAxis, *, redshift: tuple[float, float] = (0.0, 0.0)
) -> list[list[LabelledPeak]]:
    """Label the peaks of every cluster's spectrum (K, C); empty clusters (NaN) have none."""
    return [label_peaks(spectrum_C, axis, redshift=redshift) for spectrum_C in spectra_KC]


def ranked(candidates: Sequence[Candidate], most: int = 5) -> tuple[Candidate, ...]:
    """The best candidates, one for each label."""
    best: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        best.setdefault(candidate.label, replace(candidate, score=round(candidate.score, 3)))
    return tuple(best.values())[:most]
