"""Projections of spectra onto few components: principal ones, and those of least noise.

Minimum noise fractions are the directions in which spectra vary most against their noise. Means and covariances of the
training sample are summed in float64, a block of spectra at a time.

Shapes: N spectra, C channels, D components, M spectra in pairs of neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import scipy.linalg
import torch

from deepspec.errors import UserError
from deepspec.preprocess.step import Step, Undo

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


BLOCK_ROWS = 4096  # spectra turned to float64 at a time

# Variance below this part of the largest is rounding of float32 values (6e-8, squared) and no direction of the data.
NO_VARIANCE = 1e-14


def mean_of(x_NC: torch.Tensor) -> NDArray[np.float64]:
    """(C,) mean spectrum."""
    total_C = torch.stack([block.double().sum(0) for block in torch.split(x_NC, BLOCK_ROWS)]).sum(0)
    mean_C: NDArray[np.float64] = (total_C / len(x_NC)).cpu().numpy()
    return mean_C


def covariance_about(x_NC: torch.Tensor, mean_C: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, C) mean product of deviations from `mean_C`, divided by N."""
    sum_CC = np.zeros((x_NC.shape[1], x_NC.shape[1]))
    for block in torch.split(x_NC, BLOCK_ROWS):
        d_nC = block.double().cpu().numpy() - mean_C
        sum_CC += d_nC.T @ d_nC  # numpy sees the symmetry and does half of the work
    return sum_CC / len(x_NC)


def covariance_trace(x_NC: torch.Tensor, mean_C: NDArray[np.float64]) -> float:
    """Sum of the channels' variances about `mean_C`, divided by N."""
    centre_C = torch.from_numpy(mean_C).to(x_NC.device)
    squares = [(block.double() - centre_C).square().sum() for block in torch.split(x_NC, BLOCK_ROWS)]
    return float(torch.stack(squares).sum()) / len(x_NC)


def leading_axes(
    x_NC: torch.Tensor, mean_C: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The orthonormal directions of largest variance, by an eigen-decomposition of the smaller Gram matrix.

    Args:
        x_NC: spectra.
        mean_C: their mean.
        count: D, how many, at most min(N, C).

    Returns:
        (D, C) directions, those of the largest variance first, each with its largest coefficient positive, and their
        variances (D,), divided by N. A direction in which the spectra do not vary is zeros and has variance 0.
    """
    spectra, channels = x_NC.shape
    if spectra >= channels:
        variance_D, vectors_CD = _largest(covariance_about(x_NC, mean_C), count)
        axes_DC = vectors_CD.T
    else:
        d_NC = x_NC.double().cpu().numpy() - mean_C
        variance_D, vectors_ND = _largest(d_NC @ d_NC.T / spectra, count)
        axes_DC = vectors_ND.T @ d_NC
        axes_DC /= np.maximum(np.linalg.norm(axes_DC, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    nothing_D = (variance_D <= NO_VARIANCE * variance_D.max()) | (np.arange(count) >= spectra - 1)
    axes_DC = signed(np.where(nothing_D[:, None], 0, axes_DC))
    return axes_DC, np.where(nothing_D, 0, variance_D)


def signed(axes_DC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions turned so that the largest coefficient of each is positive: a decomposition leaves the sign open."""
    largest_D1 = np.take_along_axis(axes_DC, np.abs(axes_DC).argmax(1)[:, None], axis=1)
    return np.where(largest_D1 < 0, -axes_DC, axes_DC)


def _largest(matrix_MM: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    size = len(matrix_MM)
    values, vectors = scipy.linalg.eigh(matrix_MM, subset_by_index=[size - count, size - 1])
    return values[::-1].clip(min=0), vectors[:, ::-1]


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
