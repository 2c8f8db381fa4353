"""Which cluster has which number.

Shapes: N points, L latent dimensions, K clusters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepspec.functional import contingency_table, match_labels


def canonical_order(labels_N: Tensor, centres_KL: Tensor) -> Tensor:
    """Indices (K,), on the CPU, that sort clusters by falling size, and equally large ones by their centres.

    >>> canonical_order(torch.tensor([1, 1, 0, 2, 2]), torch.tensor([[0.0], [9.0], [5.0]])).tolist()
    [2, 1, 0]
    """
    sizes = torch.bincount(labels_N[labels_N >= 0], minlength=len(centres_KL)).tolist()
    keys = [(-size, centre) for size, centre in zip(sizes, centres_KL.tolist(), strict=True)]
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))


def numbering(labels_N: Tensor, before_N: Tensor, k: int) -> Tensor:
    """New number of each of k clusters: that of the earlier cluster it shares most points with.

    Clusters without a partner get the numbers left over, in order; numbers are 0 to k - 1.

    >>> numbering(torch.tensor([0, 0, 1, 2]), torch.tensor([1, 1, 0, 0]), 3).tolist()
    [1, 0, 2]
    """
    table = contingency_table(labels_N, before_N)
    match = torch.full((k,), -1)
    match[: len(table)] = match_labels(table)
    match[match >= k] = -1
    free = iter(sorted(set(range(k)) - set(match.tolist())))
    return torch.tensor([number if number >= 0 else next(free) for number in match.tolist()])
