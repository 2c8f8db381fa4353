"""From how well clusters explain the pixels to labels: the neighbours' say, the cut, and what nothing explains.

Shapes: P pixels of the cube (H x W), N of a piece, C channels, L latent dimensions, K clusters, M leaves of the tree,
S networks of an ensemble.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from deepspec.clustering import CountSpectra, Gaussians
from deepspec.clustering.base import elsewhere
from deepspec.errors import UserError
from deepspec.functional.potts import potts_memberships

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.clustering import Partition

SPATIAL = 0.5
"""Strength of the prior that neighbours are alike, for clusters of counts, unless it is given."""

MEMBERSHIPS = 2**27
"""Most memberships that are kept, half a gigabyte."""


@dataclass(frozen=True)
class LabelOptions:
    """How pixels are labelled."""

    spatial: float | None = None
    """Strength 0 to 1 of the prior that neighbours are alike; None: .5 for clusters of counts, 0 for others."""
    unassigned: bool | None = None
    """Whether pixels that their cluster does not explain get label -1; None: not for K-means, which explains all."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.spatial is not None and not 0 <= self.spatial <= 1:
            raise UserError(f"spatial: expected 0 to 1, got {self.spatial}")

    def strength(self, partition: Partition) -> float:
        """The strength for these clusters."""
        if self.spatial is not None:
            return self.spatial
        return SPATIAL if isinstance(partition, CountSpectra) else 0.0

    def leaves_out(self, partition: Partition) -> bool:
        """Whether label -1 is given to what these clusters do not explain."""
        if self.unassigned is not None:
            return self.unassigned
        return isinstance(partition, (CountSpectra, Gaussians))


class Explained(NamedTuple):
    """How well the clusters explain the pixels of a piece."""

    scores_NK: Tensor
    """float32, log probabilities up to a number for each pixel."""
    leaves_NK: Tensor
    """int16, the leaf of the merge tree that each pixel has if it is in each cluster; its number without a tree."""
    unexplained_N: Tensor
    """bool, by the most probable cluster."""
    votes_NS: Tensor | None
    """int16, the cluster that each network of an ensemble puts each pixel into; None where none has a say."""


def explain(partition: Partition, z_NL: Tensor, x_NC: Tensor | None) -> Explained:
    """Hold pixels against all clusters."""
    scores_NK = partition.log_scores(z_NL, x_NC)
    unexplained_N = partition.unexplained(z_NL, scores_NK.argmax(1), x_NC)
    votes_NS = partition.member_labels(z_NL, x_NC)
    leaves_NK = partition.leaves(z_NL, x_NC).to(torch.int16)
    return Explained(scores_NK, leaves_NK, unexplained_N, None if votes_NS is None else votes_NS.to(torch.int16))


class Labels(NamedTuple):
    """The labels of a cube."""

    labels_P: Tensor
    """int64, 0 to K - 1; -1 for pixels that are not used, or that no cluster explains."""
    leaves_P: Tensor
    """int64, 0 to M - 1, likewise."""
    memberships_PK: Tensor | None
    """float32 (P, K), 0 for pixels of label -1; None where they would be too many."""
    changed: float
    """Share of the used pixels that the neighbours changed."""
    unassigned: int
    """Used pixels that no cluster explains."""
    disagreement_P: Tensor | None
    """float32, share of an ensemble's networks that put a pixel elsewhere, NaN without a label; None where none has a
    say."""


class Explanations:
    """How well the clusters explain each pixel of a cube, gathered a piece at a time.

    Args:
        shape: rows H and columns W.
        partition: the clusters.
        options: how pixels are labelled.
    """

    def __init__(self, shape: tuple[int, int], partition: Partition, options: LabelOptions) -> None:
        pixels, device = shape[0] * shape[1], partition.centres.device
        self._shape, self._partition, self._options = shape, partition, options
        self._scores_PK = torch.zeros(pixels, partition.k, device=device)
        self._leaves_PK = torch.zeros(pixels, partition.k, dtype=torch.int16, device=device)
        self._unexplained_P = torch.zeros(pixels, dtype=torch.bool, device=device)
        self._used_P = torch.zeros(pixels, dtype=torch.bool, device=device)
        self._votes_PS: Tensor | None = None

    def add(self, pixels_N: Tensor, explained: Explained) -> None:
        """Take in a piece."""
        self._scores_PK[pixels_N] = explained.scores_NK
        self._leaves_PK[pixels_N] = explained.leaves_NK
        self._unexplained_P[pixels_N] = explained.unexplained_N
        self._used_P[pixels_N] = True
        if explained.votes_NS is not None:
            if self._votes_PS is None:
                self._votes_PS = explained.votes_NS.new_zeros(len(self._used_P), explained.votes_NS.shape[1])
            self._votes_PS[pixels_N] = explained.votes_NS

    def labels(self) -> Labels:
        """The labels, once all pieces are in."""
        used_P, k = self._used_P, self._partition.k
        alone_P = self._scores_PK.argmax(1)
        strength = self._options.strength(self._partition)
        memberships_PK = None
        labels_P = alone_P
        if strength > 0 and k > 1:
            scores_KHW = self._scores_PK.T.reshape(k, *self._shape)
            found_KHW = potts_memberships(scores_KHW, used_P.reshape(self._shape), strength)
            memberships_PK = found_KHW.reshape(k, -1).T
            labels_P = memberships_PK.argmax(1)
        elif self._scores_PK.numel() <= MEMBERSHIPS:
            memberships_PK = self._scores_PK.softmax(1) * used_P[:, None]
        changed = float((labels_P != alone_P)[used_P].double().mean()) if used_P.any() else 0.0
        leaves_P = self._leaves_PK.gather(1, labels_P[:, None])[:, 0].long()
        # Neighbours may call a pixel what it is not; what no cluster explains stays so.
        none_P = self._unexplained_P & used_P if self._options.leaves_out(self._partition) else ~used_P & used_P
        out_P = ~used_P | none_P
        if memberships_PK is not None:
            memberships_PK = memberships_PK.masked_fill_(out_P[:, None], 0)
        disagreement_P = None
        if self._votes_PS is not None:
            disagreement_P = elsewhere(self._votes_PS, labels_P).masked_fill(out_P, torch.nan)
        return Labels(
            labels_P.masked_fill(out_P, -1),
            leaves_P.masked_fill(out_P, -1),
            memberships_PK,
            changed,
            int(none_P.sum()),
            disagreement_P,
        )
