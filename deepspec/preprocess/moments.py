"""Means and covariances of a training sample, in float64 and a block of spectra at a time.

N spectra, C channels, D directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
