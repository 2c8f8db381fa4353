"""Would the same clusters be found again? Refits on bootstrap samples with fresh seeds.

The points stay as they are: this is the stability under resampling alone, and says nothing of a network trained again.

Shapes: N points, L dimensions, K clusters, B refits. After Hennig 2007 (clusterwise stability by the Jaccard index of
bootstrap refits).
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from deepspec.functional.agreement import adjusted_rand_index, count_pairs, match_labels
from deepspec.functional.distances import check_points
from deepspec.functional.kmeans import kmeans
from deepspec.renamed import takes_old_words

if TYPE_CHECKING:
    from torch import Tensor

REFITS = 20

SAMPLE = 8192
"""Most points of a bootstrap sample."""

Level = Literal["stable", "fairly stable", "unstable"]

_BLOCK_DISTANCES = 2**22


@dataclass(frozen=True)
class Stability:
    """How well refits on bootstrap samples agree with a partition and with each other."""

    ari: float
    """Mean adjusted Rand index of the refits with the partition."""
    ari_sd: float
    """Its standard deviation over the refits."""
    pairwise_ari: float
    """Mean adjusted Rand index of every two refits."""
    jaccard_K: Tensor
    """(K,) mean Jaccard index of each cluster with its match; below 0.6 a cluster should not be trusted (Hennig)."""
    changed_N: Tensor
    """(N,) share of the refits in which a point is in another cluster than its own, after matching."""
    refits: int
    """How many."""

    @property
    def level(self) -> Level:
        """By the mean index less its standard deviation: one refit in ten that finds something else is not stable."""
        usual = self.ari - self.ari_sd
        return "stable" if usual >= 0.85 else "fairly stable" if usual >= 0.7 else "unstable"

    @property
    def sentence(self) -> str:
        """The result for a reader, of clusters whose points are those nearest to their centres."""
        return self.sentence_of("")

    def sentence_of(self, judged_by: str) -> str:
        """The result for a reader.

        Args:
            judged_by: what the partition goes by, in words, if not by the nearest centre; K-means may then differ from
                it however stable it is, so that no verdict is given.
        """
        agree = f"{self.refits} refits on resampled pixels"
        end = f"at ARI {self.ari:.3f} ± {self.ari_sd:.3f}; a pixel changes its cluster in "
        end += f"{100 * float(self.changed_N.mean()):.1f} % of them"
        if judged_by:
            text = (
                f"stability under resampling alone: {agree} of K-means on the latent points agree with the "
                f"segmentation {end}; the segmentation itself goes by {judged_by}, so that this says little about it"
            )
        else:
            text = f"{self.level} under resampling alone: {agree} agree with the segmentation {end}"
        weak = [str(k) for k, value in enumerate(self.jaccard_K.tolist()) if value < 0.6]
        if weak:
            verdict = "found otherwise by K-means" if judged_by else "not to be trusted"
            text += f"; {verdict}: cluster{'s' if len(weak) > 1 else ''} {', '.join(weak)}"
        return text


@takes_old_words
@torch.inference_mode()
def stability(
    z_NL: Tensor,
    labels_N: Tensor,
    k: int,
    *,
    refits: int = REFITS,
    sample: int = SAMPLE,
    n_init: int = 5,
    generator: torch.Generator | None = None,
) -> Stability:
    """Refit K-means with the same K on bootstrap samples, each with its own seeds, and label all points by each refit.

    Args:
        z_NL: (N, L) float points, on any device; finite.
        labels_N: (N,) integer labels from 0 to k - 1: the partition whose stability is asked.
        k: number of clusters, 2 to N.
        refits: at least 2.
        sample: points drawn with replacement for each refit: N, but at most this many. A smaller sample varies more.
        n_init: K-means runs of each refit, the best of which counts: a chance start is no instability.
        generator: CPU generator; None uses torch's global one.

    Raises:
        ValueError: for impossible points, labels or numbers.
    """
    check_points(z_NL, "z", minimum=2)
    n = len(z_NL)
    if not 2 <= k <= min(n, sample) or refits < 2:
        raise ValueError(f"expected 2 <= k <= points and refits >= 2, got k = {k}, {n} points, {refits} refits")
    all_BN = []
    for _ in range(refits):
        drawn = torch.randint(n, (min(n, sample),), generator=generator).to(z_NL.device)
        found = kmeans(z_NL[drawn], k, n_init=n_init, generator=generator)
        all_BN.append(_nearest(z_NL, found.cluster_centers))
    aris, jaccards = [], []
    changed_N = torch.zeros(n, dtype=torch.float32, device=z_NL.device)
    for refit_N in all_BN:
        table_KK = count_pairs(refit_N, labels_N, k, k)
        match_K = match_labels(table_KK)
        aris.append(adjusted_rand_index(table_KK))
        jaccards.append(_jaccard(table_KK, match_K))
        changed_N += match_K[refit_N] != labels_N
    pairs = itertools.combinations(all_BN, 2)
    return Stability(
        ari=statistics.mean(aris),
        ari_sd=statistics.stdev(aris),
        pairwise_ari=statistics.mean(adjusted_rand_index(count_pairs(a, b, k, k)) for a, b in pairs),
        jaccard_K=torch.stack(jaccards).nanmean(0),
        changed_N=changed_N / refits,
        refits=refits,
    )


def _nearest(z_NL: Tensor, centres_KL: Tensor) -> Tensor:
    """(N,) index of the nearest centre."""
    middle_L = centres_KL.mean(0)  # distances about it lose no digits to a far origin
    centres = centres_KL - middle_L
    half_K = centres.square().sum(1) / 2
    rows = max(1, _BLOCK_DISTANCES // len(centres))
    return torch.cat([((block - middle_L) @ centres.T - half_K).argmax(1) for block in torch.split(z_NL, rows)])


def _jaccard(table_KK: Tensor, match_K: Tensor) -> Tensor:
    """(K,) points shared over points in either, of each cluster (a column) with the refit's that is matched to it."""
    own_K = match_K.argsort()  # the refit's cluster of each cluster: the matching of a square table is complete
    shared_K = table_KK[own_K].diagonal().double()
    return shared_K / (table_KK.sum(1)[own_K] + table_KK.sum(0) - shared_K)
