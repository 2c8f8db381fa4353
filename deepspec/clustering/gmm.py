"""Gaussian mixtures: scikit-learn's, of which the Bayesian information criterion picks K.

Shapes: N points, L latent dimensions, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from deepspec.clustering.base import Search, bounds_of
from deepspec.clustering.partitions import Gaussians, canonical_order
from deepspec.clustering.votes import with_votes
from deepspec.renamed import has_old_words

if TYPE_CHECKING:
    from torch import Tensor

K_RANGE = (1, 16)
"""Fewest and most clusters that are looked for where nothing else is said."""


@has_old_words
@dataclass(frozen=True)
class GaussianMixtures:
    """A Gaussian with a full covariance for each cluster, fitted by expectation and maximisation."""

    n_init: int = 3
    """K-means starts for each K."""
    members: int = 1
    """Networks whose latents stand side by side."""

    def fit(
        self,
        z_NL: Tensor,
        k: int | tuple[int, int] | None = None,
        generator: torch.Generator | None = None,
        spectra: Tensor | None = None,
    ) -> Gaussians:
        """Cluster points; see `Clusterer.fit`. The K with the lowest BIC wins."""
        from sklearn.mixture import GaussianMixture

        fewest, most = bounds_of(k, K_RANGE, len(z_NL))
        points_NL = z_NL.detach().cpu().double().numpy()
        seed = int(torch.randint(2**31, (), generator=generator))
        variance = max(float(points_NL.var(0).mean()), 1e-12)
        tried = [
            GaussianMixture(count, n_init=self.n_init, random_state=seed, reg_covar=1e-6 * variance).fit(points_NL)
            for count in range(fewest, most + 1)
        ]
        best = min(tried, key=lambda mixture: mixture.bic(points_NL))
        labels_N = torch.from_numpy(best.predict(points_NL)).to(z_NL.device)
        # A component of which no point is most probable is no cluster.
        labels_N = torch.unique(labels_N, return_inverse=True)[1]
        count = int(labels_N.max()) + 1
        evidence = "the Bayesian information criterion" if most > fewest else "as asked for"
        found = Gaussians.of(z_NL, labels_N, count, search=Search(evidence=evidence))
        found = found.reordered(canonical_order(labels_N, found.centres))
        return with_votes(found, replace(self, members=1), self.members, z_NL, k, generator, spectra)
