"""Which cluster explains a point best: the nearest centre, a Gaussian, or the spectrum of its counts.

`canonical_order` and `numbering` give the clusters their numbers.

Shapes: N points, C channels, L latent dimensions, K clusters, B bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from deepspec.clustering.base import Partition
from deepspec.functional import contingency_table, match_labels
from deepspec.functional.response import blurred


def canonical_order(labels_N: Tensor, centres_KL: Tensor) -> Tensor:
    """Indices (K,), on the CPU, that sort clusters by falling size, and equally large ones by their centres.

    >>> canonical_order(torch.tensor([1, 1, 0, 2, 2]), torch.tensor([[0.0], [9.0], [5.0]])).tolist()
    [2, 1, 0]
    """
    sizes = torch.bincount(labels_N[labels_N >= 0], minlength=len(centres_KL)).tolist()
    keys = [(-size, centre) for size, centre in zip(sizes, centres_KL.tolist(), strict=True)]
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))


def numbering(labels_N: Tensor, before_N: Tensor, k: int) -> Tensor:
    """New number of each of k clusters: that of the earlier cluster it shares most points with.

    Clusters without a partner get the numbers left over, in order; numbers are 0 to k - 1.

    >>> numbering(torch.tensor([0, 0, 1, 2]), torch.tensor([1, 1, 0, 0]), 3).tolist()
    [1, 0, 2]
    """
    table = contingency_table(labels_N, before_N)
    match = torch.full((k,), -1)
    match[: len(table)] = match_labels(table)
    match[match >= k] = -1
    free = iter(sorted(set(range(k)) - set(match.tolist())))
    return torch.tensor([number if number >= 0 else next(free) for number in match.tolist()])


JITTER = 1e-3
"""Added to the covariance of a cluster, in units of the mean variance of all points."""

BINS = 64
"""Groups of channels, equally probable under a cluster, by which counts are held against its spectrum."""

FARTHEST = 3.0
"""A point is unexplained if it lies this many times as far as 99 % of its cluster's own points, in squared distance:
farther than the tail of any cluster that is one, however few strangers it was fitted with."""

INSIDE = 0.99
"""That share."""

SURE = 6.0
"""Counts are unexplained only where their misfit exceeds chance by this many standard errors."""


def distances_to(centres_KL: Tensor, z_NL: Tensor) -> Tensor:
    """Euclidean distances (N, K), in the dtype of the centres."""
    # Without the matrix product, whose cancellation would decide between centres that are almost equally near.
    return torch.cdist(z_NL.to(centres_KL.dtype), centres_KL, compute_mode="donot_use_mm_for_euclid_dist")


@dataclass(frozen=True, eq=False, kw_only=True)
class NearestCentres(Partition):
    """K-means: the nearest centre.

    Memberships are those of round Gaussians of one size, whose variance is that of the points about their centres.
    """

    kind: ClassVar[str] = "nearest"

    variance: float = 0.0
    """Of the points about their centres, per dimension; 0 where it is not known: memberships are then 0 and 1."""

    def log_scores(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """Half the squared distances to the centres over the variance, negative."""
        return distances_to(self.centres, z_NL).square() / (-2 * self._variance)

    @property
    def _variance(self) -> float:
        """Where it is not known, so small that the nearest centre takes all."""
        if self.variance > 0 or self.k == 1:
            return self.variance or 1.0
        return max(float(torch.pdist(self.centres).min().square()) / 1e4, torch.finfo(torch.float32).tiny)

    def assign(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """int64 (N,): the nearest centre, the lowest of equally near ones."""
        return distances_to(self.centres, z_NL).argmin(1)

    def _values(self) -> dict[str, Any]:
        return {"variance": self.variance}


@dataclass(frozen=True, eq=False, kw_only=True)
class Gaussians(Partition):
    """A Gaussian for each cluster, with its share of the points."""

    kind: ClassVar[str] = "gaussians"

    precisions: Tensor
    """float32 (K, L, L): Cholesky factors W of the inverse covariances, S^-1 = W W^T."""
    log_shares: Tensor
    """float32 (K,): logarithms of the clusters' shares of the points."""
    reach: Tensor
    """float32 (K,): squared Mahalanobis distance beyond which a point is unexplained."""

    @classmethod
    def of(cls, z_NL: Tensor, labels_N: Tensor, k: int, **more: Any) -> Self:
        """The Gaussians of labelled points.

        Args:
            z_NL: finite points.
            labels_N: int64, 0 to k - 1, each of which occurs.
            k: number of clusters.
            more: `search` and `finer`.
        """
        latent = z_NL.shape[1]
        wide_NL = z_NL.double()
        variance = float(wide_NL.var(0, correction=0).mean().clamp(min=torch.finfo(torch.float32).tiny))
        jitter_LL = JITTER * variance * torch.eye(latent, dtype=torch.float64, device=z_NL.device)
        means, factors, reach = [], [], []
        for cluster in range(k):
            own_nL = wide_NL[labels_N == cluster]
            mean_L = own_nL.mean(0)
            residual_nL = own_nL - mean_L
            factor_LL = _precision_factor(residual_nL.T @ residual_nL / len(own_nL) + jitter_LL)
            squares_n = (residual_nL @ factor_LL).square().sum(1)
            means.append(mean_L)
            factors.append(factor_LL)
            reach.append(FARTHEST * torch.quantile(squares_n[: 2**20], INSIDE))
        sizes_K = torch.bincount(labels_N, minlength=k)
        return cls(
            centres=torch.stack(means).float(),
            precisions=torch.stack(factors).float(),
            log_shares=(sizes_K / sizes_K.sum()).log().float(),
            reach=torch.stack(reach).float(),
            **more,
        )

    def log_scores(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """Log share + log det W - |W^T (z - m)|^2 / 2."""
        volume_K = self.precisions.diagonal(dim1=1, dim2=2).log().sum(1)
        return self.log_shares + volume_K - self._squares(z_NL) / 2

    def unexplained(self, z_NL: Tensor, labels_N: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """Bool (N,): farther from their cluster than `reach`."""
        own_N = self._squares(z_NL).gather(1, labels_N.clamp(min=0)[:, None])[:, 0]
        return own_N > self.reach[labels_N.clamp(min=0)]

    def _squares(self, z_NL: Tensor) -> Tensor:
        """(N, K) squared Mahalanobis distances."""
        z_NL = z_NL.to(self.centres.dtype)
        columns = [
            ((z_NL - mean_L) @ factor_LL).square().sum(1)
            for mean_L, factor_LL in zip(self.centres, self.precisions, strict=True)
        ]
        return torch.stack(columns, 1)

    @classmethod
    def _by_cluster(cls) -> tuple[str, ...]:
        return "centres", "precisions", "log_shares", "reach"


def _precision_factor(covariance_LL: Tensor) -> Tensor:
    """Lower triangular W with W W^T the inverse."""
    inverse_LL = torch.cholesky_inverse(torch.linalg.cholesky(covariance_LL))
    factor_LL: Tensor = torch.linalg.cholesky(inverse_LL)
    return factor_LL


@dataclass(frozen=True, eq=False, kw_only=True)
class CountSpectra(Partition):
    """A spectrum of counts for each cluster: the multinomial likelihood of a pixel's composition.

    How many counts a pixel has does not matter, so that exposure and brightness do not. Measured counts vary more than
    counts alone would (surfaces, layers, mixtures); the log likelihoods are divided by that dispersion.
    """

    kind: ClassVar[str] = "counts"
    needs_spectra: ClassVar[bool] = True

    log_spectra: Tensor
    """float32 (K, C): logarithms of probabilities over the channels."""
    log_shares: Tensor
    """float32 (K,): logarithms of the clusters' shares of the pixels."""
    misfit: Tensor
    """float32 (K,): misfit per count beyond which a pixel is unexplained; see `unexplained`."""
    dispersion: float = 1.0
    """Variance of the counts over that of a multinomial, at least 1."""

    def log_scores(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """(log share + sum_c x_c log p_c) over the dispersion."""
        if x_NC is None:
            raise ValueError("clusters of counts need the spectra beside the latent points")
        return (self.log_shares + x_NC.float() @ self.log_spectra.T) / self.dispersion

    def unexplained(self, z_NL: Tensor, labels_N: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """Bool (N,): whose composition is another than their cluster's, beyond what its own pixels show.

        The statistic is Pearson's chi-square over bins of channels that are equally probable under the cluster, less
        its expectation, per count: an estimate of the squared relative difference of the compositions.
        """
        assert x_NC is not None
        chi_N, counts_N = chi_squares(x_NC.float(), labels_N, self.log_spectra)
        degrees = bins_of(self.log_spectra.shape[1]) - 1
        sure_N = chi_N > self.dispersion * (degrees + SURE * math.sqrt(2 * degrees))
        return sure_N & ((chi_N - degrees) / counts_N.clamp(min=1) > self.misfit[labels_N.clamp(min=0)])

    def differences(
        self, cluster: int, total_C: Tensor, noise: float = 1.0, known: float = float("inf")
    ) -> tuple[float, float]:
        """How far counts that belong to a cluster differ from its spectrum, and how far the nearest other one does.

        Args:
            cluster: which.
            total_C: counts, more than 0 in all.
            noise: variance of the counts over that of Poisson's law.
            known: counts that the cluster's own spectrum was taken from, whose chance is allowed for too.

        Returns:
            Squared relative differences of the compositions, over bins as in `unexplained`: of the counts, beyond
            chance, at least 0; and of the nearest other cluster, infinite where there is none.
        """
        label = torch.tensor([cluster], device=total_C.device)
        chi_1, counts_1 = chi_squares(total_C[None], label, self.log_spectra)
        left = float(chi_1 / counts_1) - (bins_of(len(total_C)) - 1) * (noise / float(counts_1) + 1 / known)
        apart = float("inf")
        others = [other for other in range(self.k) if other != cluster]
        if others:
            # So many counts that none but the compositions matter.
            spectra_JC = self.log_spectra[others].double().exp() * 1e9
            chi_J, counts_J = chi_squares(spectra_JC, label.expand(len(others)), self.log_spectra)
            apart = float((chi_J / counts_J).min())
        return max(left, 0.0), apart

    def seen_by(self, log_response_C: Tensor, blur: float = 0.0, noise: float = 1.0) -> Self:
        """The same clusters as another detector sees them.

        Args:
            log_response_C: logarithm of its response over that of the training, up to a number.
            blur: how much coarser its resolution is, as `deepspec.functional.response.blurred` has it.
            noise: variance of its counts over that in the training, where the mean is the same: 2 where the counts were
                doubled.
        """
        spectra_KC = torch.from_numpy(blurred(self.log_spectra.double().exp().cpu().numpy(), blur))
        log_KC = spectra_KC.clamp(min=1e-30).log() + log_response_C.double().cpu()
        by_network = self.by_network
        if by_network is not None:
            seen = tuple(
                one.seen_by(log_response_C, blur, noise) if isinstance(one, CountSpectra) else one
                for one in by_network.partitions
            )
            by_network = replace(by_network, partitions=seen)
        return replace(
            self,
            by_network=by_network,
            log_spectra=(log_KC - log_KC.logsumexp(1, keepdim=True)).to(self.log_spectra),
            dispersion=self.dispersion * noise,
            finer=None if self.finer is None else self.finer.seen_by(log_response_C, blur, noise),
        )

    @classmethod
    def _by_cluster(cls) -> tuple[str, ...]:
        return "centres", "log_spectra", "log_shares", "misfit"

    def _values(self) -> dict[str, Any]:
        return {"dispersion": self.dispersion}


def bins_of(channels: int) -> int:
    """Number of bins B of `chi_squares`."""
    return min(BINS, channels)


def chi_squares(x_NC: Tensor, labels_N: Tensor, log_spectra_KC: Tensor) -> tuple[Tensor, Tensor]:
    """Pearson's chi-square of counts against the spectra of their clusters, over equally probable bins of channels.

    Args:
        x_NC: counts.
        labels_N: int64 cluster of each; below 0 counts as 0.
        log_spectra_KC: logarithms of the clusters' spectra.

    Returns:
        Chi-square (N,), of B - 1 degrees of freedom, and counts (N,).
    """
    channels = log_spectra_KC.shape[1]
    bins = bins_of(channels)
    cumulated_KC = log_spectra_KC.double().exp().cumsum(1)
    cumulated_KC /= cumulated_KC[:, -1:].clone()
    inner_B = torch.arange(1, bins, device=x_NC.device, dtype=torch.float64) / bins
    # The last channel of each bin: bins differ a little in probability, as channels cannot be divided.
    ends_KB = torch.searchsorted(cumulated_KC, inner_B.expand(len(cumulated_KC), -1).contiguous())
    ends_KB = torch.cat([ends_KB, torch.full_like(ends_KB[:, :1], channels - 1)], 1).clamp(max=channels - 1)
    expected_KB = torch.diff(cumulated_KC.gather(1, ends_KB), dim=1, prepend=torch.zeros_like(cumulated_KC[:, :1]))
    labels_N = labels_N.clamp(min=0)
    summed_NC = x_NC.cumsum(1, dtype=torch.float64)
    observed_NB = torch.diff(summed_NC.gather(1, ends_KB[labels_N]), dim=1, prepend=torch.zeros_like(summed_NC[:, :1]))
    counts_N = summed_NC[:, -1]
    expected_NB = expected_KB[labels_N] * counts_N[:, None]
    squares_NB = (observed_NB - expected_NB).square() / expected_NB
    return squares_NB.where(expected_NB > 0, 0).sum(1).float(), counts_N.float()
