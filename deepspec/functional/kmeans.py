"""K-means for one K or for a whole range of K at once, as batched matrix products.

Shapes: N points, L dimensions, K clusters, P problems solved together (every K of a range times every restart).

Seeds: greedy k-means++ with probabilities proportional to the squared distance (Arthur & Vassilvitskii 2007), several
candidates a step as in scikit-learn. The first K seeds of a run for k_max are themselves a run for K, so one seeding
serves the whole range. Iterations: Lloyd 1982. Nothing here has a gradient.

Random numbers are drawn on the CPU and moved, so a seed means the same run on every device. `fitting_range` says how
many clusters it makes sense to look for among few points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from deepspec.functional import batch_kmeans
from deepspec.functional.distances import check_points
from deepspec.functional.lloyd import LOOK_EVERY, Lloyd, plus_plus_seeds, seed_draws
from deepspec.functional.silhouette import Average, PartitionScores
from deepspec.renamed import has_old_words, takes_old_words

if TYPE_CHECKING:
    from torch import Tensor


POINTS_PER_CLUSTER = 4
"""At the least, on the mean. With fewer the silhouette is that of pairs and single points, which any noise has."""


def fitting_range(k_min: int, k_max: int, points: int) -> tuple[int, int]:
    """The part of a range of K that so many points can be divided into, two clusters at the least.

    >>> fitting_range(4, 16, 41), fitting_range(4, 16, 9), fitting_range(4, 16, 1000)
    ((4, 10), (2, 2), (4, 16))

    Args:
        k_min: fewest clusters wanted.
        k_max: most clusters wanted.
        points: how many there are.
    """
    most = max(points // POINTS_PER_CLUSTER, 2)
    return min(k_min, most), min(k_max, most)


Init = Literal["k-means++", "random"]

EXACT_POINTS = 8192
"""Up to this many points `ikmeans` scores every one; beyond, `SCORED_POINTS` random ones against all."""

SCORED_POINTS = 2048


class TooFewPositionsError(ValueError):
    """The points have fewer distinct positions than clusters were asked for."""


@has_old_words
@dataclass(frozen=True)
class KMeansResult:
    """A partition into K clusters."""

    labels: Tensor
    """(N,) int64, 0 to K - 1."""
    cluster_centers: Tensor
    """(K, L) mean of each cluster, dtype of the points."""
    inertia: float
    """Sum of the squared distances from the points to their centres."""


@has_old_words
@dataclass(frozen=True)
class IKMeansResult:
    """The partition with the best silhouette over a range of K."""

    labels: Tensor
    """(N,) int64, 0 to k - 1."""
    cluster_centers: Tensor
    """(k, L) mean of each cluster."""
    k: int
    """The number of clusters with the best silhouette; the smaller of equals."""
    score: float
    """Its silhouette score, averaged over points."""
    scores: dict[int, float]
    """Silhouette score of every K tried; NaN where the points have fewer than K distinct positions."""
    inertias: dict[int, float]
    """Inertia of every K tried."""


@takes_old_words
def kmeans(
    x_NL: Tensor,
    k: int,
    *,
    max_iter: int = 300,
    init: Init = "k-means++",
    n_init: int = 1,
    generator: torch.Generator | None = None,
) -> KMeansResult:
    """K-means: the best of `n_init` runs of Lloyd's algorithm.

    A cluster that empties is given the point farthest from its centre. When the points have fewer than k distinct
    positions some clusters stay empty, and their centres lie on other points.

    Args:
        x_NL: (N, L) float points, on any device; finite.
        k: number of clusters, 1 to N.
        max_iter: bound on Lloyd iterations; they end sooner when no centre moves by more than 1e-4 of the cloud's
            standard deviation.
        init: "k-means++" (greedy, D^2) or "random" (k different points).
        n_init: independent runs; the one with the smallest inertia is returned.
        generator: CPU generator; None uses torch's global one.

    Returns:
        The partition.

    Raises:
        ValueError: for NaN, infinity, fewer points than clusters, or an impossible k, max_iter or n_init.

    >>> x = torch.tensor([[0.0], [0.2], [9.0], [9.2]])
    >>> kmeans(x, 2).cluster_centers.sort(0).values
    tensor([[0.1000],
            [9.1000]])
    """
    return kmeans_range(x_NL, k, k, max_iter=max_iter, init=init, n_init=n_init, generator=generator)[0]


@takes_old_words
def kmeans_range(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    *,
    max_iter: int = 300,
    init: Init = "k-means++",
    n_init: int = 1,
    generator: torch.Generator | None = None,
) -> list[KMeansResult]:
    """`kmeans` for every K from k_min to k_max, all solved together; arguments and errors as for `kmeans`."""
    _check(x_NL, k_min, k_max, max_iter, n_init, least=1)
    best = _solve(x_NL, k_min, k_max, max_iter, init, n_init, generator)
    labels_KN = best.labels_KN.clone()  # a clone is an ordinary tensor again
    return [
        KMeansResult(labels_N, best.centres(i), inertia)
        for i, (labels_N, inertia) in enumerate(zip(labels_KN, best.inertias, strict=True))
    ]


@takes_old_words
def ikmeans(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    *,
    max_iter: int = 300,
    init: Init = "k-means++",
    n_init: int = 1,
    generator: torch.Generator | None = None,
) -> IKMeansResult:
    """Iterative K-means: K-means for every K of a range, the best silhouette wins (algorithm 1 of Bombini et al. 2024).

    All K are seeded, iterated and scored together. Up to 8,192 points every point is scored; of more, 2,048 random ones
    are, the same for every K, each exactly against all points.

    Args:
        x_NL: (N, L) float points, on any device; finite.
        k_min: smallest number of clusters, at least 2.
        k_max: largest number of clusters, at most N - 1.
        max_iter: as for `kmeans`.
        init: as for `kmeans`.
        n_init: as for `kmeans`, for each K.
        generator: CPU generator; None uses torch's global one.

    Returns:
        The winning partition and the scores of all.

    Raises:
        TooFewPositionsError: a ValueError, when the points have fewer than k_min distinct positions.
        ValueError: as for `kmeans`.
    """
    return _ikmeans(x_NL, k_min, k_max, max_iter, init, n_init, generator)[0]


@takes_old_words
def clustered_silhouette(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    *,
    average: Average = "samples",
    max_iter: int = 300,
    init: Init = "k-means++",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, IKMeansResult]:
    """The best clustering over a range of K and its silhouette score, differentiable in `x_NL`.

    The same as `ikmeans` and then `silhouette_score` of its labels, from one set of distances. Labels and K are chosen
    without gradient. Arguments and errors as for those two.

    Returns:
        The score, a scalar, and the clustering.
    """
    result, scores = _ikmeans(x_NL, k_min, k_max, max_iter, init, 1, generator)
    return scores.differentiable(result.k - k_min, average), result


def _ikmeans(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    max_iter: int,
    init: Init,
    n_init: int,
    generator: torch.Generator | None,
) -> tuple[IKMeansResult, PartitionScores]:
    _check(x_NL, k_min, k_max, max_iter, n_init, least=2)
    best = _solve(x_NL, k_min, k_max, max_iter, init, n_init, generator)
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
        labels=best.labels_KN[winner].clone(),  # a clone is an ordinary tensor again
        cluster_centers=best.centres(winner),
        k=clusters[winner],
        score=scores[winner],
        scores=dict(zip(clusters, scores, strict=True)),
        inertias=dict(zip(clusters, best.inertias, strict=True)),
    )
    return result, partitions


def _check(x_NL: Tensor, k_min: int, k_max: int, max_iter: int, n_init: int, least: int) -> None:
    if k_min < least or k_max < k_min:
        raise ValueError(f"k: expected {least} <= k_min <= k_max, got k_min = {k_min}, k_max = {k_max}")
    if max_iter < 1 or n_init < 1:
        raise ValueError(f"expected max_iter >= 1 and n_init >= 1, got {max_iter} and {n_init}")
    # A silhouette needs a cluster of two: one point more than clusters.
    check_points(x_NL, "x", minimum=k_max + (least > 1))


@dataclass(frozen=True)
class _Best:
    """The best restart for each K, smallest K first."""

    labels_KN: Tensor
    centres_LPK: Tensor  # about the mean; those of the first problems are fewer than K
    mean_L: Tensor
    k_min: int
    inertias: list[float]

    def centres(self, problem: int) -> Tensor:
        """(k, L) centres of one K."""
        return self.centres_LPK[:, problem, : self.k_min + problem].T + self.mean_L


@torch.inference_mode()
def _solve(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    max_iter: int,
    init: Init,
    n_init: int,
    generator: torch.Generator | None,
) -> _Best:
    if init not in ("k-means++", "random"):
        raise ValueError(f"init: expected 'k-means++' or 'random', got {init!r}")
    x_NL = x_NL.detach()
    mean_L = x_NL.mean(0)
    y_NL = x_NL - mean_L
    if _is_batch_of_training(y_NL, max_iter, n_init):
        labels_KN, centres_LPK, inertias_K = _solve_batch(y_NL, k_min, k_max, max_iter, init, generator)
    else:
        seeds_RKL = (
            plus_plus_seeds(y_NL, seed_draws(k_max, n_init, generator))
            if init == "k-means++"
            else y_NL[torch.stack([_random_rows(len(y_NL), k_max, generator) for _ in range(n_init)]).to(y_NL.device)]
        )
        labels_KN, centres_LPK, inertias_K = _solve_any(y_NL, seeds_RKL, k_min, max_iter)
    return _Best(labels_KN, centres_LPK, mean_L, k_min, inertias_K.tolist())


def _random_rows(n: int, k_max: int, generator: torch.Generator | None) -> Tensor:
    return torch.randperm(n, generator=generator)[:k_max]


def _is_batch_of_training(y_NL: Tensor, max_iter: int, n_init: int) -> bool:
    few = max_iter <= LOOK_EVERY and n_init == 1 and len(y_NL) <= batch_kmeans.SMALL_POINTS
    return few and y_NL.device.type == "cpu" and y_NL.dtype in (torch.float32, torch.float64)


def _solve_batch(
    y_NL: Tensor, k_min: int, k_max: int, max_iter: int, init: Init, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    y = y_NL.numpy()
    if init == "k-means++":
        seeds_KL = batch_kmeans.plus_plus_seeds(y, seed_draws(k_max, 1, generator)[:, 0].numpy())
    else:
        seeds_KL = y[_random_rows(len(y), k_max, generator).numpy()]
    labels, centres, inertias = batch_kmeans.few_iterations(y, seeds_KL, k_min, max_iter)
    return torch.from_numpy(labels), torch.from_numpy(centres), torch.from_numpy(inertias)


def _solve_any(y_NL: Tensor, seeds_RKL: Tensor, k_min: int, max_iter: int) -> tuple[Tensor, Tensor, Tensor]:
    n_init, k_max, _ = seeds_RKL.shape
    ks = torch.arange(k_min, k_max + 1, device=y_NL.device)
    lloyd = Lloyd(y_NL, k_max)
    # Problem p = (K, restart), restart fastest; problem p uses the first K of its centres.
    used_P = ks.repeat_interleave(n_init)
    centres_LPK = lloyd.run(seeds_RKL.permute(2, 0, 1).repeat(1, len(ks), 1), used_P, max_iter)
    if n_init > 1:
        inertia_KR = lloyd.inertia(centres_LPK, used_P).view(len(ks), n_init)
        best_K = inertia_KR.argmin(1) + torch.arange(len(ks), device=y_NL.device) * n_init
        centres_LPK = centres_LPK[:, best_K]
    labels_KN, inertias_K = lloyd.assign(centres_LPK, ks)
    return labels_KN, centres_LPK, inertias_K
