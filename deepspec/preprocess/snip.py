"""The background under the peaks of an energy spectrum, taken away.

N spectra, C channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch.nn.functional as F

from deepspec.errors import UserError
from deepspec.preprocess.step import Step

if TYPE_CHECKING:
    from torch import Tensor


class Snip(Step):
    """Subtract the background that SNIP finds (statistics-sensitive non-linear iterative peak clipping).

    Values are compressed by v = log(log(sqrt(x + 1) + 1) + 1). For p = 1, 2, ..., W each v_c is replaced by
    min(v_c, (v_(c-p) + v_(c+p)) / 2), in the channels that have both neighbours at this distance; v is then turned back
    into the background, and the step gives max(x, 0) - background, which is never negative. So a peak goes that is
    narrower than 2 W + 1 channels at its base, and what is wider counts as background. Near the ends the window is only
    as wide as the distance to the end. Negative values are taken as 0.

    Ryan, Clayton, Griffin, Sie and Cousens, Nucl. Instrum. Methods B 34 (1988) 396, without their preceding smoothing:
    put `smooth` before it where counts are few, since the background otherwise follows the lowest channels.

    What was subtracted is not kept: `inverse` leaves spectra net of their background, as `note` says. Put the step
    before any that is not linear, or these undo something else than they did.

    Args:
        channels: number of channels C.
        window: W in channels, at least 1 and less than C / 2. Take the full width of the widest peak, some 25 channels
            of 10 eV, or 7 of 37 eV.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__(channels)
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise UserError(f"snip: window must be a whole number of channels, at least 1; got {window!r}")
        if 2 * window >= channels:
            raise UserError(
                f"snip: window {window} reaches over {2 * window + 1} channels; spectra have only {channels}"
            )
        self.window = window
        self.note = (
            f"snip: the background (window {window} channels) is not kept, so that decoded spectra are net of it; the "
            "mean spectra of the cubes still have it"
        )

    def background(self, x_NC: Tensor) -> Tensor:
        """The background (N, C), at least 0 and at most max(x, 0), but for rounding, in a new tensor."""
        v_NC = (((x_NC.clamp_min(0) + 1).sqrt() + 1).log() + 1).log()
        for p in range(1, self.window + 1):
            inner_NC = (v_NC[:, : -2 * p] + v_NC[:, 2 * p :]).mul_(0.5)
            # A new tensor in every pass: gradients may be wanted, and neighbours must be those of the pass before.
            v_NC = F.pad(inner_NC, (p, p), value=math.inf).minimum(v_NC)
        return ((v_NC.exp() - 1).exp() - 1).square() - 1

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """max(x, 0) - background, at least 0."""
        return (x_NC.clamp_min(0) - self.background(x_NC)).clamp_min_(0)
