"""Valleys: over-segment, merge what no valley divides, split where one runs, by latent points or by counts.

How many clusters there are comes from the data, and may be one. The valley of latent points is that of their density
along the line that divides two clusters best. The definitions and what they were chosen by are in
`experiments/README.md`.

Shapes: N points, C channels, L latent dimensions, K clusters, M leaves of the merge tree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from deepspec.clustering.base import Partition, Search, bounds_of
from deepspec.clustering.counts import FIRM_COUNTS, CountEvidence
from deepspec.clustering.merging import Grouping
from deepspec.clustering.partitions import FARTHEST, INSIDE, CountSpectra, Gaussians, bins_of, chi_squares
from deepspec.clustering.votes import with_votes
from deepspec.errors import UserError
from deepspec.functional import kmeans
from deepspec.functional.valley import valley_ratio
from deepspec.renamed import has_old_words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


FIRM_LATENTS = 0.5
"""A border with r below this is one; .5 and .7 gave the same K on seven painted scans, .85 too many."""

RIDGE = 1e-6
"""Added to covariances, in units of the mean variance."""


class LatentEvidence:
    """Points, whose density is looked at along the Fisher direction of two clusters.

    Args:
        z_NL: finite points.
    """

    def __init__(self, z_NL: Tensor) -> None:
        self._z_NL: NDArray[np.float64] = z_NL.detach().cpu().double().numpy()
        self._ridge_LL = RIDGE * max(float(self._z_NL.var(0).mean()), 1e-300) * np.eye(self._z_NL.shape[1])

    @property
    def least(self) -> int:
        """Fewest points of a cluster."""
        return max(20, math.ceil(0.002 * len(self._z_NL)))

    def group(self, member_N: NDArray[np.bool_]) -> LatentGroup:
        """A cluster of these members."""
        own_nL = self._z_NL[member_N]
        covariance_LL = np.atleast_2d(np.cov(own_nL.T, bias=True)) if len(own_nL) > 1 else np.zeros_like(self._ridge_LL)
        return LatentGroup(member_N, own_nL.mean(0), covariance_LL)

    def border(self, first: LatentGroup, second: LatentGroup) -> float:
        """R of the density along w = ((S_a + S_b) / 2)^-1 (m_b - m_a)."""
        covariance_LL = (first.covariance_LL + second.covariance_LL) / 2 + self._ridge_LL
        direction_L = np.linalg.solve(covariance_LL, second.mean_L - first.mean_L)
        return valley_ratio(self._z_NL[first.member_N] @ direction_L, self._z_NL[second.member_N] @ direction_L)

    def loss(self, first: LatentGroup, second: LatentGroup) -> float:
        """By how much the sum of squared distances to the means rises, as in Ward's method."""
        n, m = int(first.member_N.sum()), int(second.member_N.sum())
        return float(n * m / (n + m) * np.square(first.mean_L - second.mean_L).sum())

    def adjacent(self, groups: list[LatentGroup], first: int, second: int) -> bool:
        """Gabriel neighbours: no third mean lies in the ball over the two."""
        a_L, b_L = groups[first].mean_L, groups[second].mean_L
        middle_L, radius = (a_L + b_L) / 2, np.square(a_L - b_L).sum() / 4
        others = (group for number, group in enumerate(groups) if number not in (first, second))
        return all(np.square(group.mean_L - middle_L).sum() >= radius for group in others)

    def split(self, member_N: NDArray[np.bool_], generator: torch.Generator) -> tuple[float, NDArray[np.bool_]]:
        """Two-means inside the cluster, and the r of their border."""
        chosen = np.flatnonzero(member_N)
        if len(chosen) < 2 * self.least or len(np.unique(self._z_NL[chosen], axis=0)) < 2:
            return 1.0, member_N
        found = kmeans(torch.from_numpy(self._z_NL[chosen]), 2, n_init=3, generator=generator)
        part_N = np.zeros_like(member_N)
        part_N[chosen[found.labels.numpy() == 1]] = True
        if min(part_N.sum(), len(chosen) - part_N.sum()) < self.least:
            return 1.0, member_N
        return self.border(self.group(member_N & ~part_N), self.group(part_N)), part_N


