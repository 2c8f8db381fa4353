"""Which clusters do the counts themselves bear out? The cross-validated likelihood ratio merges and splits.

For two spectra p and q (probabilities over the channels) the log likelihood ratio of a pixel with counts x is
s = sum_c x_c log(p_c / q_c), of the multinomial: composition alone, whatever the exposure. p and q come from one random
half of the pixels, the valley of the density of s from the other, so that noise which was fitted cannot pose as a
valley. The valley ratio r (`deepspec.functional.valley_ratio`) is averaged over several halves.

`are_counts` says whether spectra are counts at all, so that clusters can be judged by this.

Shapes: N pixels or spectra, C channels, K clusters, H halves, S starts of a split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.functional.valley import valley_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


EMPTY = 0.01
"""Counting spectra have channels without a count: at least this share of the values is 0."""


def are_counts(x_NC: Tensor, unit: str) -> bool:
    """Whether a sample of spectra looks like counts.

    Counts are non-negative values over energies, or over bare channel numbers if they are whole and 1 % of them are 0.

    Args:
        x_NC: raw spectra.
        unit: of their axis, `keV` or `channel` among others.
    """
    if not bool((x_NC >= 0).all()):
        return False
    if unit == "keV":
        return True
    return unit == "channel" and float((x_NC == 0).float().mean()) >= EMPTY and bool((x_NC == x_NC.round()).all())


HALVES = 5
"""Random halves over which r is averaged; with a single one the K of graded scans wanders."""

FIRM_COUNTS = 0.85
"""A border with r below this is one: chosen on painted scans and uniform ones, see `experiments/README.md`."""

STARTS = 4
"""Principal components at whose medians a split is started."""

SPLIT_ROUNDS = 30
"""Most rounds of expectation and maximisation of a split."""

SPLIT_PIXELS = 4096
"""Pixels of a cluster that the starts are judged on, at most: more show no other valley, and cost as much more."""

PSEUDO = 0.5
"""Counts added to a cluster's spectrum, shared out as the whole sample's: no channel is impossible anywhere."""


class CountEvidence:
    """A sample of counts, with the random halves that clusters are judged by.

    Args:
        x_NC: (N, C) counts, float32, non-negative, finite.
        generator: CPU generator, of the halves.
        halves: how many.
    """

    def __init__(self, x_NC: Tensor, generator: torch.Generator, halves: int = HALVES) -> None:
        self.x_NC = x_NC
        self.overall_C = x_NC.sum(0)
        self.overall_C /= self.overall_C.sum()
        n = len(x_NC)
        order_HN = torch.rand(halves, n, generator=generator).argsort(1)
        self.fitted_HN = torch.zeros(halves, n, dtype=torch.bool)
        self.fitted_HN.scatter_(1, order_HN[:, : n // 2], value=True)
        self.fitted_HN = self.fitted_HN.to(x_NC.device)
        self._judged_HN: NDArray[np.bool_] = (~self.fitted_HN).cpu().numpy()

    @property
    def least(self) -> int:
        """Fewest pixels of a cluster."""
        return max(20, math.ceil(0.004 * len(self.x_NC)))

    def log_spectra(self, member_KN: Tensor) -> Tensor:
        """(K, C) logarithms of the clusters' spectra, normalised to 1, from memberships (K, N) of 0 to 1."""
        sums_KC = member_KN @ self.x_NC + PSEUDO * self.overall_C
        return torch.log(sums_KC.clamp_(min=torch.finfo(torch.float32).tiny)) - sums_KC.sum(1, keepdim=True).log()

    def likelihoods(self, member_N: Tensor) -> NDArray[np.float32]:
        """(H, N) log likelihood of every pixel under a cluster's spectrum, taken from its members in each half."""
        logs_HC = self.log_spectra((self.fitted_HN & member_N).float())
        found: NDArray[np.float32] = (self.x_NC @ logs_HC.T).T.contiguous().cpu().numpy()
        return found

    def border(self, first: Cluster, second: Cluster) -> float:
        """R of the border between two clusters: the mean over the halves."""
        ratios = []
        for half, judged_N in enumerate(self._judged_HN):
            score_N = first.likelihood_HN[half] - second.likelihood_HN[half]
            ratios.append(valley_ratio(score_N[first.member_N & judged_N], score_N[second.member_N & judged_N]))
        return float(np.mean(ratios))

    def group(self, member_N: NDArray[np.bool_]) -> Cluster:
        """A cluster of these members."""
        members = torch.from_numpy(member_N).to(self.x_NC.device)
        sums_C = (members.float() @ self.x_NC).double().cpu().numpy()
        return Cluster(member_N, self.likelihoods(members), sums_C)

    def loss(self, first: Cluster, second: Cluster) -> float:
        """Log likelihood of the counts under two spectra, less that under the one of both together."""
        apart = _log_likelihood(first.sums_C) + _log_likelihood(second.sums_C)
        return max(0.0, apart - _log_likelihood(first.sums_C + second.sums_C))

    def adjacent(self, groups: list[Cluster], first: int, second: int) -> bool:
        """Whether two clusters may be merged: any two of counts may."""
        return True

    def split(self, member_N: NDArray[np.bool_], generator: torch.Generator) -> tuple[float, NDArray[np.bool_]]:
        """The best division of a cluster in two.

        Multinomial mixtures of two, started at the median of each of the first principal components of the square
        roots, are fitted to each half; the start with the lowest mean r is fitted to all members.

        Args:
            member_N: (N,) bool, the cluster.
            generator: CPU generator, of the search for the components.

        Returns:
            r, 1 where no part would be large enough; and the members of one part, (N,) bool.
        """
        members = torch.from_numpy(np.flatnonzero(member_N))
        if len(members) < 2 * self.least:
            return 1.0, member_N
        some = torch.randperm(len(members), generator=generator)[:SPLIT_PIXELS].sort().values
        chosen = members[some].to(self.x_NC.device)
        x_nC = self.x_NC[chosen]
        first_Sn = _halves_by_components(x_nC, generator)
        fitted_Hn = self.fitted_HN[:, chosen]
        halves, starts = len(fitted_Hn), len(first_Sn)
        # All starts in all halves are problems that are solved together: P = S x H.
        weight_Pn = fitted_Hn.repeat(starts, 1).float()
        score_Pn = _two_spectra(x_nC, first_Sn.repeat_interleave(halves, 0), weight_Pn, self.overall_C)
        scores_SHn = score_Pn.reshape(starts, halves, -1).cpu().numpy()
        judged_Hn = (~fitted_Hn).cpu().numpy()
        ratios = [
            np.mean(
                [
                    valley_ratio(scores_n[judged_n & (scores_n > 0)], scores_n[judged_n & (scores_n <= 0)])
                    for scores_n, judged_n in zip(scores_Hn, judged_Hn, strict=True)
                ]
            )
            for scores_Hn in scores_SHn
        ]
        best = int(np.argmin(ratios))
        whole_mC = self.x_NC[members.to(self.x_NC.device)]
        every_1n, every_1m = torch.ones_like(first_Sn[:1]), torch.ones(1, len(whole_mC), device=x_nC.device)
        # From the pixels judged to all: one round of their odds is a start for the others.
        odds_1n = _two_spectra(x_nC, first_Sn[best : best + 1], every_1n, self.overall_C)
        start_1m = every_1m / 2
        start_1m[:, some.to(x_nC.device)] = torch.sigmoid(odds_1n)
        part_m = (_two_spectra(whole_mC, start_1m, every_1m, self.overall_C)[0] > 0).cpu().numpy()
        if min(part_m.sum(), (~part_m).sum()) < self.least:
            return 1.0, member_N
        part_N = np.zeros_like(member_N)
        part_N[members.numpy()[part_m]] = True
        return float(ratios[best]), part_N


