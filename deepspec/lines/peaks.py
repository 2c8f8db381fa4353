"""Peaks of a spectrum, by a top-hat filter with the noise of counting.

The filter is the mean of a window as wide as a peak less the mean of the two half-windows beside it. It is zero on any
straight background, so that none has to be subtracted first, and its noise is known (Schamber 1977; Mariscotti 1967).

X-ray spectra are fitted in channels no finer than needed, filtered, each channel with its error. The filter removes the
background. What a model of lines may be wrong by is taken from the local envelope of the filtered spectrum, not from
its value in each channel: at the zero crossings beside a peak the model is as wrong as on top of it, and an error that
vanishes there would make the fit follow those channels alone.

Shapes: C channels, F families, S spectra.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis

    Array = NDArray[np.float64]


SIGNIFICANCE = 5.0
"""Peaks stand out of the noise by at least this many standard deviations."""

NEIGHBOUR = 0.02
"""And by this share of the highest value within a few widths: the foot of a strong peak is no smooth Gaussian, and in
the mean of thousands of spectra each of its ripples is significant."""

LOWEST_KEV = 0.2
"""Below lies the noise of the electronics."""

THRESHOLD_KEV = 1.3
"""Below, where the electronics begin to count, spectra have steps; only what stands above both sides is a peak."""

_FOOT = 2.0
"""How far the foot of a peak reaches, in its full widths."""

_WINDOW = 3.0
"""Width of peaks in channels where the axis does not tell."""
_FANO_EV = 2.3275  # variance of the full width at half maximum, eV^2 for each eV: 2.3548^2 x 0.115 x 3.65 eV
_MANGANESE_KEV = 5.895


@dataclass(frozen=True)
class Peak:
    """One peak."""

    position: float
    """In the unit of the axis."""
    height: float
    """Of the filtered spectrum, about the mean over the peak above what is beside it."""
    significance: float
    """Height in standard deviations of its noise."""


def fwhm_kev(energy: Array, fwhm_mn_ev: float) -> Array:
    """Width of the peaks of a silicon detector in keV, where it has this width in eV at 5.895 keV."""
    noise = max(fwhm_mn_ev**2 - 1e3 * _FANO_EV * _MANGANESE_KEV, 40.0**2)
    return np.asarray(np.sqrt(noise + 1e3 * _FANO_EV * np.maximum(energy, 0.0)) / 1000)


def peak_widths(axis: SpectralAxis, fwhm_mn_ev: float = 145.0) -> Array:
    """(C,) expected full width of peaks at half maximum, in channels."""
    if axis.unit != "keV":
        return np.full(axis.channels, _WINDOW)
    return fwhm_kev(axis.values, fwhm_mn_ev) / axis.widths()


class TopHat:
    """The filter for peaks of given widths.

    Args:
        width_C: (C,) full widths at half maximum in channels.
    """

    def __init__(self, width_C: Array) -> None:
        channels = len(width_C)
        centre, half = np.arange(channels), np.clip(np.round(width_C / 2), 1, max(1, channels // 6)).astype(int)
        side = np.maximum(half, 1)
        self._bounds = [
            np.clip(edge, 0, channels)
            for edge in (centre - half - side, centre - half, centre + half + 1, centre + half + 1 + side)
        ]
        self.inside = (centre - half - side >= 0) & (centre + half + side < channels)
        """(C,) bool, channels where all three windows are on the axis; the filter is 0 elsewhere."""

    def __call__(self, spectra: Array) -> Array:
        """Filter spectra (..., C)."""
        left, middle, right = self._means(spectra)
        return np.asarray(np.where(self.inside, middle - (left + right) / 2, 0.0))

    def above_both(self, spectrum_C: Array) -> tuple[Array, Array]:
        """How far the middle window lies above the higher one beside it (C,), and how far these two differ (C,).

        A step is above one of them only.
        """
        left, middle, right = self._means(spectrum_C)
        return np.where(self.inside, middle - np.maximum(left, right), 0.0), np.abs(left - right)

    def noise(self, variance_C: Array) -> Array:
        """(C,) standard deviation of a filtered spectrum, from the variance of its channels."""
        left, middle, right = self._means(variance_C)
        a, b, c, d = self._bounds
        sizes = [np.maximum(size, 1) for size in (b - a, c - b, d - c)]
        return np.asarray(np.sqrt(middle / sizes[1] + left / sizes[0] / 4 + right / sizes[2] / 4))

    def _means(self, spectra: Array) -> tuple[Array, Array, Array]:
        total = np.concatenate([np.zeros_like(spectra[..., :1]), np.cumsum(spectra, axis=-1)], axis=-1)
        left, middle, right = (
            (total[..., stop] - total[..., start]) / np.maximum(stop - start, 1)
            for start, stop in zip(self._bounds[:-1], self._bounds[1:], strict=True)
        )
        return left, middle, right


def variance_of(spectrum_C: Array, *, counting: bool) -> Array:
    """Variance of each channel, judged by how neighbouring channels differ.

    Args:
        spectrum_C: (C,) a spectrum or the mean of many.
        counting: whether it is proportional to the level, as where photons are counted, in whatever scale; else it
            is the median of the channels around.
    """
    bend_C = np.zeros_like(spectrum_C)
    bend_C[1:-1] = spectrum_C[:-2] - 2 * spectrum_C[1:-1] + spectrum_C[2:]
    if counting:
        level_C = np.convolve(np.maximum(spectrum_C, 0), [1, 4, 1], mode="same")
        seen = level_C[1:-1] > 0
        if not seen.any():
            return np.zeros_like(spectrum_C)
        # Where most channels hold no count, their median says nothing.
        seen &= level_C[1:-1] >= np.quantile(level_C[1:-1][seen], 0.25)
        # The median of a squared normal deviate is 0.455.
        scale = np.median(bend_C[1:-1][seen] ** 2 / level_C[1:-1][seen]) / 0.455
        return np.asarray(scale * level_C / 6)
    window = min(101, max(3, len(spectrum_C) // 2 * 2 - 1))
    padded = np.pad(np.abs(bend_C[1:-1]), window // 2 + 1, mode="reflect")[: len(spectrum_C) + window - 1]
    middle_C = np.median(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)[: len(spectrum_C)]
    return np.asarray((middle_C / 0.6745) ** 2 / 6)


def find_peaks(
    spectrum_C: Array, axis: SpectralAxis, *, fwhm_mn_ev: float = 145.0, significance: float = SIGNIFICANCE
) -> list[Peak]:
    """Peaks that stand out of the noise, by rising channel.

    Args:
        spectrum_C: (C,) finite values.
        axis: positions of its channels.
        fwhm_mn_ev: for energies, width of a peak at 5.895 keV in eV; elsewhere peaks are taken to be 3 channels wide.
        significance: of a peak at least, in standard deviations of the noise where it lies.

    Returns:
        At most one peak in every window; shoulders count as peaks.

    Raises:
        ValueError: if the spectrum does not fit the axis.
    """
    if spectrum_C.shape != (axis.channels,):
        raise ValueError(f"expected a spectrum of {axis.channels} channels, got shape {spectrum_C.shape}")
    if axis.channels < 8:
        return []
    width_C = peak_widths(axis, fwhm_mn_ev)
    top_hat = TopHat(width_C)
    filtered_C, sigma_C = filter_spectrum(spectrum_C, axis, top_hat)
    if axis.unit == "keV":
        filtered_C = np.where(axis.values < LOWEST_KEV, 0.0, filtered_C)
        above_C, step_C = top_hat.above_both(spectrum_C)
        threshold_C = (axis.values < THRESHOLD_KEV) & (above_C < np.maximum(significance * sigma_C, step_C / 2))
        filtered_C = np.where(threshold_C, 0.0, filtered_C)
    reach_C = np.maximum(1, np.round(width_C / 2)).astype(int)
    around_C = local_maximum(filtered_C, np.round(_FOOT * width_C).astype(int))
    enough = (filtered_C > significance * sigma_C) & (filtered_C >= NEIGHBOUR * around_C) & (filtered_C > 0)
    found = []
    for channel in np.flatnonzero(enough).tolist():
        reach = reach_C[channel]
        around = filtered_C[max(0, channel - reach) : channel + reach + 1]
        if filtered_C[channel] < around.max() or (channel and filtered_C[channel] == filtered_C[channel - 1]):
            continue
        place = float(channel + _vertex(filtered_C, channel))
        found.append(
            Peak(
                position=float(np.interp(place, np.arange(axis.channels), axis.values)),
                height=float(filtered_C[channel]),
                significance=float(min(filtered_C[channel] / max(sigma_C[channel], 1e-300), 1e6)),
            )
        )
    return found


def local_maximum(values_C: Array, reach_C: NDArray[np.int_]) -> Array:
    """(C,) highest value within a number of channels of each channel, which changes along the axis."""
    from scipy.ndimage import maximum_filter1d

    highest_C = np.empty_like(values_C)
    for reach in np.unique(reach_C).tolist():
        here = reach_C == reach
        highest_C[here] = maximum_filter1d(values_C, 2 * reach + 1)[here]
    return highest_C


def filter_spectrum(spectrum_C: Array, axis: SpectralAxis, top_hat: TopHat) -> tuple[Array, Array]:
    """The filtered spectrum (C,) and its standard deviation (C,)."""
    return top_hat(spectrum_C), top_hat.noise(variance_of(spectrum_C, counting=axis.unit in ("keV", "channel")))


def _vertex(filtered_C: Array, channel: int) -> float:
    """How far the top of the parabola through a maximum and its neighbours lies from it, in channels."""
    if not 0 < channel < len(filtered_C) - 1:
        return 0.0
    before, here, after = filtered_C[channel - 1 : channel + 2]
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))


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
