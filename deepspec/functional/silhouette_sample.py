"""Silhouette of more points than can be held at once, from a random sample of each cluster.

Two things make it uncertain: which points are scored, and which stand for the clusters that they are scored against.
The second error is common to all scored points, so that scoring more of them does not help; and a point near the middle
of its cluster does both, scores high and makes others score high. Both errors together are estimated by leaving out a
part of one cluster's sample at a time, as scored points and as what is scored against (the delete-a-group jackknife,
Kott 2001, J. Off. Stat. 17, 521).

Shapes: S points of the sample, M scored ones, L dimensions, K clusters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepspec.functional.distances import centred, check_points, sums_of_rows
from deepspec.functional.silhouette import SilhouetteEstimate

GROUPS = 12
"""Parts of each cluster's sample."""


@torch.no_grad()
def silhouettes_of_sample(
    x_SL: Tensor,
    labels_S: Tensor,
    sizes_K: Tensor,
    anchors: int,
    *,
    generator: torch.Generator | None = None,
) -> tuple[SilhouetteEstimate, SilhouetteEstimate]:
    """Silhouette of all points, of which x is a random sample drawn from each cluster; no gradient.

    Args:
        x_SL: (S, L) the sample, in random or any other order; finite.
        labels_S: (S,) integer labels from 0 to K - 1, each at least once.
        sizes_K: (K,) points of each cluster, in or out of the sample.
        anchors: how many of the sample to score, shared out among the clusters in proportion to their part of it and
            at least two of each; S and more for all.
        generator: CPU generator for the choice of anchors, and of the groups.

    Returns:
        The average over points, and the average within each cluster and then over clusters, both with standard errors
        for the choice of the sample and of the anchors; exact, with an error of 0, where these are all points.

    Raises:
        ValueError: when points, labels, sizes or `anchors` make no silhouette.
    """
    sampled_K = _check(x_SL, labels_S, sizes_K, anchors)
    k, sizes_K = len(sizes_K), sizes_K.double()
    place_S = _places(labels_S, sampled_K, generator)
    wanted_K = (anchors * sampled_K / len(x_SL)).round().clamp(min=2)
    rows_M = (place_S < wanted_K[labels_S]).nonzero()[:, 0] if anchors < len(x_SL) else place_S.argsort()
    part_S = labels_S * GROUPS + place_S % GROUPS
    count_T = torch.bincount(part_S, minlength=k * GROUPS)
    sums_TM = sums_of_rows(centred(x_SL), rows_M, part_S, count_T, torch.float64)
    own_M = labels_S[rows_M]
    weights_2K = torch.stack([sizes_K / sizes_K.sum(), torch.full_like(sizes_K, 1 / k)])
    sums_KM, counts_K = sums_TM.reshape(k, GROUPS, -1).sum(1), sampled_K.double()
    means_K, variances_K, drawn_K = _by_cluster(_silhouettes(sums_KM, counts_K, own_M), own_M, k)
    variance_2 = torch.zeros(2, dtype=torch.float64, device=own_M.device)
    for cluster in range(k):
        replicates = []
        for part in range(cluster * GROUPS, cluster * GROUPS + min(GROUPS, int(sampled_K[cluster]))):
            left_M = part_S[rows_M] != part
            sums, counts = sums_KM[:, left_M], counts_K.clone()
            sums[cluster] -= sums_TM[part, left_M]
            counts[cluster] -= count_T[part]
            if counts[cluster] and (own_M[left_M] == cluster).any():
                left_K = _by_cluster(_silhouettes(sums, counts, own_M[left_M]), own_M[left_M], k)[0]
                replicates.append(weights_2K @ left_K)
        scored_2 = weights_2K[:, cluster].square() * variances_K[cluster]
        variance_2 += _two_phases(replicates, scored_2, drawn_K[cluster], counts_K[cluster], sizes_K[cluster])
    by_points, by_clusters = (
        SilhouetteEstimate(float(score), float(variance.sqrt()), len(rows_M))
        for score, variance in zip(weights_2K @ means_K, variance_2, strict=True)
    )
    return by_points, by_clusters


