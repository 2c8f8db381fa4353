"""How much one partition tells of another, without matching their labels: entropies and purity.

Shapes: P predicted clusters, R reference classes. Definitions: Rosenberg & Hirschberg 2007 (V-measure); values are
those of scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

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
