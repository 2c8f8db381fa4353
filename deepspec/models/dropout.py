"""Dropout for ReLU and SELU networks that costs half of torch's on a CPU.

Of a training step of the published XRF network (batches of 512 spectra on two CPU cores) torch's dropout takes a
third, nearly all of it to draw one random float per node. 16 random bits per node are enough, and four of them come
out of one draw.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# SELU's value at minus infinity, -lambda * alpha: alpha dropout sets nodes to it (Klambauer et al. 2017, section 3).
SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772

STEPS = 2**16  # a probability is a multiple of 1 / STEPS


class Dropout(nn.Module):
    """Set nodes to a fixed value at random in training, then scale and shift all; identity in evaluation.

    Alpha dropout (`floor=SELU_FLOOR`) keeps zero mean and unit variance: with q = 1 - p, every node becomes
    a * node + b with a = (q + floor^2 q p)^(-1/2) and b = -a p floor (Klambauer et al. 2017, section 3).
    Standard dropout (`floor=0`) keeps the mean: a = 1 / q and b = 0. Random numbers come from torch's default
    generator.

    Args:
        p: probability of a node to be dropped, above 0 and below 1; rounded to a multiple of 1/65536.
        floor: the value of a dropped node before scaling, 0 or `SELU_FLOOR`.

    Raises:
        ValueError: `p` is out of range.
    """

    def __init__(self, p: float, floor: float = 0.0) -> None:
        super().__init__()
        self.threshold = round(p * STEPS)
        if not 0 < self.threshold < STEPS:
            raise ValueError(f"dropout needs a probability above 0 and below 1; got {p}")
        self.p = self.threshold / STEPS
        self.floor = floor
        q = 1 - self.p
        self.scale = (q + floor**2 * q * self.p) ** -0.5 if floor else 1 / q
        self.shift = -self.scale * self.p * floor

    def forward(self, x: Tensor) -> Tensor:
        """`x` of any shape and float type, with nodes dropped if the module is in training mode."""
        if not self.training:
            return x
        # kept: scale * x + shift; dropped: scale * floor + shift
        kept = self._keep(x).to(x.dtype).mul_(self.scale)
        if not self.floor:
            return x * kept
        dropped = kept.mul(-self.floor).add_(self.scale * self.floor + self.shift)
        return torch.addcmul(dropped, x, kept)

    def _keep(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":  # accelerators draw floats as fast as anything
            return torch.rand(x.shape, device=x.device) >= self.p
        draws = torch.randint(-(2**63), 2**63 - 1, ((x.numel() + 3) // 4,))  # int64, all bits random
        return draws.view(torch.int16)[: x.numel()].view(x.shape) >= self.threshold - STEPS // 2

    def extra_repr(self) -> str:
        """The probability, and which dropout it is."""
        return f"p={self.p:.4g}, {'alpha' if self.floor else 'standard'}"
