"""Clusters of the latent points of a cube: those of the training, or found anew.

Shapes: P points, L latent dimensions, K clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from deepspec.clusters import Clusters, canonical_order
from deepspec.errors import UserError
from deepspec.functional import SilhouetteEstimate, TooFewPositionsError, ikmeans, silhouette_estimate

if TYPE_CHECKING:
    from torch import Tensor

ANCHORS = 1024
"""Points whose silhouettes are worked out; the standard error is then below 0.01 as a rule."""

REFINEMENTS = 20
"""Most Lloyd iterations over all points; from a sample's centres they settle after a few."""


class Found(NamedTuple):
    """Clusters, and how they were chosen."""

    clusters: Clusters
    """Their centres."""
    scores: dict[int, float]
    """Silhouette of the sample for every K tried; empty for the clusters of the training."""
    inertias: dict[int, float]
    """Inertia of the sample for every K tried; likewise."""


def refit(z_PL: Tensor, k: tuple[int, int], sample: int, restarts: int, generator: torch.Generator) -> Found:
    """IKMeans on a sample of the points, the centres of the best K moved to the means of all, largest cluster first.

    Args:
        z_PL: all points, finite.
        k: fewest and most clusters.
        sample: points that IKMeans works on, at most.
        restarts: K-means runs per K.
        generator: of the sample and of the seeds.

    Raises:
        UserError: the points are too few or too alike.
    """
    if len(z_PL) <= k[1]:
        raise UserError(
            f"{len(z_PL)} usable pixels cannot be divided into {k[0]} to {k[1]} clusters: more pixels than clusters "
            "are needed; lower --k"
        )
    chosen = torch.randperm(len(z_PL), generator=generator)[: max(sample, k[1] + 1)].to(z_PL.device)
    try:
        found = ikmeans(z_PL[chosen], *k, restarts=restarts, generator=generator)
    except TooFewPositionsError:
        raise UserError(
            f"the model gives the cube's spectra fewer than {k[0]} different latent points: the spectra are all "
            "alike, or its latent space has collapsed; look at the metrics of its training"
        ) from None
    clusters, labels_P = _refine(z_PL, found.centres)
    order = canonical_order(labels_P, clusters.used)
    clusters.set(clusters.used[order.to(z_PL.device)].clone())
    return Found(clusters, found.scores, found.inertias)


def _refine(z_PL: Tensor, centres_KL: Tensor) -> tuple[Clusters, Tensor]:
    """Lloyd iterations on all points; the labels are those of the centres."""
    clusters = Clusters(z_PL.shape[1], len(centres_KL)).to(z_PL.device)
    clusters.set(centres_KL)
    labels_P = clusters.assign(z_PL)
    for _ in range(REFINEMENTS):
        clusters.set(cluster_means(z_PL, labels_P, clusters.used))
        before, labels_P = labels_P, clusters.assign(z_PL)
        if torch.equal(before, labels_P):
            break
    return clusters, labels_P


def cluster_means(z_PL: Tensor, labels_P: Tensor, centres_KL: Tensor) -> Tensor:
    """Mean (K, L), float32, of the points of each cluster; of an empty one its centre. Labels below 0 count nowhere."""
    labelled_P = labels_P >= 0
    labels_P, wide_PL = labels_P[labelled_P], z_PL[labelled_P].double()
    sums_KL = torch.zeros(centres_KL.shape, dtype=torch.float64, device=z_PL.device).index_add_(0, labels_P, wide_PL)
    sizes_K1 = torch.bincount(labels_P, minlength=len(centres_KL))[:, None]
    return torch.where(sizes_K1 > 0, sums_KL / sizes_K1, centres_KL).float()


def silhouette_of(z_PL: Tensor, labels_P: Tensor, generator: torch.Generator) -> SilhouetteEstimate:
    """Silhouette of labelled points; NaN without anchors where fewer than two clusters have any."""
    present = int((torch.bincount(labels_P) > 0).sum())
    if not 2 <= present < len(z_PL):
        return SilhouetteEstimate(torch.nan, torch.nan, 0)
    return silhouette_estimate(z_PL, labels_P, max(ANCHORS, 2 * present), generator=generator)
