"""K-means for one K or for a whole range of K at once, as batched matrix products.

Shapes: N points, L dimensions, K clusters, P problems solved together (every K of a range times every restart).

Seeds: greedy k-means++ with probabilities proportional to the squared distance (Arthur & Vassilvitskii 2007), several
candidates a step as in scikit-learn. The first K seeds of a run for k_max are themselves a run for K, so one seeding
serves the whole range. Iterations: Lloyd 1982. Nothing here has a gradient.

Random numbers are drawn on the CPU and moved, so a seed means the same run on every device.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from deepspec.functional.distances import check_points
from deepspec.functional.silhouette import Average, PartitionScores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

Init = Literal["k-means++", "random"]

CHUNK_ELEMENTS = 2**22
"""Largest number of point-to-centre distances held at once (16 MiB of float32)."""

EXACT_POINTS = 8192
"""Up to this many points `ikmeans` scores every one; beyond, `SCORED_POINTS` random ones against all."""

SCORED_POINTS = 2048

SMALL_POINTS = 2048
"""Up to this many points K-means is quicker on one thread than on several."""


class TooFewPositionsError(ValueError):
    """The points have fewer distinct positions than clusters were asked for."""


@dataclass(frozen=True)
class KMeansResult:
    """A partition into K clusters."""

    labels: Tensor
    """(N,) int64, 0 to K - 1."""
    centres: Tensor
    """(K, L) mean of each cluster, dtype of the points."""
    inertia: float
    """Sum of the squared distances from the points to their centres."""


@dataclass(frozen=True)
class IKMeansResult:
    """The partition with the best silhouette over a range of K."""

    labels: Tensor
    """(N,) int64, 0 to k - 1."""
    centres: Tensor
    """(k, L) mean of each cluster."""
    k: int
    """The number of clusters with the best silhouette; the smaller of equals."""
    score: float
    """Its silhouette score, averaged over points."""
    scores: dict[int, float]
    """Silhouette score of every K tried; NaN where the points have fewer than K distinct positions."""
    inertias: dict[int, float]
    """Inertia of every K tried."""


def kmeans(
    x_NL: Tensor,
    k: int,
    *,
    iterations: int = 300,
    init: Init = "k-means++",
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> KMeansResult:
    """K-means: the best of `restarts` runs of Lloyd's algorithm.

    A cluster that empties is given the point farthest from its centre. When the points have fewer than k distinct
    positions some clusters stay empty, and their centres lie on other points.

    Args:
        x_NL: (N, L) float points, on any device; finite.
        k: number of clusters, 1 to N.
        iterations: bound on Lloyd iterations; they end sooner when no centre moves by more than 1e-4 of the cloud's
            standard deviation.
        init: "k-means++" (greedy, D^2) or "random" (k different points).
        restarts: independent runs; the one with the smallest inertia is returned.
        generator: CPU generator; None uses torch's global one.

    Returns:
        The partition.

    Raises:
        ValueError: for NaN, infinity, fewer points than clusters, or an impossible k, iterations or restarts.

    >>> x = torch.tensor([[0.0], [0.2], [9.0], [9.2]])
    >>> kmeans(x, 2).centres.sort(0).values
    tensor([[0.1000],
            [9.1000]])
    """
    _check(x_NL, k, k, iterations, restarts, least=1)
    best = _solve(x_NL, k, k, iterations, init, restarts, generator)
    return KMeansResult(best.labels_KN[0], best.centres[0], best.inertias[0])


def ikmeans(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    *,
    iterations: int = 300,
    init: Init = "k-means++",
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> IKMeansResult:
    """Iterative K-means: K-means for every K of a range, the best silhouette wins (algorithm 1 of Bombini et al. 2024).

    All K are seeded, iterated and scored together. Up to 8,192 points every point is scored; of more, 2,048 random ones
    are, the same for every K, each exactly against all points.

    Args:
        x_NL: (N, L) float points, on any device; finite.
        k_min: smallest number of clusters, at least 2.
        k_max: largest number of clusters, at most N - 1.
        iterations: as for `kmeans`.
        init: as for `kmeans`.
        restarts: as for `kmeans`, for each K.
        generator: CPU generator; None uses torch's global one.

    Returns:
        The winning partition and the scores of all.

    Raises:
        TooFewPositionsError: a ValueError, when the points have fewer than k_min distinct positions.
        ValueError: as for `kmeans`.
    """
    return _ikmeans(x_NL, k_min, k_max, iterations, init, restarts, generator)[0]


def clustered_silhouette(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    *,
    average: Average = "samples",
    iterations: int = 300,
    init: Init = "k-means++",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, IKMeansResult]:
    """The best clustering over a range of K and its silhouette score, differentiable in `x_NL`.

    The same as `ikmeans` and then `silhouette_score` of its labels, from one set of distances. Labels and K are chosen
    without gradient. Arguments and errors as for those two.

    Returns:
        The score, a scalar, and the clustering.
    """
    result, scores = _ikmeans(x_NL, k_min, k_max, iterations, init, 1, generator)
    return scores.differentiable(result.k - k_min, average), result


def _ikmeans(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    iterations: int,
    init: Init,
    restarts: int,
    generator: torch.Generator | None,
) -> tuple[IKMeansResult, PartitionScores]:
    _check(x_NL, k_min, k_max, iterations, restarts, least=2)
    with _one_thread_if_small(x_NL):
        best = _solve(x_NL, k_min, k_max, iterations, init, restarts, generator)
    clusters = list(range(k_min, k_max + 1))
    rows_M = None
    if len(x_NL) > EXACT_POINTS:
        rows_M = torch.randperm(len(x_NL), generator=generator)[:SCORED_POINTS].to(x_NL.device)
    partitions = PartitionScores(x_NL, best.labels_KN, clusters, rows_M)
    scores = partitions.scores.tolist()
    winner = max(range(len(clusters)), key=lambda i: -math.inf if math.isnan(scores[i]) else scores[i])
    if math.isnan(scores[winner]):
        raise TooFewPositionsError(f"x: expected at least k_min = {k_min} distinct points, got fewer")
    result = IKMeansResult(
        labels=best.labels_KN[winner],
        centres=best.centres[winner],
        k=clusters[winner],
        score=scores[winner],
        scores=dict(zip(clusters, scores, strict=True)),
        inertias=dict(zip(clusters, best.inertias, strict=True)),
    )
    return result, partitions


@contextmanager
def _one_thread_if_small(x_NL: Tensor) -> Iterator[None]:
    """Keep torch from dividing the work on a training batch, where waiting for the other thread takes longer."""
    threads = torch.get_num_threads()
    small = x_NL.device.type == "cpu" and len(x_NL) <= SMALL_POINTS
    try:
        if small:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


def _check(x_NL: Tensor, k_min: int, k_max: int, iterations: int, restarts: int, least: int) -> None:
    if k_min < least or k_max < k_min:
        raise ValueError(f"k: expected {least} <= k_min <= k_max, got k_min = {k_min}, k_max = {k_max}")
    if iterations < 1 or restarts < 1:
        raise ValueError(f"expected iterations >= 1 and restarts >= 1, got {iterations} and {restarts}")
    # A silhouette needs a cluster of two: one point more than clusters.
    check_points(x_NL, "x", minimum=k_max + (least > 1))


@dataclass(frozen=True)
class _Best:
    """The best restart for each K, smallest K first."""

    labels_KN: Tensor
    centres: list[Tensor]
    inertias: list[float]


@torch.no_grad()
def _solve(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    iterations: int,
    init: Init,
    restarts: int,
    generator: torch.Generator | None,
) -> _Best:
    if init not in ("k-means++", "random"):
        raise ValueError(f"init: expected 'k-means++' or 'random', got {init!r}")
    x_NL = x_NL.detach()
    mean_L = x_NL.mean(0)
    y_NL = x_NL - mean_L
    if init == "random":
        picks = [torch.randperm(len(x_NL), generator=generator)[:k_max] for _ in range(restarts)]
        seeds_RKL = y_NL[torch.stack(picks).to(x_NL.device)]
    else:
        seeds_RKL = _plus_plus(y_NL, k_max, restarts, generator)
    ks = torch.arange(k_min, k_max + 1, device=x_NL.device)
    lloyd = _Lloyd(y_NL, k_max)
    # Problem p = (K, restart), restart fastest; problem p uses the first K of its centres.
    used_P = ks.repeat_interleave(restarts)
    centres_LPK = lloyd.run(seeds_RKL.permute(2, 0, 1).repeat(1, len(ks), 1), used_P, iterations)
    if restarts > 1:
        inertia_KR = lloyd.inertia(centres_LPK, used_P).view(len(ks), restarts)
        best_K = inertia_KR.argmin(1) + torch.arange(len(ks), device=x_NL.device) * restarts
        centres_LPK = centres_LPK[:, best_K]
    labels_KN, inertias_K = lloyd.assign(centres_LPK, ks)
    return _Best(
        labels_KN=labels_KN,
        centres=[centres_LK[:, :k].T + mean_L for k, centres_LK in enumerate(centres_LPK.unbind(1), start=k_min)],
        inertias=inertias_K.tolist(),
    )


def _plus_plus(y_NL: Tensor, k_max: int, restarts: int, generator: torch.Generator | None) -> Tensor:
    """(R, k_max, L) greedy k-means++ seeds: of a few candidates drawn by D^2, the one that lowers the inertia most."""
    n, device = len(y_NL), y_NL.device
    candidates = 2 + int(math.log(k_max))
    draws = torch.rand(k_max, restarts, candidates, generator=generator, dtype=torch.float64).to(device)
    squares_N = y_NL.square().sum(1)
    left_NL = torch.cat([-2 * y_NL, torch.ones_like(squares_N)[:, None], squares_N[:, None]], 1)
    right_LN = torch.stack([*y_NL.unbind(1), squares_N, torch.ones_like(squares_N)])

    picked_R = (draws[0, :, 0] * n).long().clamp_(max=n - 1)
    chosen = [picked_R]
    nearest_RN = (left_NL[picked_R] @ right_LN).clamp_(min=0)
    restart_R = torch.arange(restarts, device=device)
    for step in range(1, k_max):
        cumulative_RN = nearest_RN.cumsum(1, dtype=torch.float64)
        picked_RC = torch.searchsorted(cumulative_RN, draws[step] * cumulative_RN[:, -1:])
        lowered_RCN = torch.minimum(nearest_RN[:, None], left_NL[picked_RC] @ right_LN)
        winner_R = lowered_RCN.sum(2).argmin(1)
        nearest_RN = lowered_RCN[restart_R, winner_R].clamp_(min=0)
        chosen.append(picked_RC[restart_R, winner_R])
    return y_NL[torch.stack(chosen, 1)]


class _Lloyd:
    """Lloyd's algorithm on P problems over the same points; problem p uses the first `used_P[p]` of its K centres.

    In training this runs on a few hundred points in every step, where each tensor operation costs more by being called
    than by its work: hence few of them, and layouts in which reductions run over a leading dimension.
    """

    def __init__(self, y_NL: Tensor, k_max: int) -> None:
        ones = torch.ones_like(y_NL[:, :1])
        self.points_LN = torch.cat([y_NL, ones], 1).T.contiguous()
        self.doubled_LN = torch.cat([-2 * y_NL, ones], 1).T.contiguous()
        self.squares_N = y_NL.square().sum(1)
        self.inertia_1 = self.squares_N.sum(dtype=torch.float64)  # of one cluster
        self.variance = float(self.inertia_1) / len(y_NL)
        self.index_K = torch.arange(k_max, device=y_NL.device)

    def run(self, centres_LPK: Tensor, used_P: Tensor, iterations: int) -> Tensor:
        """Iterate until nothing moves or the bound is reached; problems that have settled are left alone."""
        result_LPK = centres_LPK
        active_P = torch.arange(len(used_P), device=used_P.device)
        idle_PK, bias_PK = self._idle(used_P), self._bias(used_P)
        for iteration in range(1, iterations + 1):
            before_LPK = centres_LPK
            centres_LPK = self._step(before_LPK, idle_PK, bias_PK)
            if iteration % 4:  # to look costs as much as half a step of a small problem
                continue
            moved_P = (centres_LPK - before_LPK).square_().amax((0, 2)) > 1e-8 * self.variance
            if not moved_P.all():
                result_LPK = result_LPK.index_copy(1, active_P, centres_LPK)
                active_P, centres_LPK = active_P[moved_P], centres_LPK[:, moved_P]
                idle_PK, bias_PK = idle_PK[moved_P], bias_PK[moved_P]
                if len(active_P) == 0:
                    return result_LPK
        return result_LPK.index_copy(1, active_P, centres_LPK)

    def assign(self, centres_LPK: Tensor, used_P: Tensor) -> tuple[Tensor, Tensor]:
        """(P, N) index of the nearest centre and (P,) inertia."""
        nearest = [gap_PKN.min(1) for gap_PKN in self._gaps(centres_LPK, self._bias(used_P))]
        inertia_P = self.inertia_1 + sum(gap.values.sum(1, dtype=torch.float64) for gap in nearest)
        return torch.cat([gap.indices for gap in nearest], 1), inertia_P

    def inertia(self, centres_LPK: Tensor, used_P: Tensor) -> Tensor:
        """(P,) sum of squared distances to the nearest centre."""
        gaps = self._gaps(centres_LPK, self._bias(used_P))
        return self.inertia_1 + sum(gap_PKN.amin(1).sum(1, dtype=torch.float64) for gap_PKN in gaps)

    def _idle(self, used_P: Tensor) -> Tensor:
        """(P, K) infinite for the centres that a problem does not use, 0 for the others."""
        return torch.where(self.index_K < used_P[:, None], 0.0, torch.inf).to(self.points_LN.dtype)

    def _bias(self, used_P: Tensor) -> Tensor:
        """(P, K) added to squared distances: infinite for the centres that a problem does not use.

        Centres that coincide would share their points for ever; a shift far below the data's scale that grows with the
        index gives them all to the first, and the others, empty, move on.
        """
        return self._idle(used_P) + self.index_K * (1e-7 * self.variance)

    def _gaps(self, centres_LPK: Tensor, bias_PK: Tensor) -> Iterator[Tensor]:
        """(P, K, N) squared distances less |x|^2, a chunk of the points at a time."""
        constant_1PK = centres_LPK.square().sum(0, keepdim=True).add_(bias_PK)
        factor = torch.cat([centres_LPK, constant_1PK]).flatten(1).T
        for points_LN in torch.split(self.doubled_LN, max(1, CHUNK_ELEMENTS // len(factor)), 1):
            yield (factor @ points_LN).view(*bias_PK.shape, -1)

    def _step(self, centres_LPK: Tensor, idle_PK: Tensor, bias_PK: Tensor) -> Tensor:
        """Means of the points nearest to each centre."""
        sums = torch.zeros(())
        done = 0
        for gap_PKN in self._gaps(centres_LPK, bias_PK):
            # Comparing with the minimum, in place, is several times cheaper than argmin and a scatter.
            member = gap_PKN.eq_(gap_PKN.amin(1, keepdim=True)).flatten(0, 1)
            chunk_LN = self.points_LN[:, done : done + member.shape[1]]
            sums = chunk_LN @ member.T if done == 0 else sums.addmm_(chunk_LN, member.T)
            done += member.shape[1]
        sums_LPK = sums.view(-1, *bias_PK.shape)
        counts_PK = sums_LPK[-1] + idle_PK  # an idle centre is divided by infinity: it stays at the origin
        if counts_PK.amin() < 0.5:
            return self._reseeded(sums_LPK, bias_PK)
        return sums_LPK[:-1] / counts_PK

    def _reseeded(self, sums_LPK: Tensor, bias_PK: Tensor) -> Tensor:
        """The means, with the empty centres in use moved to the points farthest from the other centres."""
        means_LPK = sums_LPK[:-1] / sums_LPK[-1].clamp(min=1)
        empty_PK = (sums_LPK[-1] == 0) & (bias_PK < torch.inf)
        for problem, cluster in empty_PK.nonzero().tolist():
            bias_K = torch.where(empty_PK[problem], torch.inf, bias_PK[problem])
            gaps = self._gaps(means_LPK[:, problem : problem + 1], bias_K[None])
            farthest = (torch.cat([gap_PKN[0].amin(0) for gap_PKN in gaps]) + self.squares_N).argmax()
            means_LPK[:, problem, cluster] = self.points_LN[:-1, farthest]
            empty_PK[problem, cluster] = False  # taken: the next empty centre keeps away from it too
        return means_LPK
