"""Agreement class by class, once each class has the cluster that the matching gives it.

Shapes: P predicted clusters, R reference classes, U clusters that no class is left for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from deepspec.functional.agreement import match_labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MatchedCounts:
    """One class against the rest, for every class: points rightly and wrongly in its cluster."""

    tp_R: Tensor
    """(R,) int64: points of the class in its cluster."""
    fp_R: Tensor
    """(R,) int64: points of other classes in its cluster; 0 for a class without a cluster."""
    fn_R: Tensor
    """(R,) int64: points of the class in other clusters."""
    tn_R: Tensor
    """(R,) int64: all other points."""

    @property
    def support_R(self) -> Tensor:
        """(R,) points of each class."""
        return self.tp_R + self.fn_R


def match_overlapping(table_PR: Tensor) -> Tensor:
    """`match_labels`, without the pairs that share no point: those are left over from the matching, not found by it.

    Args:
        table_PR: (P, R) contingency table.

    Returns:
        (P,) int64 class of each cluster, -1 for none.
    """
    match_P = match_labels(table_PR)
    shared_P = table_PR.gather(1, match_P.clamp(min=0)[:, None])[:, 0]
    return torch.where(shared_P > 0, match_P, -1)


def matched_counts(table_PR: Tensor, match_P: Tensor) -> MatchedCounts:
    """True and false positives and negatives of every class.

    Args:
        table_PR: (P, R) contingency table.
        match_P: (P,) class of each cluster, each class at most once, -1 for none.
    """
    confusion = confusion_matrix(table_PR, match_P)[0]
    r = len(confusion)
    tp_R = confusion[:, :r].diagonal()
    fp_R = confusion[:, :r].sum(0) - tp_R
    fn_R = confusion.sum(1) - tp_R
    return MatchedCounts(tp_R, fp_R, fn_R, confusion.sum() - tp_R - fp_R - fn_R)


def confusion_matrix(table_PR: Tensor, match_P: Tensor) -> tuple[Tensor, Tensor]:
    """Classes against their clusters, then the clusters that are left over.

    Args:
        table_PR: (P, R) contingency table.
        match_P: (P,) class of each cluster, each class at most once, -1 for none.

    Returns:
        (R, R + U) counts, class r along row r with its cluster in column r, which is empty for a class without one;
        and (R + U,) the cluster of each column, -1 for none.

    >>> confusion_matrix(torch.tensor([[0, 5], [4, 1], [1, 1]]), torch.tensor([1, 0, -1]))
    (tensor([[4, 0, 1],
            [1, 5, 1]]), tensor([1, 0, 2]))
    """
    p, r = table_PR.shape
    clusters = torch.arange(p, device=table_PR.device)
    matched = match_P >= 0
    column_R = torch.full((r,), -1, dtype=torch.int64, device=table_PR.device)
    column_R[match_P[matched]] = clusters[matched]
    columns = torch.cat([column_R, clusters[~matched]])
    counts = torch.where(columns[:, None] >= 0, table_PR[columns.clamp(min=0)], 0)
    return counts.T.contiguous(), columns


def tversky_index(tp: Tensor, fp: Tensor, fn: Tensor, *, alpha: float = 0.7, beta: float = 0.3) -> Tensor:
    """Tversky index `tp / (tp + alpha fn + beta fp)` (equation 7 of Bombini et al. 2024).

    With (alpha, beta) it is recall (1, 0), precision (0, 1), F1 or Dice (0.5, 0.5) and intersection over union (1, 1).

    Args:
        tp: true positives, any shape.
        fp: false positives, same shape.
        fn: false negatives, same shape.
        alpha: weight of the false negatives, not negative.
        beta: weight of the false positives, not negative.

    Returns:
        float64 in [0, 1]; 0 where nothing was found of something that is there; NaN where there was nothing to find
        (no true positives and no false negatives).

    Raises:
        ValueError: for a negative weight.

    >>> tversky_index(torch.tensor(6), torch.tensor(10), torch.tensor(10))
    tensor(0.3750, dtype=torch.float64)
    """
    if alpha < 0 or beta < 0:
        raise ValueError(f"expected alpha >= 0 and beta >= 0, got {alpha} and {beta}")
    tp, fp, fn = tp.double(), fp.double(), fn.double()
    index = tp / (tp + alpha * fn + beta * fp)
    index = torch.where(tp == 0, 0.0, index)  # also where alpha or beta makes it 0 / 0
    return torch.where(tp + fn == 0, torch.nan, index)
