"""One factor per spectrum, which takes the total intensity out and leaves the shape.

N spectra, C channels. A spectrum whose maximum, area or length is not above 0 has no shape to show and becomes zeros.
The factor is not kept, so an inverse can only give relative intensities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from deepspec.preprocess.step import Step, Undo

if TYPE_CHECKING:
    from torch import Tensor


class Max(Step):
    """Divide each spectrum by its maximum: the values of non-negative spectra come into 0..1."""

    undo: ClassVar[Undo] = "scale is lost"

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Spectra over their maxima, x / max(x)."""
        return divide(x_NC, x_NC.amax(1, keepdim=True), own)


class Area(Step):
    """Divide each spectrum by its sum. Clip noisy spectra first: a sum of noise about zero may be tiny."""

    undo: ClassVar[Undo] = "scale is lost"

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Spectra over their sums, x / sum(x)."""
        return divide(x_NC, x_NC.sum(1, keepdim=True), own)


class Unit(Step):
    """Divide each spectrum by its Euclidean length, so that distances depend on the spectral angle alone."""

    undo: ClassVar[Undo] = "scale is lost"

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Spectra over their lengths, x / |x|."""
        return divide(x_NC, x_NC.norm(dim=1, keepdim=True), own)


def divide(x_NC: Tensor, size_N1: Tensor, own: bool) -> Tensor:
    """Spectra over their sizes (N, 1), in place where `own`; those whose size is not above 0 become zeros."""
    # x / inf is 0, and its gradient too; multiplying by 1 / size would overflow for sizes below 1e-38
    size_N1 = size_N1.masked_fill(size_N1 <= 0, float("inf"))
    return x_NC.div_(size_N1) if own else x_NC / size_N1
