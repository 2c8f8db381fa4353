"""Silhouette of a labelled point cloud: exact or estimated, differentiable, in bounded memory.

For a point i of cluster I, `a` is its mean distance to the others of I and `b` the smallest of its mean distances to
another cluster; `s = (b - a) / max(a, b)`, and 0 where I has one member (Rousseeuw 1987,
doi:10.1016/0377-0427(87)90125-7; equation 2 of Bombini et al. 2024).

Shapes: N points, M scored points (all, or the anchors), L dimensions, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

from deepspec.functional.distances import centred, check_points, distances, factors
from deepspec.functional.silhouette_parts import (
    Measured,
    closest,
    measure,
    parts_from_sums,
    parts_of_rows,
    row_blocks,
    values_of,
)

if TYPE_CHECKING:
    from torch import Tensor

Average = Literal["samples", "clusters"]


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
    return values_of(x_NL, measure(x_NL, *_check(x_NL, labels_N), None))


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
    values_M = values_of(x_NL, measure(x_NL, compact_N, counts_K, rows_M))
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
    values_M = parts_of_rows(x_NL, compact_N, counts_K, rows_M).values
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

    @torch.inference_mode()
    def __init__(self, x_NL: Tensor, labels_PN: Tensor, clusters: list[int], rows_M: Tensor | None = None) -> None:
        self._x_NL, self._labels_PN = x_NL, labels_PN
        left, right = factors(centred(x_NL))
        # The clusters of all partitions in one list, for one product with the distances.
        first_P = torch.tensor([sum(clusters[:p]) for p in range(len(clusters))], device=x_NL.device)
        own_PN = labels_PN + first_P[:, None]
        member_TN = torch.zeros(sum(clusters), len(x_NL), dtype=x_NL.dtype, device=x_NL.device)
        member_TN.scatter_(0, own_PN, 1.0)
        counts_T = member_TN.sum(1)
        total_P = torch.zeros(len(clusters), dtype=x_NL.dtype, device=x_NL.device)
        for rows in row_blocks(rows_M, len(x_NL), x_NL.device):
            d_NB = distances(left, right[:, rows], x_NL.dtype)
            d_NB.scatter_(0, rows[None], 0.0)
            parts = parts_from_sums(member_TN @ d_NB, own_PN[:, rows], counts_T, clusters)
            total_P += parts.values.sum(1)
        complete_P = torch.stack([counts_K.min() for counts_K in torch.split(counts_T, clusters)]) > 0
        self.scores = torch.where(complete_P, total_P / (len(x_NL) if rows_M is None else len(rows_M)), torch.nan)
        self._whole = None if len(rows) < len(x_NL) else (left, right, member_TN, counts_T, d_NB, parts)

    def differentiable(self, partition: int, average: Average) -> Tensor:
        """Score of one of the partitions as `silhouette_score` gives it, with the gradient to the points.

        Where all distances were at hand at once, they are not formed again.
        """
        if self._whole is None:
            return silhouette_score(self._x_NL, self._labels_PN[partition], average=average)
        left, right, member_TN, counts_T, d_NN, parts = self._whole
        with torch.inference_mode():
            d_NN.clamp_(min=closest(left, d_NN.dtype))
        first = sum(parts.clusters[:partition])
        own = slice(first, first + parts.clusters[partition])
        measured = Measured(left, right, member_TN[own], counts_T[own], None, d_NN, parts.of(partition))
        values_N = values_of(self._x_NL, measured)
        if average == "samples":
            return values_N.mean()
        return (
            measured.member_KN.clone() @ values_N / measured.counts_K.clone()
        ).mean()  # ordinary tensors, to be kept


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
