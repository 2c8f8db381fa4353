"""Davies-Bouldin and Calinski-Harabasz from sums over the points of each cluster, which add up over batches and ranks.

Shapes: N points, L dimensions, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from deepspec.functional.distances import check_points

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClusterSums:
    """Sums over the points of each cluster; those of two sets of points add up to those of both."""

    count_K: Tensor
    """(K,) int64 points."""
    deviation_KL: Tensor
    """(K, L) float64 sum of x - centre."""
    square_K: Tensor
    """(K,) float64 sum of |x - centre|^2."""
    distance_K: Tensor
    """(K,) float64 sum of |x - centre|."""

    def __add__(self, other: ClusterSums) -> ClusterSums:
        """Sums over the points of both, which must be about the same centres."""
        return ClusterSums(
            self.count_K + other.count_K,
            self.deviation_KL + other.deviation_KL,
            self.square_K + other.square_K,
            self.distance_K + other.distance_K,
        )


def sums_about_centres(x_NL: Tensor, labels_N: Tensor, centres_KL: Tensor) -> ClusterSums:
    """Sum over the points of each cluster, about its centre so that no digits cancel.

    Args:
        x_NL: (N, L) float points; N may be 0.
        labels_N: (N,) integer labels; points with one below 0 are left out.
        centres_KL: (K, L) centres.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a label of K and above.
    """
    check_points(x_NL, "x", minimum=0)
    k, latent = centres_KL.shape
    if labels_N.shape != x_NL.shape[:1] or x_NL.shape[1] != latent:
        raise ValueError(
            f"expected one label per point and {latent} dimensions, got points {tuple(x_NL.shape)} and labels "
            f"{tuple(labels_N.shape)}"
        )
    kept = labels_N >= 0
    labels, centres = labels_N[kept].long(), centres_KL.double()
    if len(labels) and int(labels.max()) >= k:
        raise ValueError(f"labels: expected values below {k}, the number of centres, got {int(labels.max())}")
    deviation_NL = x_NL.detach()[kept].double() - centres[labels]
    square_N = deviation_NL.square().sum(1)
    zeros_K = torch.zeros(k, dtype=torch.float64, device=x_NL.device)
    return ClusterSums(
        count_K=torch.bincount(labels, minlength=k),
        deviation_KL=torch.zeros_like(centres).index_add_(0, labels, deviation_NL),
        square_K=zeros_K.index_add(0, labels, square_N),
        distance_K=zeros_K.index_add(0, labels, square_N.sqrt()),
    )


def calinski_harabasz(sums: ClusterSums, centres_KL: Tensor) -> float:
    """Variance between the clusters over that within them, each by its degrees of freedom (Calinski & Harabasz 1974).

    Args:
        sums: of all points.
        centres_KL: the centres they are about, any: the means are worked out from the sums.

    Returns:
        The larger, the better separated; 1 for no variance within (as scikit-learn); NaN with fewer than two clusters
        that have points, or no more points than clusters.
    """
    present = sums.count_K > 0
    count_K, n, k = sums.count_K[present].double(), int(sums.count_K.sum()), int(present.sum())
    if not 2 <= k < n:
        return float("nan")
    shift_KL = sums.deviation_KL[present] / count_K[:, None]
    mean_KL = centres_KL[present].double() + shift_KL
    within = float((sums.square_K[present] - count_K * shift_KL.square().sum(1)).sum())
    about_KL = mean_KL - (count_K @ mean_KL) / n
    between = float(count_K @ about_KL.square().sum(1))
    return between * (n - k) / (within * (k - 1)) if within > 0 else 1.0


def davies_bouldin(sums: ClusterSums, centres_KL: Tensor) -> float:
    """Mean over the clusters of the worst ratio of two clusters' widths to the distance of their centres.

    Davies & Bouldin 1979, with the mean distance to the centre as width, as scikit-learn; the same number where the
    centres are the means of their clusters, as K-means leaves them.

    Args:
        sums: of all points.
        centres_KL: the centres they are about.

    Returns:
        The smaller, the better separated; 0 for clusters without width; NaN with fewer than two clusters with points.
    """
    present = sums.count_K > 0
    if int(present.sum()) < 2:
        return float("nan")
    width_K = sums.distance_K[present] / sums.count_K[present]
    centres = centres_KL[present].double()
    apart_KK = torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")
    apart_KK.masked_fill_(apart_KK == 0, torch.inf)
    return float(((width_K[:, None] + width_K) / apart_KK).amax(1).mean())
