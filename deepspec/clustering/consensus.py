"""Consensus of several networks: each member of an ensemble clusters by itself, and the clusters are what they share.

K is where the silhouette, averaged over the members, is best. Every member then divides its own latents into K clusters
by K-means, a pixel's S cluster numbers are written as S vectors with a single 1, and K-means of these vectors side by
side gives the consensus. No matching of the members' numbers is needed for it, and a member that cuts elsewhere is
outvoted where the others agree.

Shapes: N points, S members, L latent dimensions of one, K clusters. Points are (N, S L): the members' side by side.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch.nn.functional import one_hot

from deepspec.clustering.base import Partition, Search, bounds_of
from deepspec.clustering.ikmeans import K_RANGE
from deepspec.clustering.partitions import NearestCentres, canonical_order, distances_to, numbering
from deepspec.errors import UserError
from deepspec.functional import TooFewPositionsError, ikmeans, kmeans
from deepspec.renamed import has_old_words

if TYPE_CHECKING:
    from torch import Tensor

CERTAIN = 1e-4
"""Least variance of the votes about the consensus, per member and cluster: memberships of members that agree everywhere
are then 0 and 1."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Consensus(Partition):
    """The nearest centre in each member's latents is its vote; the nearest centre in the space of votes decides."""

    kind: ClassVar[str] = "consensus"

    member_centres: Tensor
    """float32 (K, S, L): the centres of each member, numbered as the consensus clusters that they match best."""
    votes: Tensor
    """float32 (K, S, K): centres in the space of votes. Entry k, s, j is the share of the points of cluster k that
    member s puts into its cluster j."""
    variance: float = 0.0
    """Of the votes about their centres, per dimension."""

    @property
    def members(self) -> int:
        """Number of networks S."""
        return self.member_centres.shape[1]

    def member_labels(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """int64 (N, S): the cluster that each member puts each point into, in the numbers of the consensus."""
        parts = z_NL.chunk(self.members, 1)
        nearest = [
            distances_to(centres_KL, own_NL).argmin(1)
            for centres_KL, own_NL in zip(self.member_centres.unbind(1), parts, strict=True)
        ]
        return torch.stack(nearest, 1)

    def log_scores(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """Half the squared distances of the votes to their centres over the variance, negative."""
        labels_NS = self.member_labels(z_NL)
        # |h - v|^2 without |h|^2, which is S for all clusters: votes h have a single 1 for each member.
        member_S = torch.arange(self.members, device=z_NL.device)
        product_KN = self.votes[:, member_S, labels_NS].sum(2)
        squares_NK = self.votes.square().sum((1, 2)) - 2 * product_KN.T
        return squares_NK / (-2 * max(self.variance, CERTAIN))

    def reordered(self, order_K: Tensor) -> Self:
        """The same clusters in another order; the members' clusters go with them."""
        found = super().reordered(order_K)
        return replace(found, votes=found.votes[:, :, order_K.to(self.votes.device)])

    @classmethod
    def _by_cluster(cls) -> tuple[str, ...]:
        return "centres", "member_centres", "votes"

    def _values(self) -> dict[str, Any]:
        return {"variance": self.variance}


@has_old_words
@dataclass(frozen=True)
class ConsensusKMeans:
    """Iterative K-means of each member of an ensemble, and the consensus of their labels."""

    members: int
    """Networks S whose latents stand side by side."""
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
    ) -> Consensus | NearestCentres:
        """Cluster points; see `Clusterer.fit`. A single cluster can be asked for, and is never chosen."""
        fewest, most = bounds_of(k, K_RANGE, len(z_NL))
        if most == 1:
            return NearestCentres(centres=z_NL.mean(0, keepdim=True), search=Search(evidence="as asked for"))
        own_SNL = [own_NL.contiguous() for own_NL in z_NL.chunk(self.members, 1)]
        search = self._search(own_SNL, max(2, fewest), most, generator)
        chosen = max(search.scores, key=lambda k: -math.inf if math.isnan(search.scores[k]) else search.scores[k])
        return self._consensus(z_NL, own_SNL, chosen, search, generator)

    def _search(self, own_SNL: list[Tensor], fewest: int, most: int, generator: torch.Generator | None) -> Search:
        """Silhouette of every K, averaged over the members."""
        options: dict[str, Any] = {"max_iter": self.max_iter, "n_init": self.n_init}
        try:
            found = [ikmeans(own_NL, fewest, most, generator=generator, **options) for own_NL in own_SNL]
        except TooFewPositionsError:
            raise UserError(_too_alike(fewest)) from None
        scores = {k: statistics.fmean(one.scores[k] for one in found) for k in range(fewest, most + 1)}
        if all(math.isnan(score) for score in scores.values()):
            raise UserError(_too_alike(fewest))
        inertias = {k: statistics.fmean(one.inertias[k] for one in found) for k in scores}
        evidence = f"the silhouette, averaged over {self.members} networks" if most > fewest else "as asked for"
        return Search(scores, inertias, evidence)

    def _consensus(
        self, z_NL: Tensor, own_SNL: list[Tensor], k: int, search: Search, generator: torch.Generator | None
    ) -> Consensus:
        options: dict[str, Any] = {"max_iter": self.max_iter, "n_init": self.n_init, "generator": generator}
        found = [kmeans(own_NL, k, **options) for own_NL in own_SNL]
        votes_NSK = one_hot(torch.stack([one.labels for one in found], 1), k).float()
        agreed = kmeans(votes_NSK.flatten(1), k, **options)
        labels_N = agreed.labels
        votes_KSK = agreed.cluster_centers.view(k, self.members, k)
        centres_SKL, columns_S = [], []
        for one in found:
            number_K = numbering(one.labels.cpu(), labels_N.cpu(), k)  # of the consensus, for each of the member's
            order = number_K.argsort().to(z_NL.device)
            columns_S.append(order)
            centres_SKL.append(one.cluster_centers[order])
        matched_KSK = torch.stack([votes_KSK[:, s, order] for s, order in enumerate(columns_S)], 1)
        member_KN = one_hot(labels_N, k).T.float()
        partition = Consensus(
            centres=(member_KN @ z_NL.float()) / member_KN.sum(1, keepdim=True).clamp(min=1),
            search=search,
            member_centres=torch.stack(centres_SKL, 1).float(),
            votes=matched_KSK.contiguous(),
            variance=agreed.inertia / votes_NSK.numel(),
        )
        return partition.reordered(canonical_order(labels_N, partition.centres))


def _too_alike(fewest: int) -> str:
    return (
        f"a network of the ensemble gives the spectra fewer than {fewest} different latent points: the spectra are all "
        "alike, or its latent space has collapsed; look at the metrics of its training"
    )
