"""A cube beside the picture it came from (figures 8 and 12 of the paper)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from deepspec.drawing import FONT_SIZE, grid_figure, panel_height
from deepspec.segmentation.view import share_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


MOST_COLUMNS = 5
"""Masks beside each other."""


def mean_colours(rgb: NDArray[np.uint8], labels: NDArray[np.int_]) -> NDArray[np.uint8]:
    """A picture with every pixel in the mean colour of its cluster.

    Args:
        rgb: (H, W, 3) picture.
        labels: (H, W) clusters; negative ones, which have no cluster, come out black.

    Raises:
        ValueError: if the two differ in size.
    """
    if rgb.shape != (*labels.shape, 3):
        raise ValueError(f"expected an RGB picture of {labels.shape} pixels, got shape {rgb.shape}")
    painted = np.zeros_like(rgb)
    for cluster in np.unique(labels[labels >= 0]):
        painted[labels == cluster] = rgb[labels == cluster].mean(axis=0).round()
    return painted


def rgb_and_clustered(rgb: NDArray[np.uint8], labels: NDArray[np.int_]) -> Figure:
    """A picture, and the same in the mean colours of its clusters (figure 8).

    Args:
        rgb: (H, W, 3) picture.
        labels: (H, W) clusters of its colours.

    Raises:
        ValueError: if the two differ in size.
    """
    clusters = len(np.unique(labels[labels >= 0]))
    clustered = mean_colours(rgb, labels)
    width = 3.4
    figure, grid = grid_figure(
        1, [width, width], panel_height(rgb.shape, width), gaps=(0.15, 0), margins=(0.1, 0.1, 0.1, 0.35)
    )
    for axes, image, title in zip(grid[0], (rgb, clustered), ("RGB", f"clustered RGB, K = {clusters}"), strict=True):
        _picture(axes, image, title)
    return figure


def masked_rgb(labels: NDArray[np.int_], k: int, rgb: NDArray[np.uint8]) -> Figure:
    """The picture behind the mask of each cluster, and the masks below (figure 12).

    Args:
        labels: (H, W) of a segmentation, from 0; negative ones have no cluster.
        k: number of clusters.
        rgb: (H, W, 3) picture of the same pixels; the paper takes the clustered one, see `mean_colours`.

    Raises:
        ValueError: if the two differ in size.
    """
    if rgb.shape != (*labels.shape, 3):
        raise ValueError(f"expected an RGB picture of {labels.shape} pixels, got shape {rgb.shape}")
    columns, width = min(k, MOST_COLUMNS), 1.9
    figure, grid = grid_figure(
        2 * math.ceil(k / columns),
        [width] * columns,
        panel_height(labels.shape, width, 0.4, 4.0),
        gaps=(0.1, 0.3),
        margins=(0.1, 0.1, 0.1, 0.35),
    )
    labelled = max(1, int(np.count_nonzero(labels >= 0)))
    for axes in grid.flatten():
        axes.set_axis_off()
    for cluster in range(k):
        mask = labels == cluster
        row, column = 2 * (cluster // columns), cluster % columns
        name = share_name(cluster, int(np.count_nonzero(mask)) / labelled)
        _picture(grid[row, column], rgb * mask[..., None], name)
        _picture(grid[row + 1, column], np.repeat(np.uint8(255) * mask[..., None], 3, axis=2), "")
    return figure


def _picture(axes: Axes, image: NDArray[np.uint8], title: str) -> None:
    axes.set_axis_on()
    axes.imshow(image, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=FONT_SIZE)
