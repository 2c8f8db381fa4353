"""Functions of each value alone: clipping, and transforms that even out the noise of counts.

N spectra, C channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from deepspec.errors import UserError
from deepspec.preprocess.step import Step, Undo

if TYPE_CHECKING:
    from torch import Tensor


class Clip(Step):
    """Raise values below `min` to it; NaN stays NaN.

    Args:
        channels: number of channels C.
        min: the smallest value let through.
    """

    def __init__(self, channels: int, min: float = 0.0) -> None:
        super().__init__(channels)
        if isinstance(min, bool) or not isinstance(min, (int, float)) or not math.isfinite(min):
            raise UserError(f"clip: min must be a finite number; got {min!r}")
        self.min = min

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """max(x, min)."""
        return x_NC.clamp_min_(self.min) if own else x_NC.clamp_min(self.min)


class Log1p(Step):
    """log(1 + x), for values above -1: compresses strong peaks and keeps zero at zero."""

    undo: ClassVar[Undo] = "exact"

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """log(1 + x)."""
        return x_NC.log1p_() if own else x_NC.log1p()

    def inverse(self, y_NC: Tensor) -> Tensor:
        """exp(y) - 1."""
        return y_NC.expm1()


class Sqrt(Step):
    """Square root, for values of at least 0: counts with Poisson noise get a variance of about 1/4."""

    undo: ClassVar[Undo] = "proportional"

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """sqrt(x)."""
        return x_NC.sqrt_() if own else x_NC.sqrt()

    def inverse(self, y_NC: Tensor) -> Tensor:
        """y^2; negative y, which no square root gives but a network may, count as 0."""
        return y_NC.clamp_min(0).square()


class Anscombe(Step):
    """2 sqrt(x + 3/8), for values of at least -3/8: Poisson counts above about 4 get a variance of 1.

    Anscombe (1948), Biometrika 35, 246.
    """

    undo: ClassVar[Undo] = "exact"

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """2 sqrt(x + 3/8)."""
        y_NC = x_NC.mul_(4) if own else x_NC * 4
        return y_NC.add_(1.5).sqrt_()

    def inverse(self, y_NC: Tensor) -> Tensor:
        """(y / 2)^2 - 3/8, the algebraic inverse; negative y count as 0."""
        return (y_NC.clamp_min(0) / 2).square() - 0.375
