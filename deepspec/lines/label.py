"""Name the peaks of spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.candidate import LabelledPeak
from deepspec.lines.peaks import SIGNIFICANCE, find_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis

FINEST_RESOLUTION = 400.0
"""Emission lines are looked for where the wavelength is at least this many channels: not in broad-band scenes."""


def label_peaks(
    spectrum_C: NDArray[np.float64],
    axis: SpectralAxis,
    *,
    redshift: tuple[float, float] = (0.0, 0.0),
    tube: str | None = None,
    significance: float = SIGNIFICANCE,
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

        return label_energies(spectrum_C[None], axis, significance=significance, tube=tube).labels[0]
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
