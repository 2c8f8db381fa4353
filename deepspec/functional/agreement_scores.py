"""Every score of agreement between a segmentation and a reference, from one contingency table and one matching.

Shapes: P predicted clusters, R reference classes, U clusters that no class is left for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from deepspec.functional.agreement import adjusted_rand_index
from deepspec.functional.agreement_information import SharedInformation, purity, shared_information
from deepspec.functional.agreement_matched import (
    MatchedCounts,
    confusion_matrix,
    match_overlapping,
    matched_counts,
    tversky_index,
)

if TYPE_CHECKING:
    from torch import Tensor

# (alpha, beta) of the Tversky index that make it the score of that name.
_AS_TVERSKY = {
    "precision": (0.0, 1.0),
    "recall": (1.0, 0.0),
    "f1": (0.5, 0.5),
    "dice": (0.5, 0.5),
    "iou": (1.0, 1.0),
}

SCORES = ("tversky", "accuracy", *_AS_TVERSKY)
"""Names of the scores that every class has."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of clusters with reference classes, after each class got its cluster by one Hungarian matching."""

    table_PR: Tensor
    """(P, R) int64: points in each pair of cluster and class."""
    match_P: Tensor
    """(P,) int64: class of each cluster; -1 for a cluster that is left over or shares no point with its class."""
    counts: MatchedCounts
    """True and false positives and negatives of every class."""
    confusion: Tensor
    """(R, R + U) int64: class r along row r, its cluster in column r, clusters without a class last."""
    columns: Tensor
    """(R + U,) int64: which cluster each column is, -1 for none."""
    per_class: dict[str, Tensor]
    """Scores (R,) float64 by the names in `SCORES`; NaN for a class without a point, which no mean counts."""
    macro: dict[str, float]
    """Their means, every class alike."""
    weighted: dict[str, float]
    """Their means, each class by its number of points."""
    overall_accuracy: float
    """Share of the points that are in the cluster of their class."""
    ari: float
    """Adjusted Rand index; this one and the next two need no matching."""
    information: SharedInformation
    """NMI, homogeneity, completeness, V-measure."""
    purity: float
    """Share of the points of the most frequent class of their cluster."""
    unmatched_share: float
    """Share of the points in clusters without a class."""
    unfound_share: float
    """Share of the points of classes without a cluster."""

    @property
    def points(self) -> int:
        """Points with both labels."""
        return int(self.table_PR.sum())

    @property
    def normalised_confusion(self) -> Tensor:
        """(R, R + U) float64 shares of the whole population."""
        return self.confusion.double() / self.points

    def scalars(self) -> dict[str, float]:
        """Every single number by name: `macro_f1`, `weighted_tversky`, `ari` and so on."""
        named = {f"macro_{name}": value for name, value in self.macro.items()}
        named |= {f"weighted_{name}": value for name, value in self.weighted.items()}
        return named | {
            "overall_accuracy": self.overall_accuracy,
            "ari": self.ari,
            "nmi": self.information.nmi,
            "v_measure": self.information.v_measure,
            "homogeneity": self.information.homogeneity,
            "completeness": self.information.completeness,
            "purity": self.purity,
            "unmatched_share": self.unmatched_share,
            "unfound_share": self.unfound_share,
        }


def score_agreement(table_PR: Tensor, *, alpha: float = 0.7, beta: float = 0.3) -> Agreement:
    """Match clusters with classes once, and score.

    Per class the scores are scikit-learn's of `reference` against the matched labels with `zero_division=0`: a class
    that no cluster is left for has precision, recall and F1 of 0. A class without a point has NaN and is in no mean.

    Args:
        table_PR: (P, R) contingency table of integer counts; P and R may differ, rows and columns may be empty.
        alpha: weight of false negatives in the Tversky index.
        beta: weight of false positives.

    Raises:
        ValueError: the table holds no point, or a weight is negative.
    """
    information = shared_information(table_PR)  # refuses what is no table
    match_P = match_overlapping(table_PR)
    counts = matched_counts(table_PR, match_P)
    confusion, columns = confusion_matrix(table_PR, match_P)
    n = int(table_PR.sum())
    present_R = counts.support_R > 0
    per_class = {
        name: tversky_index(counts.tp_R, counts.fp_R, counts.fn_R, alpha=a, beta=b)
        for name, (a, b) in {"tversky": (alpha, beta), **_AS_TVERSKY}.items()
    }
    accuracy_R = (counts.tp_R + counts.tn_R).double() / n
    per_class["accuracy"] = torch.where(present_R, accuracy_R, torch.nan)
    per_class = {name: per_class[name] for name in SCORES}
    share_R = counts.support_R[present_R].double() / n
    return Agreement(
        table_PR=table_PR,
        match_P=match_P,
        counts=counts,
        confusion=confusion,
        columns=columns,
        per_class=per_class,
        macro={name: float(score_R[present_R].mean()) for name, score_R in per_class.items()},
        weighted={name: float(score_R[present_R] @ share_R) for name, score_R in per_class.items()},
        overall_accuracy=int(counts.tp_R.sum()) / n,
        ari=adjusted_rand_index(table_PR),
        information=information,
        purity=purity(table_PR),
        unmatched_share=int(table_PR[match_P < 0].sum()) / n,
        unfound_share=int(counts.support_R[columns[: len(present_R)] < 0].sum()) / n,
    )
