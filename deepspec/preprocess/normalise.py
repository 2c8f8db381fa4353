"""One factor per spectrum, which takes the total intensity out and leaves the shape.

A spectrum whose maximum, area or length is not above 0 has no shape to show and becomes zeros. The factor is not kept,
so an inverse can only give relative intensities. `Dose` scales to the level of the training: the same for every
spectrum.

Shapes: N spectra, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from deepspec.errors import UserError
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


class Dose(Step):
    """Multiply each spectrum so that its sum is the median sum of the training spectra.

    How long a pixel was measured, how strong the tube was and how much of the object lay under the beam change all
    counts alike. The sum of the counts stands for that, so the network sees the same level at any exposure: y = x t / s
    with the spectrum's own sum s and the training's median t. Unlike `area`, what comes out is still as large as counts
    are, so that a square root after it evens out the noise of a spectrum of the median dose. A spectrum with fewer
    counts is as large, and noisier.

    A spectrum whose sum is not above 0 becomes zeros. The sums are not kept, so decoded spectra are relative; their
    level is that of the median dose.

    Args:
        channels: number of channels C.
    """

    needs_fit: ClassVar[bool] = True
    undo: ClassVar[Undo] = "scale is lost"
    level: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("level", torch.ones(()))

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Spectra x t / s."""
        return divide(x_NC, x_NC.sum(1, keepdim=True) / self.level, own)

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """The median of the sums that are above 0, of two in the middle their mean.

        Raises:
            UserError: no sum is above 0.
        """
        sum_N = x_NC.double().sum(1)
        sum_N = sum_N[sum_N > 0]
        if len(sum_N) == 0:
            raise UserError(f"dose: expected spectra with counts; the sums of all {len(x_NC)} are 0 or below")
        self.level.fill_(float(np.median(sum_N.cpu().numpy())))
