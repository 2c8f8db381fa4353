"""Minimum noise fractions: the directions in which spectra vary most against their noise.

N spectra, C channels, D components, M spectra in pairs of neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import scipy.linalg
import torch

from deepspec.errors import UserError
from deepspec.preprocess.moments import covariance_about, mean_of, signed
from deepspec.preprocess.pca import count_of, note_on
from deepspec.preprocess.step import Step, Undo

if TYPE_CHECKING:
    from torch import Tensor

RIDGE = 1e-6
"""Part of the mean noise variance that is added to that of every channel: a channel without noise, such as one that is
constant, would otherwise have an infinite ratio of signal to noise."""


class MNF(Step):
    """Scores on the directions of the largest ratio of variance to noise variance.

    Green, Berman, Switzer and Craig (1988), IEEE Trans. Geosci. Remote Sens. 26, 65. Neighbouring pixels mostly show
    the same material, so half of the covariance of their differences is that of the noise, S_n; with the covariance S
    of the spectra, S v = lambda S_n v and v' S_n v = 1. The score (x - mean)' v has noise of variance 1 and a variance
    of lambda; it is multiplied by lambda^(-whiten / 2), so that its variance is lambda^(1 - whiten).

    Args:
        channels: number of channels C.
        components: D; where the spectra have fewer channels, that many. A sample of S spectra has S - 1 at most and
            may have fewer: the scores on those that it lacks are 0, and `note` says so.
        whiten: 0 leaves the scores in units of their noise, 1 gives all of them the same variance.
    """

    needs_fit: ClassVar[bool] = True
    undo: ClassVar[Undo] = "exact"
    by_channel: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    mean_C: Tensor
    axes_DC: Tensor
    inverse_DC: Tensor
    needs_neighbours = True

    def __init__(self, channels: int, components: int = 12, whiten: float = 0.5) -> None:
        super().__init__(channels)
        self.channels_out = count_of("mnf", components, channels)
        if isinstance(whiten, bool) or not isinstance(whiten, (int, float)) or not 0 <= whiten <= 1:
            raise UserError(f"mnf: whiten must be from 0 to 1; got {whiten!r}")
        self.wanted, self.whiten = components, whiten
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("axes_DC", torch.zeros(self.channels_out, channels))
        self.register_buffer("inverse_DC", torch.zeros(self.channels_out, channels))

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Scores (N, D)."""
        return (x_NC.sub_(self.mean_C) if own else x_NC - self.mean_C) @ self.axes_DC.T

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """Mean, directions and their pseudo-inverse, in float64.

        Raises:
            UserError: there are no neighbours, or they do not differ, so that there is no noise to measure.
        """
        if neighbours_MC is None or len(neighbours_MC) < 2:
            raise UserError("mnf: expected pairs of neighbouring pixels to measure the noise on; got none")
        noise_CC = noise_covariance(neighbours_MC)
        level = noise_CC.trace() / len(noise_CC)
        if level == 0:
            raise UserError(
                f"mnf: the {len(neighbours_MC) // 2} pairs of neighbouring pixels are equal: no noise to see"
            )
        noise_CC += RIDGE * level * np.eye(len(noise_CC))
        mean_C = mean_of(x_NC)
        size = self.channels_in
        ratio_D, vectors_CD = scipy.linalg.eigh(
            covariance_about(x_NC, mean_C), noise_CC, subset_by_index=[size - self.channels_out, size - 1]
        )
        ratio_D, vectors_DC = ratio_D[::-1], signed(vectors_CD[:, ::-1].T)
        there_D = (ratio_D > 1e-12 * ratio_D[0]) & (np.arange(self.channels_out) < len(x_NC) - 1)
        weights_D = np.where(there_D, np.where(there_D, ratio_D, 1) ** (-self.whiten / 2), 0)
        axes_DC = weights_D[:, None] * vectors_DC
        self.mean_C.copy_(torch.from_numpy(mean_C))
        self.axes_DC.copy_(torch.from_numpy(axes_DC))
        self.inverse_DC.copy_(torch.from_numpy(np.linalg.pinv(axes_DC).T))
        self.note = note_on("mnf", self.wanted, int(there_D.sum()), len(x_NC), self.channels_in)

    def inverse(self, y_NC: Tensor) -> Tensor:
        """Mean plus scores times the pseudo-inverse of the directions, (N, C): the least spectrum with these scores."""
        return torch.addmm(self.mean_C, y_NC, self.inverse_DC)


def noise_covariance(neighbours_MC: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(C, C) half of the mean product of the differences between neighbours, rows 2i and 2i + 1."""
    difference_MC = neighbours_MC[::2].double() - neighbours_MC[1::2].double()
    return covariance_about(difference_MC, np.zeros(neighbours_MC.shape[1])) / 2
