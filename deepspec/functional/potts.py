"""A prior that neighbours are alike: the mean-field Potts model on an image of memberships.

Shapes: K clusters, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 20
"""Damped steps of the mean field."""


@torch.no_grad()
def potts_memberships(scores_KHW: Tensor, valid_HW: Tensor, strength: float) -> Tensor:
    """Memberships under a Potts prior over the eight neighbours of each pixel, by mean-field iteration.

    With q_i the memberships of pixel i and s_i its log probabilities, q_i is proportional to exp(s_i + strength x sum
    of q_j over its neighbours j); each step goes half the way (Zhang, Modestino & Langan 1994).

    Args:
        scores_KHW: float, logarithm of each cluster's probability, up to a number for each pixel.
        valid_HW: bool; other pixels have no memberships, and no say in those of their neighbours.
        strength: beta, 0 to 1; 0 leaves every pixel on its own.

    Returns:
        (K, H, W), adding up to 1 over the clusters, 0 where a pixel is not valid.
    """
    scores_KHW = scores_KHW.where(valid_HW, 0)
    memberships_KHW: Tensor = scores_KHW.softmax(0) * valid_HW
    if strength == 0 or len(scores_KHW) == 1:
        return memberships_KHW
    for _ in range(STEPS):
        around_KHW = torch.nn.functional.avg_pool2d(
            memberships_KHW[None], 3, stride=1, padding=1, count_include_pad=True, divisor_override=1
        )[0]
        around_KHW -= memberships_KHW
        pulled_KHW = torch.softmax(scores_KHW + strength * around_KHW, 0) * valid_HW
        memberships_KHW = (memberships_KHW + pulled_KHW) / 2
    return memberships_KHW
