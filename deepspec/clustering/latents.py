"""Which clusters do the latent points bear out? Valleys of their density along the line that divides them best.

Shapes: N points, L latent dimensions, K clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.functional import kmeans
from deepspec.functional.valley import valley_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FIRM = 0.5
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
        found = kmeans(torch.from_numpy(self._z_NL[chosen]), 2, restarts=3, generator=generator)
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
