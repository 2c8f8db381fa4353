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
        weight_B = _weights(away_B, max(1.4826 * float(np.median(away_B)), noise, 1e-6), number)
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
    if not bend_C.any():
        return 0.0
    error_C = np.sqrt(np.maximum(expected_C, 1) + (0.03 * expected_C) ** 2)
    # A difference in level is fitted beside it: it would look like a blur where there are lines.
    design_C2 = np.stack([bend_C, expected_C], axis=1) / error_C[:, None]
    away_C = (observed_C - expected_C) / error_C
    weight_C = np.ones(len(bend_C))
    for number in range(ROUNDS):
        root_C = np.sqrt(weight_C)
        found_2 = np.linalg.lstsq(design_C2 * root_C[:, None], away_C * root_C, rcond=None)[0]
        left_C = np.abs(away_C - design_C2 @ found_2)
        weight_C = _weights(left_C, max(1.4826 * float(np.median(left_C)), 1.0), number)
    return float(found_2[0] / max(1 + found_2[1], 0.1))


def _weights(away_N: NDArray[np.float64], scale: float, number: int) -> NDArray[np.float64]:
    """Weights of the next round: for least absolute residuals in the first rounds, then Tukey's."""
    if number < ROUNDS // 2:
        return np.asarray(1 / np.maximum(away_N, 0.1 * scale))
    return np.asarray(np.clip(1 - (away_N / (TUKEY * scale)) ** 2, 0, None) ** 2)


def _equal_bins(expected_C: NDArray[np.float64]) -> NDArray[np.int64]:
    """(C,) the bin of each channel; a channel that holds more than one bin's share is one by itself."""
    cumulated_C = np.cumsum(expected_C) / expected_C.sum()
    middle_C = cumulated_C - expected_C / expected_C.sum() / 2
    return np.asarray(np.minimum((middle_C * BINS).astype(np.int64), BINS - 1))


def _design(u_N: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """(N, Q) Legendre polynomials over low to high."""
    return np.asarray(np.polynomial.legendre.legvander(2 * (u_N - low) / max(high - low, 1e-12) - 1, DEGREE))
