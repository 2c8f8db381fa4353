"""The logarithm, with a floor that the training sample sets.

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


class Log(Step):
    """log(max(x, floor)): ratios become differences, and what is no signal any more does not run to minus infinity.

    The floor is a quantile of all positive values of the training sample. Zero and negative values have no logarithm
    and do not enter it, so that a scene with blank channels has the floor of its others; they become log(floor).

    Args:
        channels: number of channels C.
        quantile: share of the positive values below the floor, at least 0 and below 1.
    """

    needs_fit: ClassVar[bool] = True
    undo: ClassVar[Undo] = "exact"
    floor: Tensor

    def __init__(self, channels: int, quantile: float = 0.005) -> None:
        super().__init__(channels)
        if isinstance(quantile, bool) or not isinstance(quantile, (int, float)) or not 0 <= quantile < 1:
            raise UserError(f"log: quantile must be at least 0 and below 1; got {quantile!r}")
        self.quantile = quantile
        self.register_buffer("floor", torch.tensor(1.0))

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """log(max(x, floor))."""
        y_NC = x_NC.clamp_min_(self.floor) if own else x_NC.clamp_min(self.floor)
        return y_NC.log_()

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """The quantile, interpolated linearly.

        Raises:
            UserError: no value is positive.
        """
        positive = x_NC[x_NC > 0].cpu().numpy()
        if len(positive) == 0:
            raise UserError(f"log: expected positive values, got none: the largest is {x_NC.max().item():.6g}")
        self.floor.fill_(float(np.quantile(positive, self.quantile)))

    def inverse(self, y_NC: Tensor) -> Tensor:
        """exp(y): the values themselves where they were above the floor."""
        return y_NC.exp()
