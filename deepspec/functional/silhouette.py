"""Silhouette of a labelled point cloud: exact or estimated, differentiable, in bounded memory.

For a point i of cluster I, `a` is its mean distance to the others of I and `b` the smallest of its mean distances to
another cluster; `s = (b - a) / max(a, b)`, and 0 where I has one member (Rousseeuw 1987,
doi:10.1016/0377-0427(87)90125-7; equation 2 of Bombini et al. 2024).

Shapes: N points, M scored points (all, or the anchors), L dimensions, K clusters.

The gradient is written out instead of recorded: with labels fixed, s depends on the distances through two weights
per point, so the backward pass recomputes each block of distances and never holds N x N of anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import functional as F

from deepspec.functional.distances import (
    BLOCK_ELEMENTS,
    as_left,
    as_right,
    centred,
    check_points,
    distances,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

Average = Literal["samples", "clusters"]

# A tile of 2^18 distances stays in the cache of a core through the five passes over it.
_TILE_ROWS, _TILE_COLUMNS = 128, 2048

# Closer than this share of the cloud's radius, the direction from one point to another is rounding: there the gradient
# of a distance is taken to fade linearly to 0 instead of keeping length 1.
_RESOLUTION = {torch.float16: 1e-2, torch.bfloat16: 1e-2, torch.float32: 1e-5, torch.float64: 1e-7}


@dataclass(frozen=True)
class SilhouetteEstimate:
    """A silhouette score from a sample of anchors, each scored exactly against all points."""

    score: float
    """The estimate, in [-1, 1]; its expectation over the choice of anchors is the exact score."""
    standard_error: float
    """Standard error of `score` from the spread within each cluster; 0 when every point was scored."""
    anchors: int
    """How many points were scored."""


def silhouette_samples(x_NL: Tensor, labels_N: Tensor) -> Tensor:
    """Silhouette of every point; differentiable in `x_NL`.

    Args:
        x_NL: (N, L) float points; finite.
        labels_N: (N,) integer labels, any values; between 2 and N - 1 different ones.

    Returns:
        (N,) values in [-1, 1], dtype of `x_NL`; 0 for the only member of a cluster and for coincident points.

    Raises:
        ValueError: when points or labels make no silhouette.

    >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> silhouette_samples(x, torch.tensor([0, 0, 1, 1]))
    tensor([0.9048, 0.8947, 0.8947, 0.9048])
    """
    compact_N, counts_K = _check(x_NL, labels_N)
    return _Silhouette.apply(x_NL, compact_N, counts_K, None)  # type: ignore[no-any-return]


def silhouette_score(
    x_NL: Tensor,
    labels_N: Tensor,
    *,
    average: Average = "samples",
    anchors: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean silhouette; differentiable in `x_NL`.

    Args:
        x_NL: (N, L) float points; finite.
        labels_N: (N,) integer labels; between 2 and N - 1 different ones.
        average: "samples" averages over points (Rousseeuw, scikit-learn); "clusters" first within each cluster and
            then over clusters (equation 2 of Bombini et al. 2024), so that a small cluster counts as much as a large.
        anchors: score only this many points, drawn without replacement and in proportion from every cluster, each
            against all N points: an unbiased estimate in N x anchors instead of N x N distances. See
            `silhouette_estimate` for its standard error.
        generator: CPU generator for the choice of anchors.

    Returns:
        A scalar in [-1, 1].

    Raises:
        ValueError: when points, labels or `anchors` make no silhouette.
    """
    compact_N, counts_K = _check(x_NL, labels_N)
    _check_average(average)
    rows_M = None if anchors is None else _stratified(compact_N, counts_K, anchors, generator)
    values_M = _Silhouette.apply(x_NL, compact_N, counts_K, rows_M)
    means_K, _, _ = _by_cluster(values_M, compact_N if rows_M is None else compact_N[rows_M], len(counts_K))
    return (means_K * _weights(counts_K, average, means_K.dtype)).sum()


