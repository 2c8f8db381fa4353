"""HDBSCAN: scikit-learn's; clusters are what stays dense over a range of densities.

Shapes: N points, L latent dimensions, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from deepspec.clustering.base import Search
from deepspec.clustering.partitions import Gaussians, canonical_order
from deepspec.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 0.01
"""Fewest points of a cluster, as a share of all, unless it is given."""

MOST_POINTS = 16384
"""Points that are clustered; its time grows with nearly their square."""


@dataclass(frozen=True)
class Hdbscan:
    """Density clusters, each of which then gets a Gaussian that also labels the points between them."""

    least: int | None = None
    """Fewest points of a cluster (`min_cluster_size`); None: a hundredth of all, at least 20."""

    def fit(
        self,
        z_NL: Tensor,
        k: int | tuple[int, int] | None = None,
        generator: torch.Generator | None = None,
        spectra: Tensor | None = None,
    ) -> Gaussians:
        """Cluster points; see `Clusterer.fit`. K comes from the density alone: it cannot be given."""
        from sklearn.cluster import HDBSCAN

        if k is not None:
            raise UserError("hdbscan finds the number of clusters from the density: leave --k out, or take another")
        if len(z_NL) < 3:
            raise UserError(f"hdbscan needs at least 3 usable pixels, got {len(z_NL)}")
        z_NL = z_NL[torch.randperm(len(z_NL), generator=generator)[:MOST_POINTS].to(z_NL.device)]
        least = self.least or max(20, int(LEAST * len(z_NL)))
        labels_N = torch.from_numpy(
            HDBSCAN(min_cluster_size=min(least, len(z_NL)), copy=True).fit_predict(z_NL.detach().cpu().double().numpy())
        ).to(z_NL.device)
        search = Search(evidence="the stability of density clusters")
        if not (labels_N >= 0).any():
            return Gaussians.of(z_NL, torch.zeros_like(labels_N), 1, search=search)
        inside_N = labels_N >= 0
        found = Gaussians.of(z_NL[inside_N], labels_N[inside_N], int(labels_N.max()) + 1, search=search)
        return found.reordered(canonical_order(labels_N[inside_N], found.centres))
