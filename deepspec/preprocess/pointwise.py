"""Functions of each value alone: clipping, transforms that even out the noise of counts, and a logarithm.

The logarithm has a floor, which the training sample sets.

Shapes: N spectra, C channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch

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
    """Square root, for values of at least 0: counts with Poisson noise get a variance of about 1/4.

    A network that gives the mean root of many noisy spectra does not give the root of their mean: of counts of mean 0.1
    the mean root is 0.097, whose square is a tenth of what was measured. With `inverse: poisson` what is undone is the
    mean root of Poisson counts, and weak lines come back as strong as they are. So Maekitalo and Foi (2011), IEEE
    Trans. Image Process. 20, 99, undo the Anscombe transform.

    Args:
        channels: number of channels C.
        inverse: `square` undoes the root of each value; `poisson` gives the mean of the Poisson counts whose mean root
            the value is: for what a decoder or a few principal components give of counts. Single noisy spectra that
            nothing has smoothed come back too large by it.
    """

    undo: ClassVar[Undo] = "proportional"

    def __init__(self, channels: int, inverse: Literal["square", "poisson"] = "square") -> None:
        super().__init__(channels)
        if inverse not in ("square", "poisson"):
            raise UserError(f"sqrt: inverse must be square or poisson; got {inverse!r}")
        self._of_mean_roots = inverse == "poisson"
        if self._of_mean_roots:
            self.undo = "exact"  # type: ignore[misc]  # wants the roots of counts, not of something proportional

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """sqrt(x)."""
        return x_NC.sqrt_() if own else x_NC.sqrt()

    def inverse(self, y_NC: Tensor) -> Tensor:
        """y^2, or the mean of counts; negative y, which no square root gives but a network may, count as 0."""
        y_NC = y_NC.clamp_min(0)
        return poisson_mean(y_NC) if self._of_mean_roots else y_NC.square()


def poisson_mean(root: Tensor) -> Tensor:
    """The mean m of Poisson counts n whose mean root E sqrt(n) is given, at least 0.

    m = y^2 + y (1 - a y + b y^2) / (1 + c y + d y^2 + 4 b y^3), which has the right limits, m = y for small and
    m = y^2 + 1/4 for large means. Its four numbers were fitted to the sums sqrt(k) exp(-m) m^k / k! for m from 1e-5 to
    900; m is right to 0.3 %.
    """
    b = 0.13057
    above = _polynomial(root, b, -0.23326, 1)
    below = _polynomial(root, 4 * b, 0.16935, 0.50328, 1)
    if root.requires_grad:
        return (above / below + root) * root
    return above.div_(below).add_(root).mul_(root)


def _polynomial(x: Tensor, *coefficients: float) -> Tensor:
    """Value at x of the polynomial with these coefficients, the last of which is of x^0 (Horner's rule).

    In place where no gradient is asked for: a decoded cube is large, and new memory takes four times as long.
    """
    times = torch.Tensor.mul if x.requires_grad else torch.Tensor.mul_
    value = x * coefficients[0]
    for coefficient in coefficients[1:-1]:
        value = times(value.add_(coefficient), x)
    return value.add_(coefficients[-1])


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
