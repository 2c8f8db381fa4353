"""K-means of a training batch on the CPU: the algorithm of `lloyd`, in NumPy.

In training this runs on a few hundred points in every step, where an operation costs more by being called than by its
work. NumPy's are called in a third of the time that tensor operations take: measured on a batch of 512 and K = 3 to 10,
seeds and four iterations take 0.7 ms instead of 2.0.

Shapes: N points, L dimensions, K centres of a problem, P problems (one for every K of a range), C candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

SMALL_POINTS = 2048
"""Up to this many points this is quicker than tensor operations."""


def plus_plus_seeds(y_NL: Floats, draws_KC: Floats) -> Floats:
    """(K, L) greedy k-means++ seeds, the same that `lloyd.plus_plus_seeds` picks by these uniform draws."""
    n = len(y_NL)
    squares_N1 = (y_NL * y_NL).sum(1, keepdims=True)
    ones_N1 = np.ones_like(squares_N1)
    left_N = np.concatenate([y_NL, squares_N1, ones_N1], 1)
    right_N = np.ascontiguousarray(np.concatenate([-2 * y_NL, ones_N1, squares_N1], 1).T)
    chosen = [min(int(draws_KC[0, 0] * n), n - 1)]
    nearest_N = np.maximum(left_N[chosen[0]] @ right_N, 0)
    for draws_C in draws_KC[1:]:
        cumulative_N = nearest_N.cumsum(dtype=np.float64)
        picked_C = cumulative_N.searchsorted(draws_C * cumulative_N[-1])
        lowered_CN = np.minimum(nearest_N, left_N[picked_C] @ right_N)
        winner = lowered_CN.sum(1).argmin()
        nearest_N = np.maximum(lowered_CN[winner], 0)
        chosen.append(picked_C[winner])
    return y_NL[chosen]


def few_iterations(
    y_NL: Floats, seeds_KL: Floats, k_min: int, iterations: int
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """A few Lloyd iterations from the first k seeds, for every k from `k_min` to K together.

    Nothing is looked at on the way: settled problems go on and empty centres stay at the origin, as between two looks
    of `lloyd.Lloyd`.

    Returns:
        (P, N) index of the nearest centre, (L, P, K) centres, (P,) inertia.
    """
    (n, dimensions), k_max = y_NL.shape, len(seeds_KL)
    used_P1 = np.arange(k_min, k_max + 1)[:, None]
    p, dtype = len(used_P1), y_NL.dtype
    total = np.square(y_NL).sum(dtype=np.float64)
    ones_N1 = np.ones_like(y_NL[:, :1])
    points_LN = np.ascontiguousarray(np.concatenate([y_NL, ones_N1], 1).T)
    doubled_LN = np.ascontiguousarray(np.concatenate([-2 * y_NL, ones_N1], 1).T)
    # Infinite for the centres that a problem does not use, and a shift that parts coinciding ones: see `Lloyd._bias`.
    index_K = np.arange(k_max)
    idle_PK = np.where(index_K < used_P1, 0.0, np.inf).astype(dtype).ravel()
    bias_PK = (idle_PK.reshape(p, -1) + index_K * (1e-7 * total / n)).astype(dtype).ravel()
    factor_LPK = np.empty((dimensions + 1, p * k_max), dtype)
    centres_LPK = factor_LPK[:-1]  # the last row is what is constant in the squared distances
    centres_LPK[:] = np.tile(seeds_KL.T, (1, p))
    gap_PKN = np.empty((p, k_max, n), dtype)
    flat_PKN = gap_PKN.reshape(-1, n)
    for iteration in range(iterations + 1):
        np.add(np.square(centres_LPK).sum(0), bias_PK, out=factor_LPK[-1])
        with np.errstate(invalid="ignore"):
            # For some numbers of points (12, 13) the library fills its blocks with zeros and multiplies these with the
            # infinities too, which it reports though no result has part in it.
            np.matmul(factor_LPK.T, doubled_LN, out=flat_PKN)
        nearest_P1N = gap_PKN.min(1, keepdims=True)
        if iteration == iterations:
            break
        np.equal(gap_PKN, nearest_P1N, out=gap_PKN)
        sums_LPK = points_LN @ flat_PKN.T
        np.divide(sums_LPK[:-1], np.maximum(sums_LPK[-1] + idle_PK, 0.5), out=centres_LPK)
    # The first of the nearest: many times quicker than argmin over a middle dimension.
    countdown_K1 = np.arange(k_max, 0, -1, dtype=np.int16)[:, None]
    labels_PN = k_max - (np.equal(gap_PKN, nearest_P1N) * countdown_K1).max(1).astype(np.int64)
    inertia_P = total + nearest_P1N.sum((1, 2), dtype=np.float64)
    return labels_PN, centres_LPK.reshape(dimensions, p, k_max), inertia_P
