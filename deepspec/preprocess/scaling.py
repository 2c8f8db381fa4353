"""Shift and scale each channel by statistics of a training sample, or each spectrum by its own quartiles.

A channel becomes `(x - offset_C) / scale_C`; both are buffers and travel with the checkpoint. `QuantileTanh` brings the
logarithm of a spectrum into -1..1 by the spectrum's quartiles.

Shapes: N spectra, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch

from deepspec.errors import UserError
from deepspec.preprocess.step import Step, Undo

if TYPE_CHECKING:
    from torch import Tensor


BLOCK_ROWS = 4096  # spectra turned to float64 at a time

# A deviation below this part of the channel's mean is rounding of float32 (6e-8), not a signal to blow up.
CONSTANT = 1e-6


class _Affine(Step):
    """Base of the two scalings below: everything but how the statistics come about."""

    needs_fit: ClassVar[bool] = True
    undo: ClassVar[Undo] = "exact"
    by_channel: ClassVar[bool] = True
    offset_C: Tensor
    scale_C: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("offset_C", torch.zeros(channels))
        self.register_buffer("scale_C", torch.ones(channels))

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """(x - offset) / scale."""
        y_NC = x_NC.sub_(self.offset_C) if own else x_NC - self.offset_C
        return y_NC.div_(self.scale_C)

    def inverse(self, y_NC: Tensor) -> Tensor:
        """Undo both: offset + scale * y."""
        return torch.addcmul(self.offset_C, y_NC, self.scale_C)


class Standard(_Affine):
    """Zero mean per channel and unit variance, of each channel or of all channels together.

    Args:
        channels: number of channels C.
        scale: `channel` divides each channel by its own deviation, which makes noise of empty channels as large as
            a peak; `global` divides all by one number, the root mean square of all channels' deviations.
        centre: whether to subtract the channels' means. The deviation is about the mean in any case.

    A channel that is constant in the sample is centred and not scaled.
    """

    def __init__(self, channels: int, scale: Literal["global", "channel"] = "global", centre: bool = True) -> None:
        super().__init__(channels)
        if scale not in ("global", "channel"):
            raise UserError(f"standard: scale must be global or channel; got {scale!r}")
        if not isinstance(centre, bool):
            raise UserError(f"standard: centre must be true or false; got {centre!r}")
        self.scale = scale
        self.centre = centre

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """Mean and deviation (divided by N, as scikit-learn does), summed in float64, in two passes."""
        blocks = torch.split(x_NC, BLOCK_ROWS)
        mean_C = torch.stack([block.double().sum(0) for block in blocks]).sum(0) / len(x_NC)
        squares = [(block.double() - mean_C).square_().sum(0) for block in blocks]
        variance_C = torch.stack(squares).sum(0) / len(x_NC)
        variance_C.masked_fill_(variance_C <= (CONSTANT * mean_C).square(), 0)
        if self.scale == "global":
            variance_C = variance_C.mean().expand_as(mean_C)
        self.scale_C.copy_(variance_C.sqrt().masked_fill(variance_C == 0, 1))
        if self.centre:
            self.offset_C.copy_(mean_C)


class MinMax(_Affine):
    """Bring each channel's values in the sample to 0..1; other spectra may fall outside.

    A channel that is constant in the sample becomes 0 there and is not scaled.
    """

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """Least and largest value of each channel."""
        low_C, high_C = x_NC.aminmax(dim=0)
        self.offset_C.copy_(low_C)
        self.scale_C.copy_((high_C - low_C).masked_fill(high_C == low_C, 1))


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
