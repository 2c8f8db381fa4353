"""Less noise from channel to channel, at the price of resolution; and the background under the peaks, taken away.

Shapes: N spectra, C channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch.nn.functional as F

from deepspec.errors import UserError
from deepspec.preprocess.step import Step

if TYPE_CHECKING:
    from torch import Tensor


TRUNCATE = 4.0  # a Gaussian ends here, in units of sigma, as in scipy.ndimage


class Smooth(Step):
    """Moving average or Gaussian along the channels; give either `width` or `sigma`.

    Spectra are mirrored at both ends about the end channels' centres (scipy's `mode="mirror"`).

    Args:
        channels: number of channels C.
        width: channels in the moving average, an odd number.
        sigma: standard deviation of the Gaussian in channels, above 0.
    """

    def __init__(self, channels: int, width: int | None = None, sigma: float | None = None) -> None:
        super().__init__(channels)
        if (width is None) == (sigma is None):
            raise UserError(f"smooth: give either width or sigma; got width={width}, sigma={sigma}")
        if sigma is not None:
            if not sigma > 0 or not math.isfinite(sigma):
                raise UserError(f"smooth: sigma must be above 0 channels; got {sigma}")
            radius = max(1, math.floor(TRUNCATE * sigma + 0.5))
            kernel = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
        else:
            if not isinstance(width, int) or width < 1 or width % 2 == 0:
                raise UserError(f"smooth: width must be an odd number of channels; got {width!r}")
            radius = width // 2
            kernel = [1.0] * width
        if radius >= channels:
            raise UserError(f"smooth: reaches over {radius} channels to each side; spectra have only {channels}")
        self.radius = radius
        self.kernel = [value / sum(kernel) for value in kernel]

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Smoothed spectra (N, C), in a new tensor."""
        # Adding shifted views is twice as fast as conv1d with one channel, and autocast leaves it in float32.
        padded = F.pad(x_NC[:, None], (self.radius, self.radius), mode="reflect")[:, 0]
        y_NC = padded[:, : self.channels_in] * self.kernel[0]
        for shift, weight in enumerate(self.kernel[1:], start=1):
            y_NC.add_(padded[:, shift : shift + self.channels_in], alpha=weight)
        return y_NC


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
