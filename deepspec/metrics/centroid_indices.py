"""Davies-Bouldin and Calinski-Harabasz of any number of points, from sums about known centres.

Shapes: N points, L dimensions, K clusters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric

from deepspec.functional.centroid_indices import ClusterSums, calinski_harabasz, davies_bouldin, sums_about_centres
from deepspec.renamed import has_old_words


@has_old_words
class CentroidIndex(Metric, ABC):
    """Sums over the points of each cluster about its centre; two subclasses in one MetricCollection share them.

    Args:
        cluster_centers: (K, L) centres that the points were assigned to.
    """

    full_state_update = False
    is_differentiable = False
    cluster_centers: Tensor
    count: Tensor
    deviation: Tensor
    square: Tensor
    distance: Tensor

    def __init__(self, cluster_centers: Tensor) -> None:
        super().__init__()
        self.register_buffer("cluster_centers", cluster_centers.detach().double().clone())
        k = len(cluster_centers)
        self.add_state("count", torch.zeros(k, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("deviation", torch.zeros_like(self.cluster_centers), dist_reduce_fx="sum")
        self.add_state("square", torch.zeros(k, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("distance", torch.zeros(k, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, points: Tensor, labels: Tensor) -> None:
        """Add (N, L) float points with (N,) integer labels; those below 0 are left out.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, or a label of K and above.
        """
        sums = sums_about_centres(points, labels, self.cluster_centers)
        self.count += sums.count_K
        self.deviation += sums.deviation_KL
        self.square += sums.square_K
        self.distance += sums.distance_K

    def compute(self) -> Tensor:
        """The index, a float64 scalar; NaN with fewer than two clusters that have points."""
        sums = ClusterSums(self.count, self.deviation, self.square, self.distance)
        return torch.tensor(self._index(sums), dtype=torch.float64, device=self.device)

    @abstractmethod
    def _index(self, sums: ClusterSums) -> float:
        """The index from the sums over all points."""


class CalinskiHarabasz(CentroidIndex):
    """Variance between clusters over variance within, whatever the centres (`functional.calinski_harabasz`)."""

    higher_is_better = True

    def _index(self, sums: ClusterSums) -> float:
        return calinski_harabasz(sums, self.cluster_centers)


class DaviesBouldin(CentroidIndex):
    """Widths of clusters over distances of their centres (`functional.davies_bouldin`).

    The mean distance to the mean of a cluster cannot be had in one pass without keeping the points; the distance to
    the centre can, and after K-means it is the same.
    """

    higher_is_better = False

    def _index(self, sums: ClusterSums) -> float:
        return davies_bouldin(sums, self.cluster_centers)
