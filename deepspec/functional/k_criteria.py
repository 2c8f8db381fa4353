"""How many clusters? Six criteria over a range of K, from one pass of K-means.

Shapes: N points, L dimensions, K clusters.

- silhouette (the paper's): highest mean silhouette.
- gap (Tibshirani, Walther & Hastie 2001): log inertia against that of uniform points in the box of the principal
  axes; the smallest K whose gap is within one standard error of the largest. (The first K within one of the next,
  as published, stops at 1 where clusters are all equally far apart.) It can answer 1.
- elbow (Satopaa et al. 2011): where the curve of inertia is farthest below its chord.
- davies_bouldin: lowest. calinski_harabasz: highest.
- bic (Pelleg & Moore 2000, x-means): spherical Gaussians of one common variance. It can answer 1, and prefers many
  clusters where they are not spherical.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from deepspec.functional.centroid_indices import calinski_harabasz, davies_bouldin, sums_about_centres
from deepspec.functional.kmeans import KMeansResult, TooFewPositionsError, kmeans_range
from deepspec.functional.silhouette import PartitionScores
from deepspec.renamed import takes_old_words

if TYPE_CHECKING:
    from torch import Tensor

Curve = dict[int, float]

POINTS = 4096
"""Most points that the criteria are worked out on."""

REFERENCES = 10
"""Clouds without clusters that the gap statistic is held against."""

TITLES = {
    "silhouette": "silhouette",
    "gap": "gap statistic",
    "elbow": "elbow",
    "davies_bouldin": "Davies-Bouldin",
    "calinski_harabasz": "Calinski-Harabasz",
    "bic": "BIC",
}
"""What the criteria are called in text."""


@dataclass(frozen=True)
class KCriteria:
    """What each criterion says about every K, and which K it picks."""

    curves: dict[str, Curve]
    """By the names in `TITLES`, the value of every K tried; NaN where the points have fewer positions. Of the elbow it
    is the inertia. Gap, elbow and BIC start from K = 1."""
    gap_errors: Curve
    """Standard error of the gap of every K."""
    picks: dict[str, int | None]
    """The K that each criterion picks; None for the elbow of fewer than three K."""
    k_range: tuple[int, int]
    """Fewest and most clusters asked for."""

    @property
    def k(self) -> int:
        """The silhouette's pick, which is the default."""
        pick = self.picks["silhouette"]
        assert pick is not None  # or there would be no result
        return pick

    @property
    def agreeing(self) -> list[str]:
        """Names of the other criteria that pick the silhouette's K."""
        return [name for name, pick in self.picks.items() if pick == self.k and name != "silhouette"]

    @property
    def sentence(self) -> str:
        """Whether they agree, for a reader."""
        others = {name: pick for name, pick in self.picks.items() if name != "silhouette" and pick is not None}
        parts = [f"silhouette picks K = {self._remarked(self.k)}"]
        if self.agreeing:
            parts.append(f"{_listed(self.agreeing)} {'do' if len(self.agreeing) > 1 else 'does'} too")
        for k in sorted(set(others.values()) - {self.k}):
            names = [name for name, pick in others.items() if pick == k]
            parts.append(f"{_listed(names)} pick{'' if len(names) > 1 else 's'} {self._remarked(k)}")
        agree = len(self.agreeing)
        if agree == len(others):
            verdict = "they agree"
        elif 2 * agree >= len(others):
            verdict = "most of them agree"
        else:
            verdict = "they disagree, so no K stands out: judge by stability and by what the clusters mean"
        return f"{'; '.join(parts)}: {verdict}"

    def _remarked(self, k: int) -> str:
        if k == 1:
            return "1, no clusters"
        if k == self.k_range[1]:
            return f"{k}, the most that was tried"
        return str(k)


def _listed(names: list[str]) -> str:
    titles = [TITLES[name] for name in names]
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


