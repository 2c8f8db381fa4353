"""Pictures of a segmentation: label map, masks, energy-integrated images (figures 4, 5, 9 and 11 of the paper)."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap

from deepspec.drawing import (
    FONT_SIZE,
    IMAGE_COLOURS,
    NO_CLUSTER,
    grid_figure,
    panel_height,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from deepspec.segmentation import Segmentation


# Pixels outside, within, and without any label: purple and yellow as in the paper, and grey.
_MASK_COLOURS = ListedColormap([NO_CLUSTER, "#440154", "#fde725"])


_TITLE = 32
"""Letters in a line over a panel of a mask."""


def label_map(segmentation: Segmentation) -> Figure:
    """The image of cluster numbers, with a legend of the clusters and their shares of the labelled pixels."""
    return segmentation.plot()


def masks(segmentation: Segmentation) -> Figure:
    """One binary image per cluster."""
    columns = min(segmentation.k, 4)
    width = 2.3
    height = panel_height(segmentation.labels.shape, width, 0.4, 4.0)
    titles = [textwrap.fill(name, _TITLE) for name in segmentation.cluster_names]
    room = 0.3 if max(map(len, titles)) <= _TITLE else 0.45  # of a line, or two
    figure, grid = grid_figure(
        math.ceil(segmentation.k / columns),
        [width] * columns,
        height,
        gaps=(0.1, room),
        margins=(0.05, 0.05, 0.05, room),
    )
    for cluster, axes in enumerate(grid.flatten()):
        if cluster < segmentation.k:
            draw_mask(axes, segmentation, cluster)
            axes.set_title(titles[cluster], fontsize=FONT_SIZE)
        else:
            axes.remove()
    return figure


def draw_mask(axes: Axes, segmentation: Segmentation, cluster: int) -> None:
    """Draw the pixels of one cluster."""
    labels = segmentation.labels
    state = np.where(labels < 0, 0, np.where(labels == cluster, 2, 1))
    axes.imshow(state, cmap=_MASK_COLOURS, vmin=0, vmax=2, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def integrated(segmentation: Segmentation) -> Figure:
    """The cube summed over channels, the decoded cube likewise, and the latents summed over dimensions."""
    images = {
        "measured: sum over channels": segmentation.total_raw,
        "decoded: sum over channels": segmentation.total_reconstructed,
        "embedded: sum over latents": segmentation.total_latent,
    }
    width, gap = 2.7, 0.75
    height = panel_height(segmentation.labels.shape, width, 0.8)
    figure, grid = grid_figure(1, [width] * 3, height, gaps=(gap, 0), margins=(0.1, gap, 0.15, 0.35))
    for axes, (title, image) in zip(grid[0], images.items(), strict=True):
        low, high = _limits(image)
        shown = axes.imshow(image, cmap=IMAGE_COLOURS, vmin=low, vmax=high, interpolation="nearest")
        axes.set_facecolor(NO_CLUSTER)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, fontsize=FONT_SIZE)
        bar = figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.05, 1)), extend="both")
        bar.ax.tick_params(labelsize=FONT_SIZE - 2)
        bar.ax.yaxis.get_offset_text().set_fontsize(FONT_SIZE - 2)
    return figure


def disagreement_map(segmentation: Segmentation) -> Figure:
    """How many of an ensemble's networks put each pixel into another cluster.

    Raises:
        ValueError: the segmentation is not that of an ensemble.
    """
    found = segmentation.disagreement
    if found is None:
        raise ValueError("expected a segmentation with the disagreement of an ensemble")
    width = 4.6
    height = panel_height(found.shape, width)
    figure, grid = grid_figure(1, [width], height, gaps=(0, 0), margins=(0.5, 0.9, 0.35, 0.4))
    axes = grid[0, 0]
    image = axes.imshow(100 * found, cmap=IMAGE_COLOURS, vmin=0, vmax=100, interpolation="nearest")
    axes.set_facecolor(NO_CLUSTER)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.set_title(f"mean disagreement {100 * float(np.nanmean(found)):.1f} %", fontsize=FONT_SIZE + 1)
    bar = figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.05, 1)))
    bar.set_label("networks that put the pixel elsewhere (%)", fontsize=FONT_SIZE - 1)
    bar.ax.tick_params(labelsize=FONT_SIZE - 2)
    return figure


def _limits(image: NDArray[np.float32]) -> tuple[float, float]:
    """Half a percent of the pixels may lie beyond either end, so that a few bright ones do not darken the rest."""
    low, high = np.nanpercentile(image, [0.5, 99.5])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)
