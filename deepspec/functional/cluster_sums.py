"""Summed distances from points to whole clusters, in tiles that stay in a core's cache.

Shapes: N points, M scored points, L dimensions, K clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from deepspec.functional.distances import distances, factors

if TYPE_CHECKING:
    from torch import Tensor

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
