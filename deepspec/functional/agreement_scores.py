"""Every score of agreement between a segmentation and a reference, from one contingency table and one matching.

Some need no matching: how much one partition tells of another, by entropies (V-measure, Rosenberg & Hirschberg 2007;
values are those of scikit-learn) and purity. The others go class by class, once each class has the cluster that the
matching gives it.

Shapes: P predicted clusters, R reference classes, U clusters that no class is left for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from deepspec.functional.agreement import adjusted_rand_index, match_labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SharedInformation:
    """Shares of the information of two partitions that they have in common, each in [0, 1]."""

    homogeneity: float
    """1 when every cluster holds one class only; 1 as well when there is one class."""
    completeness: float
    """1 when every class lies in one cluster only; 1 as well when there is one cluster."""
    nmi: float
    """Mutual information over the arithmetic mean of the two entropies (scikit-learn's default)."""
    v_measure: float
    """Harmonic mean of homogeneity and completeness, which is the same number as `nmi`; both names are in use."""


def shared_information(table_PR: Tensor) -> SharedInformation:
    """Normalised mutual information, homogeneity, completeness and V-measure.

    Args:
        table_PR: (P, R) contingency table with at least one point.

    Raises:
        ValueError: the table holds no point.

    >>> shared_information(torch.tensor([[5, 0], [0, 2], [0, 3]])).homogeneity
    1.0
    """
    joint = _shares(table_PR)
    predicted_P, reference_R = joint.sum(1), joint.sum(0)
    entropy_p, entropy_r = _entropy(predicted_P), _entropy(reference_R)
    mutual = max(0.0, entropy_p + entropy_r - _entropy(joint.flatten()))
    # Two trivial partitions share all the nothing that they have.
    homogeneity = min(1.0, mutual / entropy_r) if entropy_r > 0 else 1.0
    completeness = min(1.0, mutual / entropy_p) if entropy_p > 0 else 1.0
    total = homogeneity + completeness
    v = 2 * homogeneity * completeness / total if total > 0 else 0.0
    return SharedInformation(homogeneity, completeness, v, v)


def purity(table_PR: Tensor) -> float:
    """Share of the points that belong to the most frequent class of their cluster, many clusters to one class allowed.

    Args:
        table_PR: (P, R) contingency table with at least one point.

    Raises:
        ValueError: the table holds no point.

    >>> purity(torch.tensor([[5, 1], [2, 0]]))
    0.875
    """
    return float(_shares(table_PR).amax(1).sum())


def _shares(table_PR: Tensor) -> Tensor:
    n = int(table_PR.sum())
    if table_PR.ndim != 2 or n == 0:
        raise ValueError(f"expected a (P, R) table with points in it, got shape {tuple(table_PR.shape)}, {n} points")
    return table_PR.to(torch.float64) / n


def _entropy(shares: Tensor) -> float:
    """In nats; exactly 0 where everything is in one place."""
    return float(-torch.special.xlogy(shares, shares).sum()) + 0.0


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
