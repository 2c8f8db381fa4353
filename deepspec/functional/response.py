"""The response of one detector over another's: a smooth, robust ratio of two spectra, and a difference in resolution.

Lines that only one of the two has are outliers, and do not bend either.

Shapes: C channels, B bins, Q coefficients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import dct, idct

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 96
"""Groups of channels of equal expected counts, of which the ratio is taken."""

DEGREE = 4
"""Of the polynomial in the logarithm of the position."""

BOUND = 4.0
"""Largest factor, and largest divisor."""

TUKEY = 4.685
"""Residuals beyond this many standard deviations count for nothing (Tukey's biweight at 95 % efficiency)."""

ROUNDS = 20


def smooth_log_ratio(
    observed_C: NDArray[np.float64], expected_C: NDArray[np.float64], positions_C: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The logarithm of a smooth ratio of two spectra, of any scale each.

    log(observed / expected) in bins of equal expected counts is fitted by a polynomial in the logarithm of the position
    with Tukey's biweight, from a start by least absolute residuals. Beyond the outermost bins it stays what it is
    there.

    Args:
        observed_C: counts.
        expected_C: counts, not all 0.
        positions_C: of the channels; where any is not positive, they are numbered.

    Returns:
        (C,) its mean over the expected counts is 0, but for the bound: it is within -log 4 and log 4.
    """
    u_C = np.log(positions_C) if positions_C.min() > 0 else np.arange(len(positions_C), dtype=np.float64)
    bin_C = _equal_bins(expected_C)
    expected_B, observed_B = np.bincount(bin_C, expected_C), np.bincount(bin_C, observed_C)
    u_B = np.bincount(bin_C, u_C * expected_C) / np.where(expected_B > 0, expected_B, 1)
    usable_B = (expected_B > 0) & (observed_B > 0)
    if usable_B.sum() < 2 * (DEGREE + 1):
        return np.zeros(len(u_C))
    u_B, expected_B, observed_B = u_B[usable_B], expected_B[usable_B], observed_B[usable_B]
    ratio_B = np.log(observed_B / observed_B.sum()) - np.log(expected_B / expected_B.sum())
    low, high = u_B.min(), u_B.max()
    design_BQ = _design(u_B, low, high)
    noise = float(np.sqrt(np.median(1 / observed_B)))
    weight_B = np.ones(len(u_B))
    for number in range(ROUNDS):
        root_B = np.sqrt(weight_B)
        found_Q = np.linalg.lstsq(design_BQ * root_B[:, None], ratio_B * root_B, rcond=None)[0]
        away_B = np.abs(ratio_B - design_BQ @ found_Q)
        scale = max(1.4826 * float(np.median(away_B)), noise, 1e-6)
        if number < ROUNDS // 2:
            weight_B = 1 / np.maximum(away_B, 0.1 * scale)
        else:
            weight_B = np.clip(1 - (away_B / (TUKEY * scale)) ** 2, 0, None) ** 2
    log_C = _design(np.clip(u_C, low, high), low, high) @ found_Q
    log_C -= np.average(log_C, weights=expected_C)
    return np.asarray(np.clip(log_C, -np.log(BOUND), np.log(BOUND)))


def blurred(spectra_KC: NDArray[np.float64], blur: float) -> NDArray[np.float64]:
    """Spectra at another resolution.

    They are convolved with a Gaussian of variance 2 x `blur` in squared channels, or sharpened by its inverse where
    that is negative; the ends are mirrored. Sharpened noise does not go below a tenth of what was there.

    Args:
        spectra_KC: non-negative.
        blur: at least -0.3, where the finest detail is enlarged three times.
    """
    if blur == 0:
        return spectra_KC
    waves_KC = dct(spectra_KC, axis=1, norm="ortho")
    channels = spectra_KC.shape[1]
    damping_C = np.exp(-blur * (2 - 2 * np.cos(np.pi * np.arange(channels) / channels)))
    return np.asarray(np.maximum(idct(waves_KC * damping_C, axis=1, norm="ortho"), 0.1 * spectra_KC))


def find_blur(observed_C: NDArray[np.float64], expected_C: NDArray[np.float64]) -> float:
    """By how much `expected` must be blurred to come nearest to `observed`, for small blurs; see `blurred`.

    The difference is regressed on the second difference of `expected`, to which a blur is proportional, with Tukey's
    biweight. An error of 3 % of each channel is allowed for beside the counts' noise.

    Args:
        observed_C: counts.
        expected_C: counts, of about the same sum.
    """
    bend_C = np.diff(np.pad(expected_C, 1, mode="edge"), 2)
    away_C = observed_C - expected_C
    error_C = np.sqrt(np.maximum(expected_C, 1) + (0.03 * expected_C) ** 2)
    bend_C, away_C = bend_C / error_C, away_C / error_C
    weight_C, blur = np.ones(len(bend_C)), 0.0
    for number in range(ROUNDS):
        power = float((weight_C * bend_C**2).sum())
        if power == 0:
            return 0.0
        blur = float((weight_C * bend_C * away_C).sum()) / power
        left_C = np.abs(away_C - blur * bend_C)
        scale = max(1.4826 * float(np.median(left_C)), 1.0)
        if number < ROUNDS // 2:
            weight_C = 1 / np.maximum(left_C, 0.1 * scale)
        else:
            weight_C = np.clip(1 - (left_C / (TUKEY * scale)) ** 2, 0, None) ** 2
    return blur


def _equal_bins(expected_C: NDArray[np.float64]) -> NDArray[np.int64]:
    """(C,) the bin of each channel; a channel that holds more than one bin's share is one by itself."""
    cumulated_C = np.cumsum(expected_C) / expected_C.sum()
    middle_C = cumulated_C - expected_C / expected_C.sum() / 2
    return np.asarray(np.minimum((middle_C * BINS).astype(np.int64), BINS - 1))


def _design(u_N: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """(N, Q) Legendre polynomials over low to high."""
    return np.asarray(np.polynomial.legendre.legvander(2 * (u_N - low) / max(high - low, 1e-12) - 1, DEGREE))