def silhouette_estimate(
    x_NL: Tensor,
    labels_N: Tensor,
    anchors: int,
    *,
    average: Average = "samples",
    generator: torch.Generator | None = None,
) -> SilhouetteEstimate:
    """Silhouette score from stratified anchors, with its standard error; no gradient.

    Arguments and errors as for `silhouette_score`. When `anchors` is N or more every point is scored.
    """
    compact_N, counts_K = _check(x_NL, labels_N)
    _check_average(average)
    rows_M = _stratified(compact_N, counts_K, anchors, generator)
    with torch.no_grad():
        values_M = _Silhouette.apply(x_NL, compact_N, counts_K, rows_M)
    means_K, variances_K, drawn_K = _by_cluster(values_M.double(), compact_N[rows_M], len(counts_K))
    weights_K = _weights(counts_K, average, torch.float64)
    unseen_K = 1 - drawn_K / counts_K  # finite-population correction: no error from clusters scored whole
    variance = (weights_K.square() * variances_K / drawn_K * unseen_K).sum()
    return SilhouetteEstimate(float((weights_K * means_K).sum()), float(variance.sqrt()), len(rows_M))


def scores_of_partitions(x_NL: Tensor, labels_PN: Tensor, clusters: list[int], rows_M: Tensor | None) -> Tensor:
    """Silhouette score (average over samples) of several partitions of the same points from one set of distances.

    Args:
        x_NL: (N, L) points.
        labels_PN: (P, N) labels of P partitions, `0 <= labels_PN[p] < clusters[p]`.
        clusters: the number of clusters of each partition.
        rows_M: (M,) indices of the points to score, None for all.

    Returns:
        (P,) scores; NaN for a partition with an empty cluster.
    """
    wide_NL = centred(x_NL)
    left, right = as_left(wide_NL), as_right(wide_NL)
    # All partitions are given as many clusters as the largest has: the empty ones are never anybody's nearest.
    shape = len(clusters), max(clusters), len(x_NL)
    member_PKN = torch.zeros(shape, dtype=x_NL.dtype, device=x_NL.device).scatter_(1, labels_PN[:, None], 1.0)
    counts_PK = member_PKN.sum(2)
    total_P = torch.zeros(len(clusters), dtype=x_NL.dtype, device=x_NL.device)
    for rows in _row_blocks(rows_M, len(x_NL), x_NL.device):
        d_NB = distances(left, right[:, rows], x_NL.dtype)
        d_NB.scatter_(0, rows[None], 0.0)
        sums_PKB = (member_PKN.flatten(0, 1) @ d_NB).unflatten(0, shape[:2])
        total_P += _from_sums(sums_PKB, member_PKN[..., rows], counts_PK).values.sum(1)
    filled_P = (counts_PK > 0).sum(1)
    complete_P = filled_P == torch.tensor(clusters, device=x_NL.device)
    return torch.where(complete_P, total_P / (len(x_NL) if rows_M is None else len(rows_M)), torch.nan)


