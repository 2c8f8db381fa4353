"""IKMeans: K-means for a range of K, of which the best silhouette wins; the paper's clusterer.

Shapes: N points, L latent dimensions, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepspec.clustering.base import Search, bounds_of
from deepspec.clustering.partitions import NearestCentres, canonical_order
from deepspec.errors import UserError
from deepspec.functional import TooFewPositionsError, ikmeans
from deepspec.renamed import has_old_words

if TYPE_CHECKING:
    import torch
    from torch import Tensor

K_RANGE = (3, 10)
"""Fewest and most clusters that are looked for where nothing else is said, as in the paper."""


@has_old_words
@dataclass(frozen=True)
class IKMeans:
    """Iterative K-means; see `deepspec.functional.ikmeans`."""

    n_init: int = 3
    """K-means runs for each K."""
    max_iter: int = 300
    """Lloyd iterations of each, at the most."""

    def fit(
        self,
        z_NL: Tensor,
        k: int | tuple[int, int] | None = None,
        generator: torch.Generator | None = None,
        spectra: Tensor | None = None,
    ) -> NearestCentres:
        """Cluster points; see `Clusterer.fit`. A single cluster can be asked for, and is never chosen."""
        fewest, most = bounds_of(k, K_RANGE, len(z_NL))
        if most == 1:
            return NearestCentres(centres=z_NL.mean(0, keepdim=True), search=Search(evidence="as asked for"))
        try:
            found = ikmeans(z_NL, max(2, fewest), most, max_iter=self.max_iter, n_init=self.n_init, generator=generator)
        except TooFewPositionsError:
            raise UserError(
                f"the model gives the spectra fewer than {max(2, fewest)} different latent points: the spectra are all "
                "alike, or its latent space has collapsed; look at the metrics of its training"
            ) from None
        search = Search(found.scores, found.inertias, "the silhouette" if most > fewest else "as asked for")
        partition = NearestCentres(
            centres=found.cluster_centers, search=search, variance=found.inertias[found.k] / z_NL.numel()
        )
        return partition.reordered(canonical_order(found.labels, found.cluster_centers))
