"""X-ray spectra as they are fitted: in channels no finer than needed, filtered, each channel with its error.

The filter removes the background. What a model of lines may be wrong by is taken from the local envelope of the
filtered spectrum, not from its value in each channel: at the zero crossings beside a peak the model is as wrong as on
top of it, and an error that vanishes there would make the fit follow those channels alone.

Shapes: C channels, F families, S spectra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.peaks import TopHat, fwhm_kev, local_maximum, variance_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis

    Array = NDArray[np.float64]

MODEL_ERROR = 0.05
"""Of the local envelope: ratios of lines vary with matrix, layers and tube, and peaks are not quite Gaussian."""

SURE = 3e-4
"""Of the highest peak: one that is hardly higher than this says little about the axis, for it may be anything."""

_LINES_FROM_KEV = 1.0

_PER_FWHM = 5
"""Channels that a peak at 2 keV has at least after channels were put together."""


class FilteredSpectra:
    """Spectra of one axis in front of the fit.

    Args:
        spectra_SC: (S, C) finite counts or rates.
        axis: rising, in keV.
    """

    def __init__(self, spectra_SC: Array, axis: SpectralAxis) -> None:
        together = max(1, int(float(fwhm_kev(np.array(2.0), 145.0)) / float(np.median(axis.widths())) / _PER_FWHM))
        kept = axis.channels // together * together
        self.energy_C = axis.values[:kept].reshape(-1, together).mean(1)
        """(C,) keV, as the axis says, of the channels put together."""
        self.counts_SC = spectra_SC[:, :kept].reshape(len(spectra_SC), -1, together).sum(2)
        """(S, C) in them."""
        self.width_C = axis.widths()[:kept].reshape(-1, together).sum(1)
        """(C,) widths of them in keV."""
        self.fwhm_C = fwhm_kev(self.energy_C, 145.0) / self.width_C
        """(C,) expected full width of peaks, in channels."""
        self.top_hat = TopHat(self.fwhm_C)
        self.filtered_SC = self.top_hat(self.counts_SC)
        """(S, C) filtered spectra."""
        self.variance_SC = np.array([variance_of(row, counting=True) for row in self.counts_SC])
        """(S, C) of the counts."""
        self.noise_SC = np.array([self.top_hat.noise(row) for row in self.variance_SC])
        """(S, C) their standard deviation by counting."""
        reach_C = np.maximum(1, np.round(self.fwhm_C)).astype(int)
        self.envelope_SC = np.array([local_maximum(row, reach_C) for row in np.abs(self.filtered_SC)])
        """(S, C) highest absolute value within a full width of a peak."""
        floor_S1 = 1e-5 * self.filtered_SC.max(1, keepdims=True) + 1e-300
        self.sigma_SC = np.sqrt(self.noise_SC**2 + (MODEL_ERROR * self.envelope_SC) ** 2 + floor_S1**2)
        """(S, C) error of a fitted model."""
        # Below lie the pulser and the onset of counting, which may be higher than all lines.
        highest_S1 = np.where(self.energy_C > _LINES_FROM_KEV, self.filtered_SC, 0.0).max(1, keepdims=True)
        self.sure_sigma_SC = np.sqrt(self.sigma_SC**2 + (SURE * highest_S1) ** 2)
        """(S, C) likewise, for what strong peaks alone should decide."""
        self.independent_C = 1 / np.maximum(self.fwhm_C, 1.0)
        """(C,) weight of each channel, so that a peak counts as about one measurement however fine the channels."""

    def channel(self, energy: float) -> int:
        """The channel nearest to an energy of the axis."""
        return int(np.abs(self.energy_C - energy).argmin())
