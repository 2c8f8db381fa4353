"""Agreement of clusters with reference classes as a metric.

Shapes: N points, P predicted clusters, R reference classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from deepspec.functional.agreement import count_pairs
from deepspec.functional.agreement_scores import Agreement, score_agreement


class ClusterAgreement(Metric):
    """Agreement of clusters with reference classes, which are matched once, over all that was seen.

    The only state is the contingency table, int64 (P, R), so batches and ranks add up exactly, in any shares. (Matching
    within each batch would give each its own best matching, and too good a score.)

    Args:
        clusters: P, the most clusters that can occur.
        classes: R, the most classes.
        ignore: label of the points to leave out, in either.
        alpha: weight of false negatives in the Tversky index.
        beta: weight of false positives.

    Raises:
        ValueError: for fewer than one cluster or class.

    >>> metric = ClusterAgreement(clusters=2, classes=2)
    >>> metric.update(torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 1]))
    >>> round(float(metric.compute()["macro_f1"]), 4), metric.agreement().match_P.tolist()
    (0.7333, [1, 0])
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    table: Tensor

    def __init__(self, clusters: int, classes: int, *, ignore: int = -1, alpha: float = 0.7, beta: float = 0.3) -> None:
        super().__init__()
        if clusters < 1 or classes < 1:
            raise ValueError(f"expected at least one cluster and one class, got {clusters} and {classes}")
        self.ignore, self.alpha, self.beta = ignore, alpha, beta
        self.add_state("table", torch.zeros(clusters, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, reference: Tensor, mask: Tensor | None = None) -> None:
        """Count points.

        Args:
            predicted: integer cluster numbers from 0 to P - 1 or `ignore`, any shape.
            reference: integer classes from 0 to R - 1 or `ignore`, same shape.
            mask: bool, same shape; only points where it is true count.

        Raises:
            ValueError: shapes that differ, or a label outside the table.
        """
        if mask is not None:
            if mask.shape != predicted.shape or predicted.shape != reference.shape:
                raise ValueError(
                    f"expected predicted, reference and mask of one shape, got {tuple(predicted.shape)}, "
                    f"{tuple(reference.shape)} and {tuple(mask.shape)}"
                )
            predicted, reference = predicted[mask.bool()], reference[mask.bool()]
        self.table += count_pairs(predicted, reference, *self.table.shape, ignore=self.ignore)

    def compute(self) -> dict[str, Tensor]:
        """Every single number of `Agreement.scalars`, to be logged.

        Raises:
            ValueError: no point was counted.
        """
        scalars = score_agreement(self.table, alpha=self.alpha, beta=self.beta).scalars()
        return {name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in scalars.items()}

    def agreement(self) -> Agreement:
        """All scores of every class, the matching and the confusion matrix, over all ranks.

        With several processes each must call it, as `compute`.
        """
        with self.sync_context():
            return score_agreement(self.table.clone(), alpha=self.alpha, beta=self.beta)
