"""How deep is the valley between two groups of numbers? One where there is none, towards zero where they lie apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

if TYPE_CHECKING:
    from numpy.typing import NDArray

_APART = 8.0
"""Medians this many standard deviations of either group apart leave a valley that is empty."""

_STEPS_PER_BANDWIDTH = 3
_MOST_STEPS = 4096


def valley_ratio(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The depth of the valley in the density of two groups of numbers, between their medians.

    The density f is a Gaussian kernel estimate of both groups together. Between the medians every point is compared
    with the lower of the two heights that must be climbed to on either side: r = min f / min(max of f from the left,
    max of f from the right). One bandwidth serves both groups, by Silverman's rule (0.9 sigma n^-1/5) with their mean
    deviation and the size of the smaller: a hump that was merely cut in two then has no valley at the cut. The
    valley is taken a standard error higher than it was found, so that few numbers make no valley by chance.

    >>> numbers = np.linspace(-1, 1, 200) ** 3
    >>> valley_ratio(numbers[:100], numbers[100:])
    1.0
    >>> valley_ratio(numbers, numbers + 20)
    0.0

    Args:
        first: (N,) finite numbers.
        second: (M,) likewise.

    Returns:
        0 to 1; 1 where a group is empty or the medians are equal.
    """
    if min(len(first), len(second)) == 0:
        return 1.0
    low, high = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    ends = float(np.median(low)), float(np.median(high))
    if ends[0] > ends[1]:
        low, high, ends = high, low, ends[::-1]
    gap = ends[1] - ends[0]
    if gap <= 0:
        return 1.0
    spreads = _spread(low), _spread(high)
    if gap > _APART * sum(spreads):
        return 0.0
    spread = (len(low) * spreads[0] + len(high) * spreads[1]) / (len(low) + len(high))
    bandwidth = 0.9 * spread * min(len(low), len(high)) ** -0.2
    if bandwidth <= 0:
        return 0.0
    if gap <= bandwidth:
        return 1.0
    steps = int(np.clip(np.ceil(gap / bandwidth * _STEPS_PER_BANDWIDTH), 32, _MOST_STEPS))
    step, margin = gap / steps, 4 * bandwidth
    outside = int(np.ceil(margin / step))
    edges = ends[0] + step * (np.arange(-outside, steps + outside + 2) - 0.5)
    counts = np.histogram(low, edges)[0] + np.histogram(high, edges)[0]
    density = gaussian_filter1d(counts.astype(np.float64), bandwidth / step, mode="constant", truncate=4)
    between = density[outside : outside + steps + 1]
    heights = np.minimum(np.maximum.accumulate(between), np.maximum.accumulate(between[::-1])[::-1])
    # A density per step that m numbers in effect make up, m = 2 sqrt(pi) h f / step, has the standard error sqrt(m).
    effective = 2 * np.sqrt(np.pi) * bandwidth / step
    ratios = (between + np.sqrt(between / effective)) / np.maximum(heights, np.finfo(np.float64).tiny)
    return float(np.minimum(ratios, 1.0).min())


def _spread(numbers: NDArray[np.float64]) -> float:
    """Standard deviation, or the quartiles' distance over 1.34 where that is less, as Silverman advises."""
    lower, upper = np.quantile(numbers, [0.25, 0.75])
    deviation, quartiles = float(numbers.std()), float(upper - lower) / 1.34
    return min(deviation, quartiles) if quartiles > 0 else deviation
