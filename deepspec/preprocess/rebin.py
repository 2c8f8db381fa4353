"""Fewer, wider channels.

N spectra, C channels in, B bins out, J channels that touch one bin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from deepspec.errors import UserError
from deepspec.preprocess.step import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

# Up to here adding J strided views beats torch's sum over a short last dimension (8 times at J = 2, equal at 8).
FEW_CHANNELS = 8


class Rebin(Step):
    """Put C channels into B bins of equal width; a channel across an edge is shared out in proportion to its overlap.

    That is linear interpolation of the cumulative spectrum at the bins' edges, so counts are conserved for any ratio
    C / B; it is summed bin by bin, because differences of float32 cumulative sums lose small bins beside large ones.

    Args:
        channels: number of channels C.
        bins: number of bins B, from 1 to C.
        at_most: spectra of fewer channels than `bins` are no mistake and stay as they are: B is then C.
        mode: `sum` adds (counts stay counts); `mean` averages over the bin's width (a flux density stays one); `paper`
            is the published code of Bombini et al. (2024): sums of C // B whole channels, and what is left at the
            end is dropped (of 3000 channels in 1024 bins, those from 2048 on).
    """

    index_JB: Tensor
    weight_JB: Tensor

    def __init__(
        self, channels: int, bins: int, mode: Literal["sum", "mean", "paper"] = "sum", at_most: bool = False
    ) -> None:
        super().__init__(channels)
        if not isinstance(at_most, bool):
            raise UserError(f"rebin: at_most must be true or false; got {at_most!r}")
        if at_most and isinstance(bins, int):
            bins = min(bins, channels)
        if not isinstance(bins, int) or not 1 <= bins <= channels:
            raise UserError(
                f"rebin: bins must be an integer from 1 to the {channels} channels; got {bins!r}"
                + ("; at_most: true leaves fewer as they are" if isinstance(bins, int) and bins > 1 else "")
            )
        if mode not in ("sum", "mean", "paper"):
            raise UserError(f"rebin: mode must be one of sum, mean, paper; got {mode!r}")
        self.channels_out = bins
        self.mode = mode
        self.whole = mode == "paper" or channels % bins == 0
        self.factor = channels // bins
        index_JB, weight_JB = overlaps(self.factor * bins if self.whole else channels, bins)
        # The tables follow from the arguments, so they move with the module but stay out of the checkpoint.
        self.register_buffer("index_JB", torch.from_numpy(index_JB), persistent=False)
        self.register_buffer("weight_JB", torch.from_numpy(weight_JB).to(torch.float32), persistent=False)

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Spectra (N, B)."""
        if self.channels_out == self.channels_in:
            return x_NC
        y_NB = self._sum_whole(x_NC) if self.whole else self._sum_shared(x_NC)
        return y_NB.mul_(self.channels_out / self.channels_in) if self.mode == "mean" else y_NB

    def _sum_whole(self, x_NC: Tensor) -> Tensor:
        if self.factor == 1:
            return x_NC[:, : self.channels_out].clone()  # a view would let the next step overwrite the caller's data
        x_NBJ = x_NC[:, : self.factor * self.channels_out].view(-1, self.channels_out, self.factor)
        if self.factor > FEW_CHANNELS:
            return x_NBJ.sum(2)
        y_NB: Tensor = x_NBJ[..., 0] + x_NBJ[..., 1]
        for j in range(2, self.factor):
            y_NB += x_NBJ[..., j]
        return y_NB

    def _sum_shared(self, x_NC: Tensor) -> Tensor:
        y_NB: Tensor = x_NC.index_select(1, self.index_JB[0]) * self.weight_JB[0]
        for index_B, weight_B in zip(self.index_JB[1:], self.weight_JB[1:], strict=True):
            y_NB.addcmul_(x_NC.index_select(1, index_B), weight_B)
        return y_NB

    def axis(self, values_C: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of the channels' values in each bin, weighted by their overlap with it: the bin's centre."""
        used = self.factor * self.channels_out if self.whole else self.channels_in
        index_JB, weight_JB = overlaps(used, self.channels_out)
        centres_B: NDArray[np.float64] = (values_C[index_JB] * weight_JB).sum(0) / weight_JB.sum(0)
        return centres_B


def overlaps(channels: int, bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which channels each bin covers and how much of each.

    Returns:
        `index_JB`, channel numbers, and `weight_JB`, the overlap in 0..1; rows beyond a bin's own channels repeat a
        channel with weight 0. The weights of a bin add up to channels / bins, those of a channel over all bins to 1.
    """
    # In units of 1 / bins of a channel all edges are integers: bin b is [bC, (b+1)C), channel c is [cB, (c+1)B).
    start_B = np.arange(bins, dtype=np.int64) * channels
    last_B = (start_B + channels - 1) // bins
    most = int((last_B - start_B // bins).max()) + 1
    channel_JB = start_B // bins + np.arange(most)[:, None]
    overlap_JB = np.minimum(start_B + channels, (channel_JB + 1) * bins) - np.maximum(start_B, channel_JB * bins)
    return np.minimum(channel_JB, channels - 1), overlap_JB.clip(min=0) / bins
