"""How many clusters it makes sense to look for among few points."""

from __future__ import annotations

POINTS_PER_CLUSTER = 4
"""At the least, on the mean. With fewer the silhouette is that of pairs and single points, which any noise has."""


def fitting_range(k_min: int, k_max: int, points: int) -> tuple[int, int]:
    """The part of a range of K that so many points can be divided into, two clusters at the least.

    >>> fitting_range(4, 16, 41), fitting_range(4, 16, 9), fitting_range(4, 16, 1000)
    ((4, 10), (2, 2), (4, 16))

    Args:
        k_min: fewest clusters wanted.
        k_max: most clusters wanted.
        points: how many there are.
    """
    most = max(points // POINTS_PER_CLUSTER, 2)
    return min(k_min, most), min(k_max, most)
