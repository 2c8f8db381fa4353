"""How silhouettes are made from summed distances, and the way back from them to the points.

Shapes: N points, M or B scored points, L dimensions, K clusters; P partitions of the same points, T clusters of all.

The gradient is written out instead of recorded: with labels fixed, a silhouette depends on the distances through two
weights per point, so the backward pass recomputes each block of distances and never holds N x N of anything large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from deepspec.functional.distances import (
    BLOCK_ELEMENTS,
    centred,
    distances,
    factors,
    sums_of_rows,
    symmetric_sums,
    weighted_differences,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

# Distance to a cluster that does not count: its own, or one without members. Infinity would give infinity times zero.
_FAR = 1e30

# Closer than this share of the cloud's radius, the direction from one point to another is rounding: there the gradient
# of a distance is taken to fade linearly to 0 instead of keeping length 1.
_RESOLUTION = {torch.float16: 1e-2, torch.bfloat16: 1e-2, torch.float32: 1e-5, torch.float64: 1e-7}


def row_blocks(rows_M: Tensor | None, n: int, device: torch.device) -> Iterator[Tensor]:
    """Indices of the rows to score, so many at a time that their distances to n points fill one block."""
    rows = torch.arange(n, device=device) if rows_M is None else rows_M
    yield from torch.split(rows, max(1, BLOCK_ELEMENTS // n))


@dataclass(frozen=True)
class Parts:
    """Silhouettes of B points and what they were made from."""

    values: Tensor  # (B,) silhouettes
    a: Tensor  # (B,) mean distance within the own cluster
    b: Tensor  # (B,) mean distance to the nearest other cluster
    others: Tensor  # (K, B) mean distance to each other cluster, `_FAR` and more for the own
    alone: Tensor  # (B,) bool: no silhouette to speak of


@dataclass(frozen=True)
class ManyParts:
    """The same for P partitions: a leading dimension more, but the clusters of all in one list."""

    values: Tensor  # (P, B)
    a: Tensor
    b: Tensor
    others: Tensor  # (T, B)
    alone: Tensor
    clusters: list[int]  # the number of each partition's

    def of(self, p: int) -> Parts:
        """Those of one partition."""
        first = sum(self.clusters[:p])
        others = self.others[first : first + self.clusters[p]]
        return Parts(self.values[p], self.a[p], self.b[p], others, self.alone[p])


def parts_from_sums(sums_TB: Tensor, own_PB: Tensor, counts_T: Tensor, clusters: list[int]) -> ManyParts:
    """Silhouettes from the summed distances of B points to each of the clusters.

    The clusters come before the points, because reducing over the leading one of two dimensions is many times
    quicker.

    Args:
        sums_TB: summed distances to the clusters of all partitions; overwritten.
        own_PB: index of the own cluster in that list.
        counts_T: sizes.
        clusters: number of clusters of each partition.
    """
    size_PB = counts_T.take(own_PB)
    a_PB = sums_TB.gather(0, own_PB).div_((size_PB - 1).clamp_(min=1))
    empty_T = (counts_T == 0).to(counts_T.dtype)
    others_TB = sums_TB.add_((empty_T * _FAR)[:, None]).div_((counts_T + empty_T)[:, None])
    others_TB.scatter_(0, own_PB, _FAR)
    b_PB = torch.stack([others_KB.amin(0) for others_KB in torch.split(others_TB, clusters)])
    scale_PB = torch.maximum(a_PB, b_PB)
    alone_PB = (size_PB == 1).logical_or_(scale_PB == 0)
    values_PB = ((b_PB - a_PB) / scale_PB).masked_fill_(alone_PB, 0.0)
    return ManyParts(values_PB, a_PB, b_PB, others_TB, alone_PB, clusters)


@dataclass(frozen=True)
class Measured:
    """What the silhouettes of one partition were made from, for the backward pass."""

    left: Tensor  # factors of the distances between the points
    right: Tensor
    member_KN: Tensor  # 1 where the point belongs to the cluster
    counts_K: Tensor
    rows_M: Tensor | None  # the scored points, None for all
    d_NN: Tensor | None  # all distances, if they are few
    parts: Parts


@torch.no_grad()
def parts_of_rows(x_NL: Tensor, labels_N: Tensor, counts_K: Tensor, rows_M: Tensor) -> Parts:
    """What `measure` finds for some of the points, without what only the way back to the points needs."""
    sums_KM = sums_of_rows(centred(x_NL), rows_M, labels_N, counts_K, x_NL.dtype)
    return parts_from_sums(sums_KM, labels_N[rows_M][None], counts_K.to(x_NL.dtype), [len(counts_K)]).of(0)


@torch.no_grad()
def measure(x_NL: Tensor, labels_N: Tensor, counts_K: Tensor, rows_M: Tensor | None) -> Measured:
    """Silhouettes of the points `rows_M`, or of all, against all; `labels_N` are 0 to K - 1, `counts_K` their sizes."""
    dtype = x_NL.dtype
    wide_NL = centred(x_NL)
    left, right = factors(wide_NL)
    member_KN = torch.zeros(len(counts_K), len(x_NL), dtype=dtype, device=x_NL.device)
    member_KN.scatter_(0, labels_N[None], 1.0)
    d_NN = None
    if rows_M is not None:
        sums_KM = sums_of_rows(wide_NL, rows_M, labels_N, counts_K, dtype)
    elif len(x_NL) ** 2 <= BLOCK_ELEMENTS:
        d_NN = distances(left, right, dtype)
        d_NN.diagonal().zero_()
        sums_KM = member_KN @ d_NN
        d_NN.clamp_(min=closest(left, dtype))
    else:
        sums_KM = symmetric_sums(wide_NL, labels_N, counts_K, dtype)
    own_M = labels_N if rows_M is None else labels_N[rows_M]
    parts = parts_from_sums(sums_KM, own_M[None], counts_K.to(dtype), [len(counts_K)])
    return Measured(left, right, member_KN, counts_K.to(dtype), rows_M, d_NN, parts.of(0))


def values_of(x_NL: Tensor, measured: Measured) -> Tensor:
    """(M,) silhouettes, with their gradient to the points if these want one."""
    return _Silhouettes.apply(x_NL, measured)  # type: ignore[no-untyped-call,no-any-return]


class _Silhouettes(torch.autograd.Function):
    """The silhouettes that were measured, and the way back from them to the points."""

    @staticmethod
    def forward(ctx: Any, x_NL: Tensor, measured: Measured) -> Tensor:
        ctx.measured = measured
        return measured.parts.values.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_M: Tensor) -> tuple[Tensor, None]:
        m: Measured = ctx.measured
        member_KM = m.member_KN if m.rows_M is None else m.member_KN[:, m.rows_M]
        # d(score)/d(distance_ij) is the weight of j's cluster for row i; d(distance_ij)/dx is the unit vector i - j.
        weights_KM = _distance_weights(m.parts, upstream_M, member_KM, m.counts_K)
        left = m.left.to(weights_KM.dtype)
        if m.rows_M is None:
            return _pull_all(m, weights_KM, left), None
        return _pull_rows(m, weights_KM, left, m.rows_M), None


def _pull_all(m: Measured, weights_KN: Tensor, left: Tensor) -> Tensor:
    """(N, L) gradient where every point was scored: sum_j (w_ij + w_ji) (x_i - x_j) / d_ij."""
    mine = torch.cat([weights_KN, m.member_KN]).T
    theirs = torch.cat([m.member_KN, weights_KN])
    x_NL = left[:, :-2]
    if m.d_NN is not None:
        pull_NN = (mine @ theirs).div_(m.d_NN)
        pull_NN.diagonal().zero_()  # a point does not pull itself, but the smallest distance would let rounding do it
        return weighted_differences(pull_NN, x_NL, left)
    nearest = closest(m.left, left.dtype)
    grad_NL = torch.empty_like(x_NL)
    for rows in row_blocks(None, len(left), left.device):
        d_BN = distances(m.left[rows], m.right, left.dtype).clamp_(min=nearest)
        pull_BN = (mine[rows] @ theirs).div_(d_BN).scatter_(1, rows[:, None], 0.0)
        grad_NL[rows] = weighted_differences(pull_BN, x_NL[rows], left)
    return grad_NL


def _pull_rows(m: Measured, weights_KM: Tensor, left: Tensor, rows_M: Tensor) -> Tensor:
    """(N, L) gradient where some points were scored, each against all: a pull on the scored one, one on the other."""
    nearest = closest(m.left, left.dtype)
    x_NL = left[:, :-2]
    grad_NL = torch.zeros_like(x_NL)
    done = 0
    for rows in row_blocks(rows_M, len(left), left.device):
        d_BN = distances(m.left[rows], m.right, left.dtype).clamp_(min=nearest)
        pull_BN = (weights_KM[:, done : done + len(rows)].T @ m.member_KN).div_(d_BN).scatter_(1, rows[:, None], 0.0)
        done += len(rows)
        grad_NL.index_add_(0, rows, weighted_differences(pull_BN, x_NL[rows], left))
        grad_NL += weighted_differences(pull_BN.T, x_NL, left[rows])
    return grad_NL


def closest(left: Tensor, dtype: torch.dtype) -> float:
    """The distance below which directions are rounding; positive, so that a cloud of one point divides by no zero."""
    radius = math.sqrt(float(left[:, -2].max()))
    return max(_RESOLUTION[dtype] * radius, torch.finfo(dtype).tiny)


def _distance_weights(parts: Parts, upstream_M: Tensor, member_KM: Tensor, counts_K: Tensor) -> Tensor:
    """(K, M) derivative of the upstream sum by the distance from each scored point to a member of each cluster."""
    a, b = parts.a, parts.b
    # s = 1 - a/b where a < b, else b/a - 1: with m the larger of the two, ds/da = -b/m^2 and ds/db = a/m^2.
    by_scale = (upstream_M / torch.maximum(a, b).square()).masked_fill(parts.alone, 0.0)
    by_a, by_b = -b * by_scale, a * by_scale
    counts_K1 = counts_K[:, None]
    nearest_KM = parts.others.eq(b).to(b.dtype)
    nearest_KM /= nearest_KM.sum(0)  # clusters equally near share the weight
    return by_a * member_KM / (counts_K1 - 1).clamp(min=1) + by_b * nearest_KM / counts_K1
