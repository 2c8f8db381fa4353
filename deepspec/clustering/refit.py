"""Clusters of the latent points of a cube: those of the training, or found anew.

Shapes: P points, C channels, L latent dimensions, K clusters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from deepspec.clustering import IKMeans, NearestCentres
from deepspec.clustering.base import bounds_of
from deepspec.clustering.ikmeans import K_RANGE
from deepspec.clustering.partitions import canonical_order, distances_to
from deepspec.functional import SilhouetteEstimate, silhouette_estimate

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.clustering import Clusterer, Partition


ANCHORS = 1024
"""Points whose silhouettes are worked out; the standard error is then below 0.01 as a rule."""

REFINEMENTS = 20
"""Most Lloyd iterations over all points; from a sample's centres they settle after a few."""

BLOCK = 2**16
"""Points labelled at a time."""


def refit(z_PL: Tensor, k: tuple[int, int], sample: int, n_init: int, generator: torch.Generator) -> NearestCentres:
    """IKMeans on a sample of the points, the centres of the best K moved to the means of all, largest cluster first.

    Args:
        z_PL: all points, finite.
        k: fewest and most clusters.
        sample: points that IKMeans works on, at most.
        n_init: K-means runs per K.
        generator: of the sample and of the seeds.

    Raises:
        UserError: the points are too few or too alike.
    """
    found = find_clusters(IKMeans(n_init), z_PL, k, None, generator, sample=sample)
    assert isinstance(found, NearestCentres)
    return found


def find_clusters(
    clusterer: Clusterer,
    z_PL: Tensor,
    k: int | tuple[int, int] | None,
    measured: tuple[Tensor, Tensor] | None,
    generator: torch.Generator,
    *,
    sample: int,
) -> Partition:
    """Cluster a sample of points; centres of K-means are then moved to the means of all.

    Args:
        clusterer: what divides them.
        z_PL: all points, finite.
        k: how many clusters, or the fewest and most; None leaves it to the clusterer.
        measured: latent points and spectra of some pixels, for a clusterer that judges by spectra.
        generator: of the sample and of the clusterer.
        sample: points that are clustered, at most.

    Raises:
        UserError: the points are too few or too alike.
    """
    most = bounds_of(k, K_RANGE, len(z_PL))[1] if k is not None else K_RANGE[1]
    if measured is not None:
        found = clusterer.fit(measured[0], k, generator, measured[1])
    else:
        chosen = torch.randperm(len(z_PL), generator=generator)[: max(sample, most + 1)].to(z_PL.device)
        found = clusterer.fit(z_PL[chosen], k, generator)
    return _refine(z_PL, found) if isinstance(found, NearestCentres) else found


def _refine(z_PL: Tensor, found: NearestCentres) -> NearestCentres:
    """Lloyd iterations on all points, largest cluster first."""
    labels_P = assign(found, z_PL)
    for _ in range(REFINEMENTS):
        found = found.moved(cluster_means(z_PL, labels_P, found.centres))
        before, labels_P = labels_P, assign(found, z_PL)
        if torch.equal(before, labels_P):
            break
    own_P = torch.cat(
        [
            distances_to(found.centres, z_NL).gather(1, label_N[:, None])[:, 0]
            for z_NL, label_N in zip(torch.split(z_PL, BLOCK), torch.split(labels_P, BLOCK), strict=True)
        ]
    )
    found = replace(found, variance=float(own_P.double().square().mean()) / z_PL.shape[1])
    return found.reordered(canonical_order(labels_P, found.centres))


def assign(partition: Partition, z_PL: Tensor) -> Tensor:
    """Label (P,) of each point, a block at a time."""
    return torch.cat([partition.assign(z_NL) for z_NL in torch.split(z_PL, BLOCK)])


def cluster_means(z_PL: Tensor, labels_P: Tensor, centres_KL: Tensor) -> Tensor:
    """Mean (K, L), float32, of the points of each cluster; of an empty one its centre. Labels below 0 count nowhere."""
    labelled_P = labels_P >= 0
    labels_P, wide_PL = labels_P[labelled_P], z_PL[labelled_P].double()
    sums_KL = torch.zeros(centres_KL.shape, dtype=torch.float64, device=z_PL.device).index_add_(0, labels_P, wide_PL)
    sizes_K1 = torch.bincount(labels_P, minlength=len(centres_KL))[:, None]
    return torch.where(sizes_K1 > 0, sums_KL / sizes_K1, centres_KL).float()


def silhouette_of(z_PL: Tensor, labels_P: Tensor, generator: torch.Generator) -> SilhouetteEstimate:
    """Silhouette of labelled points, without those of label -1; NaN without anchors where only one cluster has any."""
    labelled_P = labels_P >= 0
    z_PL, labels_P = z_PL[labelled_P], labels_P[labelled_P]
    present = int((torch.bincount(labels_P) > 0).sum())
    if not 2 <= present < len(z_PL):
        return SilhouetteEstimate(torch.nan, torch.nan, 0)
    return silhouette_estimate(z_PL, labels_P, max(ANCHORS, 2 * present), generator=generator)
