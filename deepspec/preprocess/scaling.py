"""Shift and scale each channel by statistics of a training sample.

N spectra, C channels. `(x - offset_C) / scale_C`; both are buffers and travel with the checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

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