@takes_old_words
def k_criteria(
    x_NL: Tensor,
    k_min: int,
    k_max: int,
    *,
    n_init: int = 3,
    references: int = REFERENCES,
    points: int = POINTS,
    generator: torch.Generator | None = None,
) -> KCriteria:
    """Work out all criteria; the partitions are the same for all of them.

    Args:
        x_NL: (N, L) float points, on any device; finite. Of more than `points` a random sample is taken.
        k_min: fewest clusters, at least 2.
        k_max: most clusters, at most N - 1.
        n_init: K-means runs per K, the best of which counts.
        references: clouds for the gap statistic, at least 2.
        points: as above.
        generator: CPU generator; None uses torch's global one.

    Raises:
        TooFewPositionsError: a ValueError, when the points have fewer than k_min distinct positions.
        ValueError: for NaN, infinity, or an impossible range or number.
    """
    if not 2 <= k_min <= k_max < min(points, len(x_NL)) or references < 2:
        raise ValueError(
            f"expected 2 <= k_min <= k_max < points and references >= 2, got k {k_min} to {k_max}, "
            f"{min(points, len(x_NL))} points, {references} references"
        )
    if len(x_NL) > points:
        x_NL = x_NL[torch.randperm(len(x_NL), generator=generator)[:points].to(x_NL.device)]
    x_NL = (x_NL - x_NL.mean(0)).double()
    found = kmeans_range(x_NL, 1, k_max, n_init=n_init, generator=generator)
    tried = range(k_min, k_max + 1)
    partitions = torch.stack([found[k - 1].labels for k in tried])
    silhouettes = dict(zip(tried, PartitionScores(x_NL, partitions, list(tried)).scores.tolist(), strict=True))
    if all(map(math.isnan, silhouettes.values())):
        raise TooFewPositionsError(f"x: expected at least k_min = {k_min} distinct points, got fewer")
    gaps, errors = _gaps(x_NL, found, references, n_init, generator)
    curves = {
        "silhouette": silhouettes,
        "gap": gaps,
        "elbow": {k: result.inertia for k, result in enumerate(found, start=1)},
        "davies_bouldin": {k: _index(x_NL, found[k - 1], davies=True) for k in tried},
        "calinski_harabasz": {k: _index(x_NL, found[k - 1], davies=False) for k in tried},
        "bic": {k: _bic(x_NL, result) for k, result in enumerate(found, start=1)},
    }
    for k, result in enumerate(found, start=1):
        if int(torch.bincount(result.labels).count_nonzero()) < k:  # fewer positions than clusters
            for curve in (*curves.values(), errors):
                if k in curve:
                    curve[k] = math.nan
    picks = {
        "silhouette": _highest(curves["silhouette"]),
        "gap": _gap_pick(gaps, errors),
        "elbow": _knee({k: curves["elbow"][k] for k in range(k_min - 1, k_max + 1)}),
        "davies_bouldin": _highest({k: -value for k, value in curves["davies_bouldin"].items()}),
        "calinski_harabasz": _highest(curves["calinski_harabasz"]),
        "bic": _highest(curves["bic"]),
    }
    return KCriteria(curves, errors, picks, (k_min, k_max))


def _index(x_NL: Tensor, found: KMeansResult, *, davies: bool) -> float:
    sums = sums_about_centres(x_NL, found.labels, found.cluster_centers)
    return davies_bouldin(sums, found.cluster_centers) if davies else calinski_harabasz(sums, found.cluster_centers)


def _bic(x_NL: Tensor, found: KMeansResult) -> float:
    """Log likelihood less half the parameters times log N; the variance is the unbiased one of x-means."""
    n, latent = x_NL.shape
    k = len(found.cluster_centers)
    variance = max(found.inertia / ((n - k) * latent), torch.finfo(torch.float64).tiny)
    count_K = torch.bincount(found.labels, minlength=k).double()
    likelihood = (
        float(torch.special.xlogy(count_K, count_K / n).sum())
        - n * latent / 2 * math.log(2 * math.pi * variance)
        - (n - k) * latent / 2
    )
    return likelihood - (k - 1 + k * latent + 1) / 2 * math.log(n)


def _gaps(
    x_NL: Tensor, found: list[KMeansResult], references: int, n_init: int, generator: torch.Generator | None
) -> tuple[Curve, Curve]:
    """Gap and its standard error for K = 1, 2, ..."""
    # Distances do not change when the axes are turned to the principal ones, so the box need not be turned back.
    turned_NL = x_NL @ torch.linalg.eigh(x_NL.T @ x_NL).eigenvectors
    low_L, high_L = turned_NL.aminmax(dim=0)
    floor = torch.finfo(torch.float64).eps * max(found[0].inertia, torch.finfo(torch.float64).tiny)

    def logs(results: list[KMeansResult]) -> Tensor:
        return torch.tensor([result.inertia for result in results], dtype=torch.float64).clamp(min=floor).log()

    uniform = []
    for _ in range(references):
        draw_NL = torch.rand(x_NL.shape, generator=generator, dtype=torch.float64).to(x_NL.device)
        cloud_NL = low_L + draw_NL * (high_L - low_L)
        uniform.append(logs(kmeans_range(cloud_NL, 1, len(found), n_init=n_init, generator=generator)))
    uniform_BK = torch.stack(uniform)
    gap_K = uniform_BK.mean(0) - logs(found)
    error_K = uniform_BK.std(0, correction=0) * math.sqrt(1 + 1 / references)
    return dict(enumerate(gap_K.tolist(), start=1)), dict(enumerate(error_K.tolist(), start=1))


def _gap_pick(gaps: Curve, errors: Curve) -> int:
    best = _highest(gaps)
    return min(k for k, gap in gaps.items() if gap >= gaps[best] - errors[best])


def _highest(curve: Curve) -> int:
    """The K of the highest value, the smaller of equals; there is one, or the silhouette would have none either."""
    return max((k for k, value in curve.items() if not math.isnan(value)), key=lambda k: (curve[k], -k))


def _knee(inertias: Curve) -> int | None:
    known = {k: value for k, value in inertias.items() if not math.isnan(value)}
    (first, *_, last), values = list(known), list(known.values())
    if len(known) < 3 or values[0] <= values[-1]:
        return None
    below = {
        k: (last - k) / (last - first) - (value - values[-1]) / (values[0] - values[-1]) for k, value in known.items()
    }
    return _highest(below)
