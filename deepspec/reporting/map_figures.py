"""Pictures of a segmentation: label map, masks, energy-integrated images (figures 4, 5, 9 and 11 of the paper)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from deepspec.reporting.style import (
    FONT_SIZE,
    IMAGE_COLOURS,
    NO_CLUSTER,
    cluster_colours,
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


def label_map(segmentation: Segmentation) -> Figure:
    """The image of cluster numbers, with a legend of the clusters and their shares of the labelled pixels."""
    k, labels = segmentation.k, segmentation.labels
    width, legend_columns = 4.6, 1 + k // 24
    height = panel_height(labels.shape, width, 0.2 * (k // legend_columns + 2))
    figure, grid = grid_figure(1, [width], height, gaps=(0, 0), margins=(0.5, 0.2 + 1.6 * legend_columns, 0.35, 0.4))
    axes = grid[0, 0]
    colours = ListedColormap([NO_CLUSTER, *cluster_colours(k)])
    axes.imshow(labels + 1, cmap=colours, vmin=-0.5, vmax=k + 0.5, interpolation="nearest")
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.set_title(headline(segmentation), fontsize=FONT_SIZE + 1)
    entries = [Patch(color=colours(c + 1), label=cluster_name(segmentation, c)) for c in range(k)]
    left_out = np.count_nonzero(labels < 0)
    if left_out:
        entries.append(Patch(color=NO_CLUSTER, label=f"none ({left_out} px)"))
    axes.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0,
        fontsize=FONT_SIZE,
        frameon=False,
        ncols=legend_columns,
    )
    return figure


def masks(segmentation: Segmentation) -> Figure:
    """One binary image per cluster."""
    columns = min(segmentation.k, 4)
    width = 2.3
    height = panel_height(segmentation.labels.shape, width, 0.4, 4.0)
    figure, grid = grid_figure(
        math.ceil(segmentation.k / columns), [width] * columns, height, gaps=(0.1, 0.3), margins=(0.05, 0.05, 0.05, 0.3)
    )
    for cluster, axes in enumerate(grid.flatten()):
        if cluster < segmentation.k:
            draw_mask(axes, segmentation, cluster)
            axes.set_title(cluster_name(segmentation, cluster), fontsize=FONT_SIZE)
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


def cluster_name(segmentation: Segmentation, cluster: int) -> str:
    """Number and share of a cluster, as in "cluster 2: 14.1 %"."""
    return share_name(cluster, float(segmentation.shares[cluster]))


def share_name(cluster: int, share: float) -> str:
    """The same of a share from 0 to 1."""
    if share == 0:
        return f"cluster {cluster}: empty"
    return f"cluster {cluster}: {100 * share:.1f} %" if share >= 0.0005 else f"cluster {cluster}: < 0.1 %"


def headline(segmentation: Segmentation) -> str:
    """Number of clusters, and silhouette of the cube's latents if there is one, in a line."""
    silhouette = segmentation.silhouette
    if segmentation.k == 1 and segmentation.structure.verdict in ("none", "untested"):
        return "K = 1, one material"  # and not a merge tree cut down to one on request
    if np.count_nonzero(segmentation.sizes) == 1:
        return f"K = {segmentation.k}, all pixels in one cluster"
    if math.isnan(silhouette.score):  # of a cut of the merge tree it is not worked out
        return f"K = {segmentation.k}"
    error = f" ± {silhouette.standard_error:.3f}" if silhouette.standard_error > 0 else ""
    return f"K = {segmentation.k}, silhouette of the latents {silhouette.score:.3f}{error}"
