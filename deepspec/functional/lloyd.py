"""Seeds and iterations of K-means for many problems over the same points.

Shapes: N points, L dimensions, K centres of a problem, P problems, R restarts, C candidates for a seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from deepspec.functional.distances import factors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

CHUNK_ELEMENTS = 2**22
"""Largest number of point-to-centre distances held at once (16 MiB of float32)."""

TILE_COLUMNS = 512
"""Points of a chunk that are worked on at a time on the CPU, for the distances to stay in the cache of a core."""

LOOK_EVERY = 4
"""Iterations between looks for centres that have settled or lost all points: a look costs as much as an iteration."""


def seed_draws(k_max: int, restarts: int, generator: torch.Generator | None) -> Tensor:
    """(k_max, R, C) uniform draws on the CPU, for the candidates of every seed."""
    candidates = 2 + int(math.log(k_max))
    return torch.rand(k_max, restarts, candidates, generator=generator, dtype=torch.float64)


def plus_plus_seeds(y_NL: Tensor, draws_KRC: Tensor) -> Tensor:
    """(R, K, L) greedy k-means++ seeds: of a few candidates drawn by D^2, the one that lowers the inertia most."""
    n, draws = len(y_NL), draws_KRC.to(y_NL.device)
    right_NL, left_LN = factors(y_NL)
    left_NL, right_LN = left_LN.T.contiguous(), right_NL.T.contiguous()  # rows to pick from, columns for all points
    picked_R = (draws[0, :, 0] * n).long().clamp_(max=n - 1)
    chosen = [picked_R]
    nearest_RN = (left_NL[picked_R] @ right_LN).clamp_(min=0)
    for step in range(1, len(draws)):
        cumulative_RN = nearest_RN.cumsum(1, dtype=torch.float64)
        picked_RC = torch.searchsorted(cumulative_RN, draws[step] * cumulative_RN[:, -1:])
        lowered_RCN = torch.minimum(nearest_RN[:, None], F.embedding(picked_RC, left_NL) @ right_LN)
        winner_R1 = lowered_RCN.sum(2).argmin(1, keepdim=True)
        nearest_RN = lowered_RCN.gather(1, winner_R1[..., None].expand(-1, 1, n))[:, 0].clamp_(min=0)
        chosen.append(picked_RC.gather(1, winner_R1)[:, 0])
    return y_NL[torch.stack(chosen, 1)]


class Lloyd:
    """Lloyd's algorithm on P problems over the same points; problem p uses the first `used_P[p]` of its K centres.

    On accelerators, in training, an operation costs more by being called than by its work: hence few, and in layouts
    in which reductions run over a leading dimension. A batch on the CPU goes to `batch_kmeans`.
    """

    def __init__(self, y_NL: Tensor, k_max: int) -> None:
        ones = torch.ones_like(y_NL[:, :1])
        self.points_LN = torch.cat([y_NL, ones], 1).T.contiguous()
        self.doubled_LN = torch.cat([-2 * y_NL, ones], 1).T.contiguous()
        self.squares_N = y_NL.square().sum(1)
        self.inertia_1 = self.squares_N.sum(dtype=torch.float64)  # of one cluster
        self.variance = float(self.inertia_1) / len(y_NL)
        self.index_K = torch.arange(k_max, device=y_NL.device)
        self._tile = TILE_COLUMNS if y_NL.device.type == "cpu" else len(y_NL)
        self._space = y_NL.new_empty(
            0
        )  # of the CPU: taken anew for every chunk, memory costs as much as the work in it

    def run(self, centres_LPK: Tensor, used_P: Tensor, iterations: int) -> Tensor:
        """Iterate until nothing moves or the bound is reached; problems that have settled are left alone."""
        result_LPK = centres_LPK
        active_P = torch.arange(len(used_P), device=used_P.device)
        idle_PK, bias_PK = self._idle(used_P), self._bias(used_P)
        for iteration in range(1, iterations + 1):
            before_LPK = centres_LPK
            centres_LPK, counts_PK = self._step(before_LPK, idle_PK, bias_PK)
            if iteration % LOOK_EVERY or iteration == iterations:
                continue
            empty_PK = counts_PK < 1
            if empty_PK.any():
                centres_LPK = self._without_empty(centres_LPK, empty_PK, bias_PK)
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
        factor = self._factor(centres_LPK, bias_PK)
        for points_LN in torch.split(self.doubled_LN, max(1, CHUNK_ELEMENTS // len(factor)), 1):
            yield (factor @ points_LN).view(*bias_PK.shape, -1)

    @staticmethod
    def _factor(centres_LPK: Tensor, bias_PK: Tensor) -> Tensor:
        """(P K, L + 1) what the points are multiplied by for `_gaps`."""
        constant_1PK = centres_LPK.square().sum(0, keepdim=True).add_(bias_PK)
        return torch.cat([centres_LPK, constant_1PK]).flatten(1).T

    def _members(self, centres_LPK: Tensor, bias_PK: Tensor) -> Iterator[Tensor]:
        """(P K, N) 1 where a centre is the nearest of its problem to a point, else 0; a chunk of the points at a time.

        What is given lasts until the next is asked for.
        """
        factor = self._factor(centres_LPK, bias_PK)
        for points_LN in torch.split(self.doubled_LN, max(1, CHUNK_ELEMENTS // len(factor)), 1):
            needed = len(factor) * points_LN.shape[1]
            if len(self._space) < needed:
                self._space = points_LN.new_empty(needed)
            chunk = self._space[:needed].view(len(factor), -1)
            tiles = torch.split(chunk, self._tile, 1)
            for tile, points in zip(tiles, torch.split(points_LN, self._tile, 1), strict=True):
                gap_PKN = torch.mm(factor, points, out=tile).view(*bias_PK.shape, -1)
                # Comparing with the minimum, in place, is several times cheaper than argmin and a scatter.
                gap_PKN.eq_(gap_PKN.amin(1, keepdim=True))
            yield chunk

    def _step(self, centres_LPK: Tensor, idle_PK: Tensor, bias_PK: Tensor) -> tuple[Tensor, Tensor]:
        """Means of the points nearest to each centre and their numbers, infinite for the centres that are not in use.

        A centre without a point goes to the origin, the mean of all points.
        """
        sums = torch.zeros(())
        done = 0
        for member in self._members(centres_LPK, bias_PK):
            chunk_LN = self.points_LN[:, done : done + member.shape[1]]
            sums = chunk_LN @ member.T if done == 0 else sums.addmm_(chunk_LN, member.T)
            done += member.shape[1]
        sums_LPK = sums.view(-1, *bias_PK.shape)
        counts_PK = sums_LPK[-1] + idle_PK
        return sums_LPK[:-1] / counts_PK.clamp(min=0.5), counts_PK

    def _without_empty(self, centres_LPK: Tensor, empty_PK: Tensor, bias_PK: Tensor) -> Tensor:
        """The centres, those without a point moved to the points farthest from the other centres."""
        centres_LPK = centres_LPK.clone()
        for problem, cluster in empty_PK.nonzero().tolist():
            bias_K = torch.where(empty_PK[problem], torch.inf, bias_PK[problem])
            gaps = self._gaps(centres_LPK[:, problem : problem + 1], bias_K[None])
            farthest = (torch.cat([gap_PKN[0].amin(0) for gap_PKN in gaps]) + self.squares_N).argmax()
            centres_LPK[:, problem, cluster] = self.points_LN[:-1, farthest]
            empty_PK[problem, cluster] = False  # taken: the next empty centre keeps away from it too
        return centres_LPK
