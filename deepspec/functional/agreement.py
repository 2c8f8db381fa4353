"""Agreement between two partitions of the same points, from their contingency table.

Shapes: N points, P predicted clusters, R reference classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def contingency_table(predicted_N: Tensor, reference_N: Tensor, *, ignore: int = -1) -> Tensor:
    """Count the points in each pair of predicted cluster and reference class.

    Args:
        predicted_N: (N,) integer labels from 0; `ignore` marks points that have none.
        reference_N: (N,) integer labels from 0; likewise.
        ignore: the label of points to leave out, in either partition.

    Returns:
        (P, R) int64 counts, P and R one more than the largest label.

    Raises:
        ValueError: for shapes that differ, no point left, or a negative label other than `ignore`.
    """
    predicted, reference = _both_labelled(predicted_N, reference_N, ignore)
    if len(predicted) == 0:
        raise ValueError(f"expected at least one point with both labels, got none (ignored label: {ignore})")
    return _count(predicted, reference, int(predicted.max()) + 1, int(reference.max()) + 1, ignore)


def count_pairs(predicted_N: Tensor, reference_N: Tensor, clusters: int, classes: int, *, ignore: int = -1) -> Tensor:
    """The contingency table for known numbers of clusters and classes, so that tables of parts can be added.

    Args:
        predicted_N: as for `contingency_table`.
        reference_N: likewise.
        clusters: P; the labels are below it.
        classes: R; likewise.
        ignore: as for `contingency_table`; here no point need be left.

    Returns:
        (P, R) int64 counts.

    Raises:
        ValueError: for shapes that differ or a label outside the table.
    """
    return _count(*_both_labelled(predicted_N, reference_N, ignore), clusters, classes, ignore)


def _both_labelled(predicted_N: Tensor, reference_N: Tensor, ignore: int) -> tuple[Tensor, Tensor]:
    predicted, reference = predicted_N.flatten().long(), reference_N.flatten().long()
    if predicted.shape != reference.shape:
        raise ValueError(f"expected as many reference labels as predicted ones, {len(predicted)}, got {len(reference)}")
    kept = (predicted != ignore) & (reference != ignore)
    return predicted[kept], reference[kept]


def _count(predicted: Tensor, reference: Tensor, p: int, r: int, ignore: int) -> Tensor:
    for name, labels, size in (("predicted", predicted, p), ("reference", reference, r)):
        if len(labels) and int(labels.min()) < 0:
            raise ValueError(f"{name}: expected labels from 0, got a negative one besides the ignored {ignore}")
        if len(labels) and int(labels.max()) >= size:
            raise ValueError(f"{name}: expected labels below {size}, got {int(labels.max())}")
    return torch.bincount(predicted * r + reference, minlength=p * r).view(p, r)


def match_labels(table_PR: Tensor) -> Tensor:
    """Give each predicted cluster the reference class it shares most points with, one to one (Hungarian matching).

    Args:
        table_PR: (P, R) contingency table; P and R may differ.

    Returns:
        (P,) int64 class of each cluster; -1 for the clusters left over where P > R.

    >>> match_labels(torch.tensor([[0, 5], [4, 1], [1, 1]]))
    tensor([ 1,  0, -1])
    """
    if table_PR.ndim != 2 or table_PR.numel() == 0:
        raise ValueError(f"expected a (P, R) table with P, R >= 1, got shape {tuple(table_PR.shape)}")
    from scipy.optimize import linear_sum_assignment  # here, for it takes half a second to import

    rows, columns = linear_sum_assignment(table_PR.cpu().numpy(), maximize=True)
    match_P = torch.full((len(table_PR),), -1, dtype=torch.int64)
    match_P[torch.from_numpy(rows)] = torch.from_numpy(columns)
    return match_P.to(table_PR.device)


def adjusted_rand_index(table_PR: Tensor) -> float:
    """Adjusted Rand index (Hubert & Arabie 1985): 1 for equal partitions, about 0 for independent ones.

    Args:
        table_PR: (P, R) contingency table of integer counts.

    Returns:
        A number in [-0.5, 1]; 1 when both partitions are trivial in the same way.
    """
    table = table_PR.to(torch.float64)
    n = table.sum()

    def pairs(counts: Tensor) -> Tensor:
        return (counts * (counts - 1) / 2).sum()

    together, rows, columns = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    expected = rows * columns / (n * (n - 1) / 2).clamp(min=1)
    largest = (rows + columns) / 2
    return 1.0 if largest == expected else float((together - expected) / (largest - expected))
