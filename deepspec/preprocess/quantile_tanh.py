"""The logarithm of a spectrum, brought into -1..1 by its own quartiles.

N spectra, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from deepspec.errors import UserError
from deepspec.preprocess.step import Step, Undo

if TYPE_CHECKING:
    from torch import Tensor


class QuantileTanh(Step):
    """log(x / mean(x) + regulator) per spectrum, then Q1 -> -1 and Q3 -> +1 by a line, then tanh.

    The published model's transform. Half of a spectrum's channels come between -tanh 1 and tanh 1, about +-0.76, so
    weak lines count as much as strong ones; total intensity and peak heights are lost. Spectra with Q1 = Q3 (such as
    those with counts in fewer than a quarter of the channels) and spectra without a positive mean become zeros.

    Args:
        channels: number of channels C.
        regulator: what an empty channel has for x / mean(x), above 0. Negative values count as 0.
    """

    undo: ClassVar[Undo] = "not possible"

    def __init__(self, channels: int, regulator: float = 1e-3) -> None:
        super().__init__(channels)
        if not isinstance(regulator, (int, float)) or not 0 < regulator < float("inf"):
            raise UserError(f"quantile_tanh: regulator must be a number above 0; got {regulator!r}")
        self.regulator = regulator
        # A quartile is the value of the nearest rank, from 0; interpolating would cost a second selection for each.
        self.ranks = round(0.25 * (channels - 1)), round(0.75 * (channels - 1))

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Values in -1..1."""
        mean_N1 = x_NC.mean(1, keepdim=True)
        mean_N1 = mean_N1.masked_fill(mean_N1 <= 0, float("inf"))
        if own:
            y_NC = x_NC.div_(mean_N1).clamp_min_(0).add_(self.regulator).log_()
        else:
            y_NC = (x_NC / mean_N1).clamp_min(0).add(self.regulator).log()
        q1_N1, q3_N1 = self._quartiles(y_NC)
        # (y - centre) / half: with an infinite half range, degenerate spectra come out as 0
        half_N1 = (q3_N1 - q1_N1) / 2
        half_N1 = half_N1.masked_fill(half_N1 <= 0, float("inf"))
        return ((y_NC - (q1_N1 + q3_N1) / 2) / half_N1).tanh_()

    def _quartiles(self, y_NC: Tensor) -> list[Tensor]:
        if y_NC.device.type == "cpu" and not y_NC.requires_grad:
            # numpy's vectorised sort of all channels takes a third of the time of torch's two selections
            sorted_NC = torch.from_numpy(np.sort(y_NC.numpy(), axis=1))
            return [sorted_NC[:, rank : rank + 1] for rank in self.ranks]
        return [y_NC.kthvalue(rank + 1, dim=1, keepdim=True).values for rank in self.ranks]
