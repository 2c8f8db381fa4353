"""Draw counts photon by photon: exact multinomial and Poisson sampling of many pixels from few spectra.

A table over the first 16 random bits of a photon gives its channel directly, but for the about 1 % of entries
that a channel boundary falls into; those draw 16 more bits and search. That costs some 15 ns per photon, where
drawing each channel's Poisson number costs 35 ns per channel, most of them empty at a few hundred counts. Pixels
of thousands of counts are drawn channel by channel.

Shapes: N pixels, S sources, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = 16
_ENTRIES = 1 << _BITS
_DIRECT = 4  # photons per channel from which drawing channel by channel is quicker
MAX_CHANNELS = 2**15 - 1  # the table keeps a channel in int16, -1 marks a boundary


class PhotonSampler:
    """Draws channels of photons from fixed spectra.

    Probabilities are rounded to multiples of 2^-32.
    """

    def __init__(self, spectra_SC: NDArray[np.float64]) -> None:
        """Build the tables.

        Args:
            spectra_SC: one distribution over the channels per source, of any positive sum.

        Raises:
            ValueError: if a value is negative or not finite, a spectrum is zero, or there are too many channels.
        """
        spectra_SC = np.atleast_2d(np.asarray(spectra_SC, dtype=np.float64))
        sources, channels = spectra_SC.shape
        if not np.isfinite(spectra_SC).all() or (spectra_SC < 0).any() or not spectra_SC.any(axis=1).all():
            raise ValueError("spectra must be finite and not negative, each with a positive sum")
        if channels > MAX_CHANNELS:
            raise ValueError(f"expected at most {MAX_CHANNELS} channels, got {channels}")
        self.channels = channels
        share = np.cumsum(spectra_SC, axis=1)
        upper_SC = np.round(share / share[:, -1:] * 2.0 ** (2 * _BITS)).astype(np.int64)
        first = np.arange(_ENTRIES, dtype=np.int64) << _BITS
        table = np.empty((sources, _ENTRIES), dtype=np.int16)
        for s, upper in enumerate(upper_SC):
            low = np.searchsorted(upper, first, side="right")
            high = np.searchsorted(upper, first + (_ENTRIES - 1), side="right")
            table[s] = np.where(low == high, low, -1)
        self._table = table.ravel()
        # All sources' boundaries on one increasing line, so that one search serves photons of all sources.
        self._boundaries = (upper_SC + (np.arange(sources)[:, None] << 2 * _BITS)).ravel()

    def counts(self, totals_NS: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.intp]:
        """Histogram of photons.

        Args:
            totals_NS: number of photons of each source in each pixel.
            rng: random generator.

        Returns:
            (N, C) counts; row n sums to `totals_NS[n].sum()`.
        """
        pixels, sources = totals_NS.shape
        totals = totals_NS.ravel()
        source = np.repeat(np.tile(np.arange(sources) << _BITS, pixels), totals)
        place = np.repeat(np.repeat(np.arange(pixels) * self.channels, sources), totals)
        source += rng.integers(0, _ENTRIES, size=source.size, dtype=np.uint16)
        channel = self._table.take(source)
        unsure = np.flatnonzero(channel < 0)
        exact = (source[unsure] << _BITS) + rng.integers(0, _ENTRIES, size=unsure.size)
        owner = source[unsure] >> _BITS
        channel[unsure] = np.searchsorted(self._boundaries, exact, side="right") - owner * self.channels
        place += channel
        return np.bincount(place, minlength=pixels * self.channels).reshape(pixels, self.channels)


def sample_counts(
    means_HWS: NDArray[np.floating],
    spectra_SC: NDArray[np.float64],
    *,
    fixed: int | None = None,
    seed: int = 0,
    first_row: int = 0,
) -> NDArray[np.uint16]:
    """Counts of an image whose pixels mix photons of several sources.

    Each row of the image has its own random stream, known from the seed and its number alone: an image drawn in
    parts, of any size and in any order, is the image drawn at once.

    Args:
        means_HWS: mean photons of each source in each pixel.
        spectra_SC: distribution of each source's photons over the channels.
        fixed: draw exactly so many photons in every pixel (a multinomial law); default Poisson.
        seed: of all rows.
        first_row: number of the first row, where `means_HWS` is a part of an image.

    Returns:
        (H, W, C) uint16.
    """
    sampler = PhotonSampler(spectra_SC)
    unit_SC = spectra_SC / spectra_SC.sum(axis=1, keepdims=True)
    height, width, _ = means_HWS.shape
    counts = np.empty((height, width, sampler.channels), dtype=np.uint16)
    for row, means_WS in enumerate(means_HWS.astype(np.float64, copy=False)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, first_row + row)))
        if means_WS.sum() > _DIRECT * width * sampler.channels:
            counts[row] = _draw(means_WS @ unit_SC, fixed, rng)
        else:
            counts[row] = sampler.counts(_draw(means_WS, fixed, rng), rng)
    return counts


def _draw(means_NX: NDArray[np.float64], fixed: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """Poisson numbers, or a fixed total per pixel shared out in proportion to the means."""
    if fixed is None:
        return rng.poisson(means_NX)
    return rng.multinomial(fixed, means_NX / means_NX.sum(axis=1, keepdims=True))
