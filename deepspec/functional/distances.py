"""Euclidean distances in blocks: never more than a fixed number of them at once.

The dot-product form `|x|^2 + |y|^2 - 2 x.y` loses the small distances to cancellation in float32, and tight clusters
are made of small distances. The products are therefore formed in float64, as one matrix product of inner dimension
L + 2, and only the result is rounded: measured on two cores this costs a third of the float32 rate and is exact to
1e-8 of the cloud's radius. Devices without float64 (MPS) keep float32. Distances summed from points to whole clusters
go in tiles that stay in a core's cache.

Shapes: N points, M scored points of the same or others, L dimensions, K clusters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


BLOCK_ELEMENTS = 2**22
"""Largest number of distances held at once (16 MiB of float32, 32 MiB while they are float64)."""


def check_points(x_NL: Tensor, name: str = "x", minimum: int = 1) -> None:
    """Refuse anything but a 2-D floating tensor of finite values.

    Args:
        x_NL: (N, L) points.
        name: what to call them in the message.
        minimum: the fewest points that make sense.

    Raises:
        ValueError: says what was expected and what came.
    """
    if x_NL.ndim != 2 or x_NL.shape[1] < 1:
        raise ValueError(f"{name}: expected points of shape (N, L) with L >= 1, got shape {tuple(x_NL.shape)}")
    if not x_NL.is_floating_point():
        raise ValueError(f"{name}: expected a floating-point tensor, got {x_NL.dtype}; convert with .float()")
    if len(x_NL) < minimum:
        raise ValueError(f"{name}: expected at least {minimum} points, got {len(x_NL)}")
    if not math.isfinite(x_NL.detach().sum()) and not torch.isfinite(x_NL).all():
        bad = int((~torch.isfinite(x_NL)).any(1).sum())
        raise ValueError(f"{name}: expected finite values, got NaN or infinity in {bad} of {len(x_NL)} points")


def _working_dtype(x: Tensor) -> torch.dtype:
    return x.dtype if x.device.type == "mps" else torch.float64


def centred(x_NL: Tensor) -> Tensor:
    """The points about their mean, in the precision that distances are formed in (float64 where there is one)."""
    wide = x_NL.detach().to(_working_dtype(x_NL))
    return wide - wide.mean(0) if wide.dtype == x_NL.dtype else wide.sub_(wide.mean(0))  # a copy may be overwritten


def factors(x_NL: Tensor, rows_M: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The two matrices whose product is all squared distances: rows of the first with columns of the second.

    Args:
        x_NL: (N, L) points.
        rows_M: (M,) the points that the first is wanted of; None for all.

    Returns:
        (M, L + 2) left [x, |x|^2, 1] and (L + 2, N) right [-2x, 1, |x|^2].
    """
    squares_N1 = x_NL.square().sum(1, keepdim=True)
    ones_N1 = torch.ones_like(squares_N1)
    right = torch.cat([-2 * x_NL, ones_N1, squares_N1], 1).T
    if rows_M is not None:
        x_NL, squares_N1, ones_N1 = x_NL[rows_M], squares_N1[rows_M], ones_N1[rows_M]
    return torch.cat([x_NL, squares_N1, ones_N1], 1), right


def distances(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """(M, N) Euclidean distances from rows and columns of `factors`, rounded to `dtype`."""
    return torch.mm(left, right).to(dtype).clamp_(min=0).sqrt_()


def weighted_differences(weight_MN: Tensor, x_ML: Tensor, left_N: Tensor) -> Tensor:
    """(M, L) sum over j of `weight_ij (x_i - y_j)`: what a sum over pairs of a function of distance has as gradient.

    Args:
        weight_MN: weight of every pair.
        x_ML: the points i.
        left_N: (N, L + 2) left factor of the points j, in the dtype of the weights.
    """
    # The factor's column of ones gives the sum of the weights with the rest. The narrow matrix goes first: matrix
    # libraries are two to three times slower with it last.
    sums_LM = left_N.T @ weight_MN.T
    return sums_LM[-1][:, None] * x_ML - sums_LM[:-2].T


# A tile of 2^18 distances stays in the cache of a core through the five passes over it.
_TILE_ROWS, _TILE_COLUMNS = 128, 2048


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


def sums_of_rows(wide_NL: Tensor, rows_M: Tensor, labels_N: Tensor, counts_K: Tensor, dtype: torch.dtype) -> Tensor:
    """(K, M) summed distances of some of the points to every cluster."""
    order = labels_N.argsort(stable=True)
    # The rows are taken in that order too, so that a point meets itself in few tiles: there its distance is set to 0.
    place_M, by_place = (
        torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))[rows_M].sort()
    )
    left, right = factors(wide_NL[order], place_M)
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


def symmetric_sums(wide_NL: Tensor, labels_N: Tensor, counts_K: Tensor, dtype: torch.dtype) -> Tensor:
    """(K, N) summed distances of every point to every cluster, each pair of points measured once.

    The rows of a tile feed the column's cluster, and its columns the row's cluster.
    """
    order = labels_N.argsort(stable=True)
    sorted_NL = wide_NL[order]
    left, right = factors(sorted_NL)
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
