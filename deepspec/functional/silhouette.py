"""Silhouette of a labelled point cloud: exact or estimated, differentiable, in bounded memory.

For a point i of cluster I, `a` is its mean distance to the others of I and `b` the smallest of its mean distances to
another cluster; `s = (b - a) / max(a, b)`, and 0 where I has one member (Rousseeuw 1987,
doi:10.1016/0377-0427(87)90125-7; equation 2 of Bombini et al. 2024).

Shapes: N points, M scored points (all, or the anchors), L dimensions, K clusters.

The gradient is written out instead of recorded: with labels fixed, s depends on the distances through two weights
per point, so the backward pass recomputes each block of distances and never holds N x N of anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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

# Distance to a cluster that does not count: its own, or one without members. Infinity would give infinity times zero.
_FAR = 1e30

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
    return _values(x_NL, _measure(x_NL, *_check(x_NL, labels_N), None))


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
    values_M = _values(x_NL, _measure(x_NL, compact_N, counts_K, rows_M))
    if average == "samples" and rows_M is None:
        return values_M.mean()
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
    values_M = _measure(x_NL, compact_N, counts_K, rows_M).parts.values
    means_K, variances_K, drawn_K = _by_cluster(values_M.double(), compact_N[rows_M], len(counts_K))
    weights_K = _weights(counts_K, average, torch.float64)
    unseen_K = 1 - drawn_K / counts_K  # finite-population correction: no error from clusters scored whole
    variance = (weights_K.square() * variances_K / drawn_K * unseen_K).sum()
    return SilhouetteEstimate(float((weights_K * means_K).sum()), float(variance.sqrt()), len(rows_M))


class PartitionScores:
    """Silhouette scores (average over samples) of several partitions of the same points, from one set of distances.

    Args:
        x_NL: (N, L) float points.
        labels_PN: (P, N) labels of P partitions, `0 <= labels_PN[p] < clusters[p]`.
        clusters: the number of clusters of each partition.
        rows_M: (M,) indices of the points to score, None for all.

    Attributes:
        scores: (P,) scores; NaN for a partition with an empty cluster.
    """

    scores: Tensor

    @torch.no_grad()
    def __init__(self, x_NL: Tensor, labels_PN: Tensor, clusters: list[int], rows_M: Tensor | None = None) -> None:
        self._x_NL, self._labels_PN, self._clusters = x_NL, labels_PN, clusters
        wide_NL = centred(x_NL)
        left, right = as_left(wide_NL), as_right(wide_NL)
        # The clusters of all partitions in one list, for the product with the distances; then every partition gets as
        # many clusters as the largest has, for the rest: the empty ones are never anybody's nearest.
        p, widest, n = len(clusters), max(clusters), len(x_NL)
        slots = torch.tensor(
            [i * widest + k for i, count in enumerate(clusters) for k in range(count)], device=x_NL.device
        )
        member_PKN = torch.zeros(p, widest, n, dtype=x_NL.dtype, device=x_NL.device)
        member_PKN.scatter_(1, labels_PN[:, None], 1.0)
        member_TN = member_PKN.flatten(0, 1)[slots]
        counts_PK = member_PKN.sum(2)
        total_P = torch.zeros(p, dtype=x_NL.dtype, device=x_NL.device)
        for rows in _row_blocks(rows_M, n, x_NL.device):
            d_NB = distances(left, right[:, rows], x_NL.dtype)
            d_NB.scatter_(0, rows[None], 0.0)
            sums_PKB = torch.zeros(p * widest, len(rows), dtype=x_NL.dtype, device=x_NL.device)
            sums_PKB = sums_PKB.index_copy_(0, slots, member_TN @ d_NB).view(p, widest, -1)
            parts = _from_sums(sums_PKB, labels_PN[:, rows], counts_PK)
            total_P += parts.values.sum(1)
        filled_P = (counts_PK > 0).sum(1)
        complete_P = filled_P == torch.tensor(clusters, device=x_NL.device)
        self.scores = torch.where(complete_P, total_P / (len(x_NL) if rows_M is None else len(rows_M)), torch.nan)
        self._whole = None if len(rows) < len(x_NL) else (wide_NL, member_PKN, counts_PK, d_NB, parts)

    def differentiable(self, partition: int, average: Average) -> Tensor:
        """Score of one of the partitions as `silhouette_score` gives it, with the gradient to the points.

        Where all distances were at hand at once, they are not formed again.
        """
        if self._whole is None:
            return silhouette_score(self._x_NL, self._labels_PN[partition], average=average)
        wide_NL, member_PKN, counts_PK, d_NN, parts = self._whole
        k = slice(self._clusters[partition])
        own = _Parts(*(field[partition] for field in (parts.values, parts.a, parts.b, parts.others, parts.alone)))
        d_NN.clamp_(min=_closest(wide_NL, d_NN.dtype))
        measured = _Measured(wide_NL, member_PKN[partition, k], counts_PK[partition, k], None, d_NN, own.first(k))
        values_N = _values(self._x_NL, measured)
        if average == "samples":
            return values_N.mean()
        return (measured.member_KN @ values_N / measured.counts_K).mean()


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
    runs = torch.split(order, counts_K.tolist())
    chosen = [run[: max(min(2, len(run)), round(anchors * len(run) / n))] for run in runs]
    return torch.cat(chosen).sort().values


def _row_blocks(rows_M: Tensor | None, n: int, device: torch.device) -> Iterator[Tensor]:
    """Indices of the rows to score, so many at a time that their distances to n points fill one block."""
    rows = torch.arange(n, device=device) if rows_M is None else rows_M
    yield from torch.split(rows, max(1, BLOCK_ELEMENTS // n))


@dataclass(frozen=True)
class _Parts:
    values: Tensor  # (B,) silhouettes
    a: Tensor  # (B,) mean distance within the own cluster
    b: Tensor  # (B,) mean distance to the nearest other cluster
    others: Tensor  # (K, B) mean distance to each other cluster, `_FAR` and more for the own
    alone: Tensor  # (B,) bool: no silhouette to speak of

    def first(self, k: slice) -> _Parts:
        """The same without the clusters that only fill up."""
        return replace(self, others=self.others[k])


def _from_sums(sums_KB: Tensor, labels_B: Tensor, counts_K: Tensor) -> _Parts:
    """Silhouettes from the summed distances of B points to each of K clusters; leading dimensions are batched.

    The clusters come before the points, because reducing over the leading one of two dimensions is many times
    quicker. `sums_KB` is overwritten.
    """
    own_1B = labels_B[..., None, :]
    size_B = counts_K.gather(-1, labels_B)
    a_B = sums_KB.gather(-2, own_1B)[..., 0, :] / (size_B - 1).clamp_(min=1)
    empty_K = (counts_K == 0).to(counts_K.dtype)
    others_KB = sums_KB.add_((empty_K * _FAR)[..., None]).div_((counts_K + empty_K)[..., None])
    others_KB.scatter_(-2, own_1B, _FAR)
    b_B = others_KB.amin(-2)
    scale_B = torch.maximum(a_B, b_B)
    alone_B = (size_B == 1).logical_or_(scale_B == 0)
    values_B = ((b_B - a_B) / scale_B).masked_fill_(alone_B, 0.0)
    return _Parts(values_B, a_B, b_B, others_KB, alone_B)


@dataclass(frozen=True)
class _Measured:
    """What the silhouettes of one partition were made from, for the backward pass."""

    wide_NL: Tensor  # the points, centred, in the precision of the distances
    member_KN: Tensor  # 1 where the point belongs to the cluster
    counts_K: Tensor
    rows_M: Tensor | None  # the scored points, None for all
    d_NN: Tensor | None  # all distances, if they are few
    parts: _Parts


@torch.no_grad()
def _measure(x_NL: Tensor, labels_N: Tensor, counts_K: Tensor, rows_M: Tensor | None) -> _Measured:
    dtype = x_NL.dtype
    wide_NL = centred(x_NL)
    member_KN = torch.zeros(len(counts_K), len(x_NL), dtype=dtype, device=x_NL.device)
    member_KN.scatter_(0, labels_N[None], 1.0)
    d_NN = None
    if rows_M is not None:
        sums_KM = _sums_of_rows(wide_NL, rows_M, labels_N, counts_K, dtype)
    elif len(x_NL) ** 2 <= BLOCK_ELEMENTS:
        d_NN = distances(as_left(wide_NL), as_right(wide_NL), dtype)
        d_NN.diagonal().zero_()
        sums_KM = member_KN @ d_NN
        d_NN.clamp_(min=_closest(wide_NL, dtype))
    else:
        sums_KM = _symmetric_sums(wide_NL, labels_N, counts_K, dtype)
    parts = _from_sums(sums_KM, labels_N if rows_M is None else labels_N[rows_M], counts_K.to(dtype))
    return _Measured(wide_NL, member_KN, counts_K.to(dtype), rows_M, d_NN, parts)


def _values(x_NL: Tensor, measured: _Measured) -> Tensor:
    """(M,) silhouettes, with their gradient to the points if these want one."""
    return _Silhouettes.apply(x_NL, measured)  # type: ignore[no-untyped-call,no-any-return]


class _Silhouettes(torch.autograd.Function):
    """The silhouettes that were measured, and the way back from them to the points."""

    @staticmethod
    def forward(ctx: Any, x_NL: Tensor, measured: _Measured) -> Tensor:
        ctx.measured = measured
        return measured.parts.values.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_M: Tensor) -> tuple[Tensor, None]:
        m: _Measured = ctx.measured
        member_KM = m.member_KN if m.rows_M is None else m.member_KN[:, m.rows_M]
        # d(score)/d(distance_ij) is the weight of j's cluster for row i; d(distance_ij)/dx is the unit vector i - j.
        weights_KM = _distance_weights(m.parts, upstream_M, member_KM, m.counts_K)
        x_NL = m.wide_NL.to(weights_KM.dtype)
        if m.rows_M is None:
            return _pull_all(m, weights_KM, x_NL), None
        return _pull_rows(m, weights_KM, x_NL, m.rows_M), None


def _pull_all(m: _Measured, weights_KN: Tensor, x_NL: Tensor) -> Tensor:
    """(N, L) gradient where every point was scored: sum_j (w_ij + w_ji) (x_i - x_j) / d_ij."""
    mine = torch.cat([weights_KN, m.member_KN]).T
    theirs = torch.cat([m.member_KN, weights_KN])
    if m.d_NN is not None:
        return _toward((mine @ theirs).div_(m.d_NN), x_NL, x_NL)
    right, closest = as_right(m.wide_NL), _closest(m.wide_NL, x_NL.dtype)
    grad_NL = torch.empty_like(x_NL)
    for rows in _row_blocks(None, len(x_NL), x_NL.device):
        d_BN = distances(as_left(m.wide_NL[rows]), right, x_NL.dtype).clamp_(min=closest)
        grad_NL[rows] = _toward((mine[rows] @ theirs).div_(d_BN), x_NL[rows], x_NL)
    return grad_NL


def _pull_rows(m: _Measured, weights_KM: Tensor, x_NL: Tensor, rows_M: Tensor) -> Tensor:
    """(N, L) gradient where some points were scored, each against all: a pull on the scored one, one on the other."""
    right, closest = as_right(m.wide_NL), _closest(m.wide_NL, x_NL.dtype)
    grad_NL = torch.zeros_like(x_NL)
    done = 0
    for rows in _row_blocks(rows_M, len(x_NL), x_NL.device):
        d_BN = distances(as_left(m.wide_NL[rows]), right, x_NL.dtype).clamp_(min=closest)
        pull_BN = (weights_KM[:, done : done + len(rows)].T @ m.member_KN).div_(d_BN)
        done += len(rows)
        grad_NL.index_add_(0, rows, _toward(pull_BN, x_NL[rows], x_NL))
        grad_NL += _toward(pull_BN.T, x_NL, x_NL[rows])
    return grad_NL


def _toward(pull_AB: Tensor, x_AL: Tensor, y_BL: Tensor) -> Tensor:
    """(A, L) sum_j pull_ij (x_i - y_j)."""
    # The column of ones gives sum_j pull_ij with the rest. The narrow factor goes first: matrix libraries are two to
    # three times slower with it last.
    sums_1LA = F.pad(y_BL, (0, 1), value=1.0).T @ pull_AB.T
    return sums_1LA[-1][:, None] * x_AL - sums_1LA[:-1].T


def _closest(wide_NL: Tensor, dtype: torch.dtype) -> float:
    """The distance below which directions are rounding; positive, so that a cloud of one point divides by no zero."""
    return max(_RESOLUTION[dtype] * float(wide_NL.abs().max()), torch.finfo(dtype).tiny)


def _distance_weights(parts: _Parts, upstream_M: Tensor, member_KM: Tensor, counts_K: Tensor) -> Tensor:
    """(K, M) derivative of the upstream sum by the distance from each scored point to a member of each cluster."""
    a, b = parts.a, parts.b
    # s = 1 - a/b where a < b, else b/a - 1: with m the larger of the two, ds/da = -b/m^2 and ds/db = a/m^2.
    by_scale = (upstream_M / torch.maximum(a, b).square()).masked_fill(parts.alone, 0.0)
    by_a, by_b = -b * by_scale, a * by_scale
    counts_K1 = counts_K[:, None]
    nearest_KM = parts.others.eq(b).to(b.dtype)
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