@dataclass(frozen=True, eq=False)
class LatentGroup:
    """Members, and where they lie."""

    member_N: NDArray[np.bool_]
    """(N,)."""
    mean_L: NDArray[np.float64]
    """Their mean."""
    covariance_LL: NDArray[np.float64]
    """Their covariance."""


MOST = 64
"""Most clusters that are looked for."""

SETTLING = 5
"""Rounds in which every pixel goes to the spectrum that explains it best."""

SMALL = 500
"""Fewer points than this start from fewer clusters."""

Evidence = Literal["auto", "counts", "latents"]


@has_old_words
@dataclass(frozen=True)
class Valleys:
    """Clusters divided by valleys of density."""

    evidence: Evidence = "auto"
    """counts: the cross-validated likelihood ratio of the spectra, which must be counts; latents: the density of the
    latent points; auto: counts where spectra are given."""
    firm: float | None = None
    """A border is one if its valley ratio r is below this, 0 to 1; None: .85 for counts, .5 for latent points."""
    start: int = 16
    """Clusters of the over-segmentation; 10 for fewer than 500 points."""
    n_init: int = 3
    """K-means runs of the over-segmentation."""
    members: int = 1
    """Networks whose latents stand side by side; each is given the same say."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.firm is not None and not 0 < self.firm <= 1:
            raise UserError(f"clusterer.firm: expected above 0 and at most 1, got {self.firm}")
        if self.start < 1 or self.n_init < 1:
            raise UserError("clusterer.start and n_init: expected at least 1 of each")

    def fit(
        self,
        z_NL: Tensor,
        k: int | tuple[int, int] | None = None,
        generator: torch.Generator | None = None,
        spectra: Tensor | None = None,
    ) -> Partition:
        """Cluster points; see `Clusterer.fit`. K may come out as 1."""
        fewest, most = bounds_of(k, (1, MOST), len(z_NL))
        generator = generator or torch.default_generator
        if self.evidence == "counts" and spectra is None:
            raise UserError("clusterer.evidence counts: needs the spectra, which are not at hand here")
        even_NL = evened(z_NL, self.members)
        start = min(self.start if len(z_NL) >= SMALL else min(self.start, 10), len(z_NL))
        labels_N = kmeans(even_NL, start, n_init=self.n_init, generator=generator).labels.cpu().numpy()
        found: Partition
        if spectra is None or self.evidence == "latents":
            found = self._by_latents(z_NL, even_NL, labels_N, fewest, most, generator)
        else:
            found = self._by_counts(z_NL, spectra, labels_N, fewest, most, generator)
        return with_votes(found, replace(self, members=1), self.members, z_NL, k, generator, spectra)

    def _by_latents(
        self,
        z_NL: Tensor,
        even_NL: Tensor,
        labels_N: NDArray[Any],
        fewest: int,
        most: int,
        generator: torch.Generator,
    ) -> Gaussians:
        firm = FIRM_LATENTS if self.firm is None else self.firm
        grouping = Grouping(LatentEvidence(even_NL), labels_N, generator)
        grouping.merge(firm, fewest, most)
        grouping.split(firm, fewest, most)
        grouping.sort()
        search, leaves_N, found_N = _searched(grouping, "valleys of the latent points", z_NL.device)
        finer = None
        if search.tree is not None and search.tree.leaves > len(grouping.groups):
            finer = Gaussians.of(z_NL, leaves_N, search.tree.leaves)
        return Gaussians.of(z_NL, found_N, len(grouping.groups), search=search, finer=finer)

    def _by_counts(
        self, z_NL: Tensor, x_NC: Tensor, labels_N: NDArray[Any], fewest: int, most: int, generator: torch.Generator
    ) -> CountSpectra:
        firm = FIRM_COUNTS if self.firm is None else self.firm
        x_NC = x_NC.float().clamp(min=0)
        evidence = CountEvidence(x_NC, generator)

        def likeliest(labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
            member_KN = _members(torch.from_numpy(labels_N).to(x_NC.device))
            scores_NK = x_NC @ evidence.log_spectra(member_KN).T + member_KN.mean(1).log()
            found: NDArray[np.int64] = scores_NK.argmax(1).cpu().numpy()
            return found

        grouping = Grouping(evidence, labels_N, generator)
        grouping.merge(firm, fewest, most)
        grouping.split(firm, fewest, most)
        grouping.settle(likeliest, SETTLING)
        grouping.merge(firm, fewest, most)
        grouping.sort()
        search, leaves_N, found_N = _searched(grouping, "valleys of the counts", z_NL.device)
        finer = None
        if search.tree is not None and search.tree.leaves > len(grouping.groups):
            finer = _count_spectra(evidence, z_NL, leaves_N, 1.0)
        dispersion = _dispersion(x_NC, found_N, evidence.log_spectra(_members(found_N)))
        found = _count_spectra(evidence, z_NL, found_N, dispersion)
        return replace(found, search=search, finer=None if finer is None else replace(finer, dispersion=dispersion))


def evened(z_NL: Tensor, members: int) -> Tensor:
    """Latents of several networks side by side, each divided by its own deviation; those of one as they are.

    A network whose latents are twice as wide would otherwise have the only say in distances.
    """
    if members == 1:
        return z_NL
    parts = z_NL.chunk(members, 1)
    widths = [part.var(0, correction=0).mean().sqrt().clamp(min=torch.finfo(part.dtype).tiny) for part in parts]
    return torch.cat([part / width for part, width in zip(parts, widths, strict=True)], 1)


def _members(labels_N: Tensor) -> Tensor:
    """(K, N) float, 1 where a point is in a cluster."""
    return torch.nn.functional.one_hot(labels_N).T.float().contiguous()


def _searched(grouping: Grouping, evidence: str, device: torch.device) -> tuple[Search, Tensor, Tensor]:
    """What was found, the leaf and the cluster of every point."""
    found_N = torch.from_numpy(grouping.labels_N).to(device)
    borders = tuple(tuple(row) for row in grouping.borders().tolist())
    tree, leaves_N = grouping.tree()
    parents = [0] * tree.leaves
    for cluster, leaves in enumerate(tree.clusters(len(grouping.groups))):
        for leaf in leaves:
            parents[leaf] = cluster
    search = Search(evidence=evidence, borders=borders, tree=tree, parents=tuple(parents))
    return search, torch.from_numpy(leaves_N).to(device), found_N


def _count_spectra(evidence: CountEvidence, z_NL: Tensor, labels_N: Tensor, dispersion: float) -> CountSpectra:
    """Clusters of labelled pixels, each of which occurs."""
    member_KN = _members(labels_N)
    log_spectra_KC = evidence.log_spectra(member_KN)
    chi_N, counts_N = chi_squares(evidence.x_NC, labels_N, log_spectra_KC)
    excess_N = (chi_N - bins_of(log_spectra_KC.shape[1]) + 1) / counts_N.clamp(min=1)
    misfit = [torch.quantile(excess_N[labels_N == cluster][: 2**20], INSIDE) for cluster in range(len(member_KN))]
    sizes_K = member_KN.sum(1)
    return CountSpectra(
        centres=(member_KN @ z_NL.float()) / sizes_K[:, None],
        log_spectra=log_spectra_KC,
        log_shares=(sizes_K / sizes_K.sum()).log(),
        misfit=FARTHEST * torch.stack(misfit).clamp(min=0),
        dispersion=dispersion,
    )


def _dispersion(x_NC: Tensor, labels_N: Tensor, log_spectra_KC: Tensor) -> float:
    """Median over the pixels of chi-square per degree of freedom, at least 1."""
    chi_N, _ = chi_squares(x_NC, labels_N, log_spectra_KC)
    return max(1.0, float(chi_N.median()) / (bins_of(log_spectra_KC.shape[1]) - 1)) if x_NC.shape[1] > 1 else 1.0
