"""Scores on the principal components of a training sample.

N spectra, C channels, D components.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from deepspec.errors import UserError
from deepspec.preprocess.moments import leading_axes, mean_of
from deepspec.preprocess.step import Step, Undo

if TYPE_CHECKING:
    from torch import Tensor


class PCA(Step):
    """Spectra minus their mean, on the orthonormal directions in which the training sample varies most.

    The scores are not scaled: their variances are those of the components. What other directions held is lost, so
    `inverse` gives the nearest spectrum to the mean plus a sum of components.

    Args:
        channels: number of channels C.
        components: D; where the spectra have fewer channels, that many. A sample of S spectra has S - 1 components
            at most and may have fewer: the scores on those that it lacks are 0, and `note` says so.
    """

    needs_fit: ClassVar[bool] = True
    undo: ClassVar[Undo] = "exact"
    by_channel: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    mean_C: Tensor
    axes_DC: Tensor

    def __init__(self, channels: int, components: int = 16) -> None:
        super().__init__(channels)
        self.channels_out = count_of("pca", components, channels)
        self.wanted = components
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("axes_DC", torch.zeros(self.channels_out, channels))

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Scores (N, D)."""
        return (x_NC.sub_(self.mean_C) if own else x_NC - self.mean_C) @ self.axes_DC.T

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """Mean and components, exactly, in float64."""
        mean_C = mean_of(x_NC)
        found = min(self.channels_out, len(x_NC))
        axes_DC = np.zeros((self.channels_out, self.channels_in))
        axes_DC[:found], _ = leading_axes(x_NC, mean_C, found)
        self.mean_C.copy_(torch.from_numpy(mean_C))
        self.axes_DC.copy_(torch.from_numpy(axes_DC))
        self.note = note_on("pca", self.wanted, int(axes_DC.any(1).sum()), len(x_NC), self.channels_in)

    def inverse(self, y_NC: Tensor) -> Tensor:
        """Mean plus scores times components, (N, C)."""
        return torch.addmm(self.mean_C, y_NC, self.axes_DC)


def count_of(step: str, components: int, channels: int) -> int:
    """Number of components that spectra of so many channels can have.

    Raises:
        UserError: `components` is no integer of at least 1.
    """
    if isinstance(components, bool) or not isinstance(components, int) or components < 1:
        raise UserError(f"{step}: components must be an integer of at least 1; got {components!r}")
    return min(components, channels)


def note_on(step: str, wanted: int, found: int, spectra: int, channels: int) -> str:
    """A sentence where a sample has fewer components than were asked for, else an empty text."""
    if found >= wanted:
        return ""
    return f"{step}: {found} of {wanted} components, for the {spectra} spectra of {channels} channels vary in no more"
