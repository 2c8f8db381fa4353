"""Silhouette of any number of points, from a bounded sample of each cluster.

Shapes: N points, S sampled points of each cluster, L dimensions, K clusters.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from deepspec.functional.distances import check_points
from deepspec.functional.silhouette import silhouette_samples

_PRIORITY, _POINT = 0, 1  # columns of the reservoir: the priority, then the coordinates


class Silhouette(Metric):
    """Silhouette score with both averages, of latent points or of spectra, from at most K x S kept points.

    Each point has a priority that its index alone decides (a hash), and of each cluster the S points of the lowest
    priorities are kept. So the sample, and with it the result, is the same in whatever batches, order and shares of
    ranks the points come, and a point that comes twice, as distributed samplers pad, counts once in the sample.
    The kept points are scored against each other; each cluster's mean then counts by its number of points ("samples")
    or once ("clusters", equation 2 of Bombini et al. 2024). Exact where no cluster has more than S points; else an
    estimate whose standard error is about that of K x S anchors.

    Args:
        clusters: K, the most clusters that can occur.
        dimensions: L.
        per_cluster: S, at least 2.

    Raises:
        ValueError: for fewer than two clusters, no dimension, or S below 2.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    reservoir: Tensor
    count: Tensor

    def __init__(self, clusters: int, dimensions: int, *, per_cluster: int = 512) -> None:
        super().__init__()
        if clusters < 2 or dimensions < 1 or per_cluster < 2:
            raise ValueError(
                "expected clusters >= 2, dimensions >= 1 and per_cluster >= 2, "
                f"got {clusters}, {dimensions} and {per_cluster}"
            )
        empty = torch.zeros(clusters, per_cluster, _POINT + dimensions, dtype=torch.float64)
        empty[..., _PRIORITY] = torch.inf
        self.add_state("reservoir", empty, dist_reduce_fx=_merge)
        self.add_state("count", torch.zeros(clusters, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, points: Tensor, labels: Tensor, index: Tensor) -> None:
        """Offer points to the sample.

        Args:
            points: (N, L) float; finite.
            labels: (N,) integer from 0 to K - 1; points with a label below 0 are left out.
            index: (N,) integer, a number for each point that no other has, such as that of the pixel.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, or a label of K and above.
        """
        k, _, width = self.reservoir.shape
        check_points(points, "points", minimum=0)
        if points.shape[1] != width - _POINT or not points.shape[:1] == labels.shape == index.shape:
            raise ValueError(
                f"expected points (N, {width - _POINT}), labels (N,) and index (N,), got {tuple(points.shape)}, "
                f"{tuple(labels.shape)} and {tuple(index.shape)}"
            )
        if len(labels) and int(labels.max()) >= k:
            raise ValueError(f"labels: expected values below {k}, got {int(labels.max())}")
        rows = torch.cat([_priority(index)[:, None], points.detach().double()], 1)
        for cluster in range(k):
            own = labels == cluster
            self.count[cluster] += own.sum()
            self.reservoir[cluster] = _lowest(torch.cat([self.reservoir[cluster], rows[own]]), len(self.reservoir[0]))

    def compute(self) -> dict[str, Tensor]:
        """`silhouette_samples` and `silhouette_clusters`, float64 scalars; NaN with fewer than two filled clusters."""
        kept = self.reservoir[..., _PRIORITY].isfinite()
        labels = kept.nonzero()[:, 0]
        present = self.count > 0
        if not 2 <= int(present.sum()) < len(labels):
            nan = torch.tensor(torch.nan, dtype=torch.float64, device=self.device)
            return {"silhouette_samples": nan, "silhouette_clusters": nan}
        values = silhouette_samples(self.reservoir[kept][:, _POINT:], labels)
        sums = torch.zeros(len(present), dtype=torch.float64, device=self.device).index_add_(0, labels, values)
        means = (sums / kept.sum(1))[present]
        count = self.count[present].double()
        return {"silhouette_samples": means @ count / count.sum(), "silhouette_clusters": means.mean()}


def _priority(index: Tensor) -> Tensor:
    """A number in [0, 1) that looks random, the same for the same index: the mixing steps of SplitMix64."""
    x = index.long() + (0x9E3779B97F4A7C15 - 2**64)  # the constants are unsigned, the tensors signed
    x = (x ^ (x >> 30 & (2**34 - 1))) * (0xBF58476D1CE4E5B9 - 2**64)
    x = (x ^ (x >> 27 & (2**37 - 1))) * (0x94D049BB133111EB - 2**64)
    x = x ^ (x >> 31 & (2**33 - 1))
    return (x >> 11 & (2**53 - 1)).double() / 2**53


def _lowest(rows: Tensor, size: int) -> Tensor:
    """The `size` rows of the lowest priorities; equal priorities are one point, seen twice, and the first stays."""
    rows = rows[rows[:, _PRIORITY].argsort(stable=True)]
    new = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    new[1:] = rows[1:, _PRIORITY] != rows[:-1, _PRIORITY]
    new |= rows[:, _PRIORITY].isinf()  # the empty places
    return rows[new][:size]


def _merge(stacked: Tensor) -> Tensor:
    """One reservoir of those of several ranks or batches: (ranks, K, S, 1 + L) to (K, S, 1 + L)."""
    size = stacked.shape[2]
    return torch.stack([_lowest(rows.flatten(0, 1), size) for rows in stacked.unbind(1)])