@dataclass(frozen=True, eq=False)
class Cluster:
    """Members, and how well the cluster explains every pixel."""

    member_N: NDArray[np.bool_]
    """(N,)."""
    likelihood_HN: NDArray[np.float32]
    """(H, N) log likelihoods, by the members of each half."""
    sums_C: NDArray[np.float64]
    """(C,) counts of all members."""


def _log_likelihood(sums_C: NDArray[np.float64]) -> float:
    """Of counts under their own spectrum, without the multinomial coefficient."""
    seen_C = sums_C[sums_C > 0]
    return float((seen_C * np.log(seen_C / seen_C.sum())).sum())


def _halves_by_components(x_nC: Tensor, generator: torch.Generator) -> Tensor:
    """(S, n) float, 1 for the members above the median of each of the first principal components of the roots."""
    root_nC = x_nC.sqrt()
    root_nC -= root_nC.mean(0)
    count = min(STARTS, *root_nC.shape)
    # Subspace iteration with a few spare directions: a start needs no exact components.
    axes_CS = torch.randn(root_nC.shape[1], min(count + 4, *root_nC.shape), generator=generator).to(x_nC.device)
    for _ in range(4):
        axes_CS = torch.linalg.qr(root_nC.T @ (root_nC @ axes_CS)).Q
    scores_nS = root_nC @ axes_CS
    turn_SS = torch.linalg.eigh(scores_nS.T @ scores_nS).eigenvectors.flip(1)
    scores_nS = scores_nS @ turn_SS[:, :count]
    above_nS: Tensor = scores_nS > scores_nS.median(0).values
    return above_nS.T.float()


def _two_spectra(x_nC: Tensor, first_Pn: Tensor, weight_Pn: Tensor, overall_C: Tensor) -> Tensor:
    """Fit multinomial mixtures of two spectra, P of them at once.

    Args:
        x_nC: counts.
        first_Pn: where each is started, 0 to 1: the membership of its first component.
        weight_Pn: 1 for the pixels that each is fitted to, 0 for the others.
        overall_C: spectrum of everything, of which `PSEUDO` counts are added.

    Returns:
        (P, n) log odds of the first component for every pixel, also those it was not fitted to.
    """
    prior_C = PSEUDO * overall_C
    odds_Pn = first_Pn
    tiny = torch.finfo(torch.float32).tiny
    total_PC = weight_Pn @ x_nC
    weight_P = weight_Pn.sum(1)
    for _ in range(SPLIT_ROUNDS):
        member_Pn = first_Pn * weight_Pn
        sums_PC = member_Pn @ x_nC
        rest_PC = (total_PC - sums_PC).clamp_(min=0) + prior_C
        sums_PC += prior_C
        difference_PC = sums_PC.clamp(min=tiny).log() - sums_PC.sum(1, keepdim=True).log()
        difference_PC -= rest_PC.clamp(min=tiny).log() - rest_PC.sum(1, keepdim=True).log()
        share_P = (member_Pn.sum(1) / weight_P).clamp(1e-6, 1 - 1e-6)
        odds_Pn = difference_PC @ x_nC.T + torch.logit(share_P)[:, None]
        before, first_Pn = first_Pn, torch.sigmoid(odds_Pn)
        if float((first_Pn - before).abs().mean()) < 1e-4:
            break
    return odds_Pn