def _check(x_NL: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Labels renumbered 0..K-1 and the size of each cluster."""
    check_points(x_NL, "x", minimum=3)
    if labels_N.shape != x_NL.shape[:1] or labels_N.is_floating_point():
        raise ValueError(
            f"labels: expected {len(x_NL)} integers, one per point, got shape {tuple(labels_N.shape)} {labels_N.dtype}"
        )
    _, compact_N, counts_K = torch.unique(labels_N, return_inverse=True, return_counts=True)
    if not 2 <= len(counts_K) <= len(x_NL) - 1:
        raise ValueError(f"labels: expected 2 to {len(x_NL) - 1} clusters of {len(x_NL)} points, got {len(counts_K)}")
    return compact_N, counts_K


def _check_average(average: str) -> None:
    if average not in ("samples", "clusters"):
        raise ValueError(f"average: expected 'samples' or 'clusters', got {average!r}")


def _weights(counts_K: Tensor, average: Average, dtype: torch.dtype) -> Tensor:
    """Weight of each cluster's mean in the score."""
    if average == "samples":
        return counts_K.to(dtype) / counts_K.sum()
    return torch.full_like(counts_K, 1 / len(counts_K), dtype=dtype)


def _by_cluster(values_M: Tensor, labels_M: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, sample variance and number of the values in each cluster."""
    drawn_K = torch.bincount(labels_M, minlength=k).to(values_M.dtype)
    member_MK = F.one_hot(labels_M, k).to(values_M.dtype)
    means_K = values_M @ member_MK / drawn_K
    residuals_M = values_M.detach() - means_K.detach()[labels_M]
    return means_K, residuals_M.square() @ member_MK / (drawn_K - 1).clamp(min=1), drawn_K


def _stratified(labels_N: Tensor, counts_K: Tensor, anchors: int, generator: torch.Generator | None) -> Tensor:
    """Indices of random points, from each cluster in proportion and at least two (or its only one)."""
    if anchors < 2 * len(counts_K):
        raise ValueError(f"anchors: expected at least two per cluster, {2 * len(counts_K)}, got {anchors}")
    n = len(labels_N)
    if anchors >= n:
        return torch.arange(n, device=labels_N.device)
    # A random order of all points, sorted stably by cluster: the first points of each run are a random draw from it.
    shuffled = torch.randperm(n, generator=generator).to(labels_N.device)
    order = shuffled[labels_N[shuffled].argsort(stable=True)]
    runs = order.split(counts_K.tolist())
    chosen = [run[: max(min(2, len(run)), round(anchors * len(run) / n))] for run in runs]
    return torch.cat(chosen).sort().values


def _row_blocks(rows_M: Tensor | None, n: int, device: torch.device) -> Iterator[Tensor]:
    """Indices of the rows to score, so many at a time that their distances to n points fill one block."""
    rows = torch.arange(n, device=device) if rows_M is None else rows_M
    yield from rows.split(max(1, BLOCK_ELEMENTS // n))


@dataclass(frozen=True)
class _Parts:
    values: Tensor  # (B,) silhouettes
    a: Tensor  # (B,) mean distance within the own cluster
    b: Tensor  # (B,) mean distance to the nearest other cluster
    others: Tensor  # (K, B) mean distance to each other cluster, infinite for the own
    alone: Tensor  # (B,) bool: no silhouette to speak of


def _from_sums(sums_KB: Tensor, member_KB: Tensor, counts_K: Tensor) -> _Parts:
    """Silhouettes from the summed distances of B points to each of K clusters; leading dimensions are batched.

    The clusters come before the points, because reducing over the leading one of two dimensions is many times
    quicker.
    """
    own_KB = member_KB > 0
    size_B = (member_KB * counts_K[..., None]).sum(-2)
    a_B = (sums_KB * member_KB).sum(-2) / (size_B - 1).clamp(min=1)
    others_KB = sums_KB / counts_K[..., None]  # NaN for an empty cluster
    others_KB.masked_fill_(own_KB | (counts_K == 0)[..., None], torch.inf)
    b_B = others_KB.amin(-2)
    scale_B = torch.maximum(a_B, b_B)
    alone_B = (size_B == 1) | (scale_B == 0)
    values_B = ((b_B - a_B) / scale_B).masked_fill(alone_B, 0.0)
    return _Parts(values_B, a_B, b_B, others_KB, alone_B)


class _Silhouette(torch.autograd.Function):
    """Silhouettes of the points `rows` (all if None) against all points."""

    @staticmethod
    def forward(ctx: Any, x_NL: Tensor, labels_N: Tensor, counts_K: Tensor, rows_M: Tensor | None) -> Tensor:
        wide_NL = centred(x_NL)
        member_KN = _membership(labels_N, counts_K, x_NL.dtype)
        d_NN = None  # kept for the backward pass when it is small
        if rows_M is not None:
            sums_KM = _sums_of_rows(wide_NL, rows_M, labels_N, counts_K, x_NL.dtype)
        elif len(x_NL) ** 2 <= BLOCK_ELEMENTS:
            d_NN = distances(as_left(wide_NL), as_right(wide_NL), x_NL.dtype)
            d_NN.diagonal().zero_()
            sums_KM = member_KN @ d_NN
            d_NN.clamp_(min=_closest(wide_NL, x_NL.dtype))
        else:
            sums_KM = _symmetric_sums(wide_NL, labels_N, counts_K, x_NL.dtype)
        ctx.parts = _from_sums(sums_KM, member_KN if rows_M is None else member_KN[:, rows_M], counts_K.to(x_NL.dtype))
        ctx.save_for_backward(wide_NL, member_KN, counts_K, rows_M, d_NN)
        return ctx.parts.values

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, upstream_M: Tensor) -> tuple[Tensor | None, None, None, None]:
        wide_NL, member_KN, counts_K, rows_M, d_NN = ctx.saved_tensors
        dtype = member_KN.dtype
        member_KM = member_KN if rows_M is None else member_KN[:, rows_M]
        # d(score)/d(distance_ij) is the weight of j's cluster for row i; d(distance_ij)/dx is the unit vector i - j.
        weights_KM = _distance_weights(ctx.parts, upstream_M, member_KM, counts_K.to(dtype))
        x_NL = wide_NL.to(dtype)
        if d_NN is not None:
            return _pull(weights_KM, member_KN, d_NN, x_NL, x_NL, slice(None)), None, None, None
        grad_NL = torch.zeros_like(x_NL)
        right = as_right(wide_NL)
        done = 0
        for rows in _row_blocks(rows_M, len(x_NL), x_NL.device):
            d_BN = distances(as_left(wide_NL[rows]), right, dtype).clamp_(min=_closest(wide_NL, dtype))
            grad_NL += _pull(weights_KM[:, done : done + len(rows)], member_KN, d_BN, x_NL[rows], x_NL, rows)
            done += len(rows)
        return grad_NL, None, None, None


def _closest(wide_NL: Tensor, dtype: torch.dtype) -> float:
    """The distance below which directions are rounding; positive, so that a cloud of one point divides by no zero."""
    return max(_RESOLUTION[dtype] * float(wide_NL.abs().max()), torch.finfo(dtype).tiny)


def _membership(labels_N: Tensor, counts_K: Tensor, dtype: torch.dtype) -> Tensor:
    """(K, N) 1 where the point belongs to the cluster."""
    member_KN = torch.zeros(len(counts_K), len(labels_N), dtype=dtype, device=labels_N.device)
    return member_KN.scatter_(0, labels_N[None], 1.0)


def _pull(
    weights_KB: Tensor, member_KN: Tensor, d_BN: Tensor, x_BL: Tensor, x_NL: Tensor, rows: Tensor | slice
) -> Tensor:
    """(N, L) gradient from a block of distances: the sum of the unit vectors between its points, weighted."""
    pull_BN = weights_KB.T @ member_KN
    pull_BN /= d_BN
    # sum_j pull_ij (x_i - x_j), for the columns and then for the rows. The column of ones gives sum_j pull_ij with the
    # rest, and the narrow factor goes first: matrix libraries are two to three times slower with it last.
    by_column_1LN = F.pad(x_BL, (0, 1), value=1.0).T @ pull_BN
    by_row_1LB = F.pad(x_NL, (0, 1), value=1.0).T @ pull_BN.T
    grad_NL = by_column_1LN[-1][:, None] * x_NL - by_column_1LN[:-1].T
    grad_NL[rows] += by_row_1LB[-1][:, None] * x_BL - by_row_1LB[:-1].T
    return grad_NL


def _distance_weights(parts: _Parts, upstream_M: Tensor, member_KM: Tensor, counts_K: Tensor) -> Tensor:
    """(K, M) derivative of the upstream sum by the distance from each scored point to a member of each cluster."""
    a, b = parts.a, parts.b
    # s = 1 - a/b where a < b, else b/a - 1: with m the larger of the two, ds/da = -b/m^2 and ds/db = a/m^2.
    by_scale = (upstream_M / torch.maximum(a, b).square()).masked_fill(parts.alone, 0.0)
    by_a, by_b = -b * by_scale, a * by_scale
    counts_K1 = counts_K[:, None]
    nearest_KM = parts.others.eq(b).to(by_b.dtype)
    nearest_KM /= nearest_KM.sum(0)  # clusters equally near share the weight
    return by_a * member_KM / (counts_K1 - 1).clamp(min=1) + by_b * nearest_KM / counts_K1


def _tiles(counts_K: Tensor) -> list[tuple[int, int, int]]:
    """(cluster, first, last) of runs of points sorted by cluster, each within one cluster and short enough to cache.

    The sum over a cluster is then a plain sum along a tile, at memory speed, instead of a product with a membership
    matrix.
    """
    tiles = []
    first = 0
    for cluster, count in enumerate(counts_K.tolist()):
        last = first + count
        tiles += [(cluster, at, min(at + _TILE_COLUMNS, last)) for at in range(first, last, _TILE_COLUMNS)]
        first = last
    return tiles


def _sums_of_rows(wide_NL: Tensor, rows_M: Tensor, labels_N: Tensor, counts_K: Tensor, dtype: torch.dtype) -> Tensor:
    """(K, M) summed distances of some of the points to every cluster."""
    order = labels_N.argsort(stable=True)
    # The rows are taken in that order too, so that a point meets itself in few tiles: there its distance is set to 0.
    place_M, by_place = (
        torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))[rows_M].sort()
    )
    sorted_NL = wide_NL[order]
    left, right = as_left(sorted_NL[place_M]), as_right(sorted_NL)
    sums_KM = torch.zeros(len(counts_K), len(rows_M), dtype=dtype, device=wide_NL.device)
    tiles = _tiles(counts_K)
    for start in range(0, len(rows_M), _TILE_ROWS):
        rows = slice(start, start + _TILE_ROWS)
        place_R = place_M[rows]
        lowest, highest = int(place_R[0]), int(place_R[-1])
        for cluster, first, last in tiles:
            d_RC = distances(left[rows], right[:, first:last], dtype)
            if lowest < last and highest >= first:
                here = ((place_R >= first) & (place_R < last)).nonzero()[:, 0]
                d_RC[here, place_R[here] - first] = 0
            sums_KM[cluster, rows] += d_RC.sum(1)
    return torch.empty_like(sums_KM).index_copy_(1, by_place, sums_KM)


def _symmetric_sums(wide_NL: Tensor, labels_N: Tensor, counts_K: Tensor, dtype: torch.dtype) -> Tensor:
    """(K, N) summed distances of every point to every cluster, each pair of points measured once.

    The rows of a tile feed the column's cluster, and its columns the row's cluster.
    """
    order = labels_N.argsort(stable=True)
    sorted_NL = wide_NL[order]
    left, right = as_left(sorted_NL), as_right(sorted_NL)
    sums_KN = torch.zeros(len(counts_K), len(order), dtype=dtype, device=wide_NL.device)
    tiles = _tiles(counts_K)
    for row_tile, (row_cluster, row_first, row_last) in enumerate(tiles):
        for start in range(row_first, row_last, _TILE_ROWS):
            rows = slice(start, min(start + _TILE_ROWS, row_last))
            # The tile on the diagonal holds both halves of its pairs, so its columns are not fed back.
            d_RC = distances(left[rows], right[:, row_first:row_last], dtype)
            d_RC.diagonal(start - row_first).zero_()
            sums_KN[row_cluster, rows] += d_RC.sum(1)
            for column_cluster, column_first, column_last in tiles[row_tile + 1 :]:
                d_RC = distances(left[rows], right[:, column_first:column_last], dtype)
                sums_KN[column_cluster, rows] += d_RC.sum(1)
                sums_KN[row_cluster, column_first:column_last] += d_RC.sum(0)
    return torch.empty_like(sums_KN).index_copy_(1, order, sums_KN)