def _check(x_SL: Tensor, labels_S: Tensor, sizes_K: Tensor, anchors: int) -> Tensor:
    """Points of each cluster in the sample."""
    check_points(x_SL, "x", minimum=3)
    k = len(sizes_K)
    if labels_S.shape != x_SL.shape[:1] or labels_S.is_floating_point() or not 2 <= k < len(x_SL):
        raise ValueError(
            f"expected an integer label for each of {len(x_SL)} points and 2 to {len(x_SL) - 1} clusters, got labels "
            f"{tuple(labels_S.shape)} {labels_S.dtype} and {k} clusters"
        )
    sampled_K = torch.bincount(labels_S, minlength=k) if int(labels_S.min()) >= 0 else torch.zeros(0)
    if len(sampled_K) != k or bool(((sampled_K < 1) | (sampled_K > sizes_K)).any()):
        raise ValueError(
            f"labels: expected 0 to {k - 1}, each between once and as often as its size in {sizes_K.tolist()}, got "
            f"{labels_S.min()} to {labels_S.max()}, {sampled_K.tolist()} times"
        )
    if anchors < 2 * k:
        raise ValueError(f"anchors: expected at least two per cluster, {2 * k}, got {anchors}")
    return sampled_K


def _places(labels_S: Tensor, sampled_K: Tensor, generator: torch.Generator | None) -> Tensor:
    """(S,) place of each point in a random order of its cluster."""
    shuffled_S = torch.randperm(len(labels_S), generator=generator).to(labels_S.device)
    by_cluster_S = shuffled_S[labels_S[shuffled_S].argsort(stable=True)]
    first_K = sampled_K.cumsum(0) - sampled_K
    place_S = torch.empty_like(labels_S)
    place_S[by_cluster_S] = torch.arange(len(labels_S), device=labels_S.device)
    return place_S - first_K[labels_S]


def _two_phases(replicates: list[Tensor], scored_2: Tensor, scored: Tensor, sampled: Tensor, size: Tensor) -> Tensor:
    """Variance of both averages from one cluster: its sample is drawn from all its points, the scored ones from that.

    Args:
        replicates: both averages without each of the groups.
        scored_2: weighted variance of the silhouettes of single points.
        scored: how many were.
        sampled: how many are in the sample.
        size: of the cluster.
    """
    anchors_2 = scored_2 * (1 / scored - 1 / sampled)  # none if all of the sample were scored
    if sampled == size or len(replicates) < 2:
        return anchors_2
    jackknife_2 = torch.stack(replicates).var(0, correction=0) * (len(replicates) - 1)
    return anchors_2 + (1 - sampled / size) * (jackknife_2 - anchors_2).clamp(min=0)


def _silhouettes(sums_KM: Tensor, counts_K: Tensor, own_M: Tensor) -> Tensor:
    """(M,) silhouettes from summed distances to the clusters, of points that are in the sums themselves."""
    others_M = counts_K[own_M] - 1
    a_M = sums_KM.gather(0, own_M[None])[0] / others_M.clamp(min=1)
    b_M = (sums_KM / counts_K[:, None]).scatter(0, own_M[None], torch.inf).amin(0)
    scale_M = torch.maximum(a_M, b_M)
    return torch.where((others_M < 1) | (scale_M == 0), 0.0, (b_M - a_M) / scale_M)


def _by_cluster(values_M: Tensor, own_M: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, sample variance and number of the values in each cluster."""
    drawn_K = torch.bincount(own_M, minlength=k).double()
    zeros_K = torch.zeros_like(drawn_K)
    means_K = zeros_K.index_add(0, own_M, values_M) / drawn_K
    squares_K = zeros_K.index_add(0, own_M, (values_M - means_K[own_M]).square())
    return means_K, squares_K / (drawn_K - 1).clamp(min=1), drawn_K
