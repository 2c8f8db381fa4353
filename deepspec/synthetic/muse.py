"""The MUSE spectrograph: its pixels, how wide a line it shows and how noisy each wavelength is.

4750 angstrom and up in steps of 1.25, wavelengths in air. Spectra are delivered in pixels or in fewer, wider bins.

Shapes: N spectra, P pixels, C channels of the result, E = C + 1 their edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Binning = Literal["full", "paper", "pixels"]
FIRST, STEP, PIXELS = 4750.0, 1.25, 3681  # first pixel's centre and pixel width in angstrom, pixels
PAPER_PIXELS = 3000
FWHM_PER_SIGMA = 2.3548
# Night sky: emission lines of OH in bands, and single lines with the factor by which they raise the noise.
_OH_BANDS = ((7240, 7450), (7700, 8100), (8280, 8500), (8760, 9100))
_OH_SPACING, _OH_NOISE = 25.0, (1.5, 4.0)
_SKY_LINES = ((5577.3, 4.0), (5889.95, 2.0), (5895.92, 2.0), (6300.3, 3.0), (6363.8, 2.0))


class MuseChannels:
    """Channels of a spectrum: how pixels are put into them, and the noise that follows.

    Args:
        binning: "full": all pixels in `bins` equal bins, a pixel across an edge shared out in proportion, so that
            flux is conserved; "paper": the published code: of the first 3,000 pixels, sums of 3000 // `bins` whole
            ones (two of 1,024), what is left at the end (from 7309 angstrom) dropped; "pixels": as they are.
        bins: number of bins; without effect for "pixels".

    Attributes:
        axis: centres of the C channels in angstrom.
        below, above: (E,) edges in angstrom of the pixel that each channel edge lies in; the edge itself where it is
            one between two pixels.
        part: (E,) share of that pixel below the channel edge.

    Raises:
        UserError: if there would be more bins than pixels.
    """

    def __init__(self, binning: Binning = "full", bins: int = 1024) -> None:
        if binning not in get_args(Binning):
            raise UserError(f"binning={binning!r}: expected one of {', '.join(get_args(Binning))}")
        most = PAPER_PIXELS if binning == "paper" else PIXELS
        if not 1 <= bins <= most:
            raise UserError(f"bins={bins}: expected 1 to the {most} pixels")
        if binning == "full":
            position = np.arange(bins + 1) * PIXELS / bins
        else:
            factor, count = (PAPER_PIXELS // bins, bins) if binning == "paper" else (1, PIXELS)
            position = factor * np.arange(count + 1.0)
        self._pixel = np.floor(position).astype(np.int64)
        self.part = position - self._pixel
        start = FIRST - STEP / 2
        self.below = start + STEP * self._pixel
        self.above = start + STEP * np.ceil(position)
        edges = start + STEP * position
        self.edges = edges
        self.axis = SpectralAxis((edges[1:] + edges[:-1]) / 2, "angstrom")
        self._prepare_noise()

    @property
    def width(self) -> float:
        """Width of a channel in angstrom."""
        return float((self.edges[-1] - self.edges[0]) / self.axis.channels)

    def _prepare_noise(self) -> None:
        """Factor the covariance of the channels' noise: only neighbours share a pixel, so it is tridiagonal."""
        variance = sky_noise(FIRST + STEP * np.arange(PIXELS, dtype=np.float64)) ** 2
        running = np.concatenate([[0.0], np.cumsum(variance)])
        divided = np.append(variance, 0.0)[self._pixel]  # of the pixel that each edge lies in
        first = self._pixel[:-1] + (self.part[:-1] > 0)
        whole = running[self._pixel[1:]] - running[first]
        self._variance = (
            whole + self.part[1:] ** 2 * divided[1:] + (1 - self.part[:-1]) ** 2 * divided[:-1] * (self.part[:-1] > 0)
        )
        covariance = self.part * (1 - self.part) * divided
        own, shared = np.sqrt(self._variance), np.zeros(self.axis.channels)
        for c in range(1, self.axis.channels):
            shared[c] = covariance[c] / own[c - 1]
            own[c] = np.sqrt(own[c] ** 2 - shared[c] ** 2)
        self._own, self._shared = own.astype(np.float32), shared.astype(np.float32)

    def noise_sd(self) -> Array:
        """(C,) standard deviation of each channel, in units of the cleanest pixel's."""
        return np.asarray(np.sqrt(self._variance))

    def noise(self, rng: np.random.Generator, n: int) -> NDArray[np.float32]:
        """(n, C) Gaussian noise of independent pixels put into the channels, in units of the cleanest pixel's sd.

        The law is that of binning the noise of every pixel; one number is drawn for each channel.
        """
        draw_NC: NDArray[np.float32] = rng.standard_normal((n, self.axis.channels), dtype=np.float32)
        noise_NC: NDArray[np.float32] = draw_NC * self._own
        if self._shared.any():
            noise_NC[:, 1:] += draw_NC[:, :-1] * self._shared[1:]
        return noise_NC


def line_spread(wavelength: Array) -> Array:
    """FWHM in angstrom of a line without width of its own (Bacon et al. 2017, eq. 8, UDF-10)."""
    return 5.866e-8 * wavelength**2 - 9.187e-4 * wavelength + 6.040


def sky_noise(wavelength: Array) -> Array:
    """Standard deviation of a pixel's noise, in units of that at 5000 to 7000 angstrom: a stylised template.

    It rises to the blue end, in the bands of OH beyond 7240 angstrom, and at five lines of the night sky.
    """
    noise = 1 + 0.3 * np.clip((5000 - wavelength) / 250, 0, 1)
    low, high = _OH_NOISE
    for start, stop in _OH_BANDS:
        phase = 2 * np.pi * (wavelength - start) / _OH_SPACING
        comb = (low + high) / 2 - (high - low) / 2 * np.cos(phase)
        noise = np.where((wavelength >= start) & (wavelength <= stop), comb, noise)
    for centre, factor in _SKY_LINES:
        sigma = line_spread(np.array(centre)) / FWHM_PER_SIGMA
        noise = np.maximum(noise, 1 + (factor - 1) * np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2))
    return np.asarray(noise)
