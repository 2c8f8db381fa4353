"""Latent points coloured by cluster: every pair of dimensions.

Shapes: S pixels of a sample, L latent dimensions, K clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepspec.drawing import FONT_SIZE, NO_CLUSTER, cluster_colours, grid_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from deepspec.segmentation import Segmentation


MOST_POINTS = 4096
"""Points that are drawn: more hide each other."""

MOST_DIMENSIONS = 6
"""Dimensions that are drawn, those with the largest variance of a larger space."""


class LatentSample(NamedTuple):
    """Latent points of some pixels."""

    points_SL: NDArray[np.float32]
    """(S, L) finite."""
    labels_S: NDArray[np.integer]
    """(S,) their clusters."""
    pixels_S: NDArray[np.intp] | None = None
    """(S,) their places in the image, row by row; None for points that are of no image."""


def sample_latents(segmentation: Segmentation) -> LatentSample | None:
    """A uniform random sample of the labelled pixels, always the same; None if the latent points were not kept."""
    if segmentation.latents is None:
        return None
    pixels = np.flatnonzero(segmentation.labels.reshape(-1) >= 0)
    if len(pixels) > MOST_POINTS:
        pixels = np.sort(np.random.default_rng(0).choice(pixels, MOST_POINTS, replace=False))
    points_PL = segmentation.latents.reshape(-1, segmentation.latents.shape[-1])
    return LatentSample(points_PL[pixels], segmentation.labels.reshape(-1)[pixels], pixels)


def latent_matrix(segmentation: Segmentation) -> Figure:
    """Scatter plots of each pair of latent dimensions, histograms of each one on the diagonal; crosses are centres.

    Args:
        segmentation: whose; a random sample of its pixels is drawn.

    Raises:
        ValueError: the segmentation was saved by a version that kept no latent points.
    """
    sample = sample_latents(segmentation)
    if sample is None:
        raise ValueError("expected a segmentation with latent points, got one of an earlier version")
    names = segmentation.cluster_names
    title = f"{len(sample.labels_S)} of {segmentation.sizes.sum()} latent points"
    return latent_scatter(sample, segmentation.cluster_centers, names, title, segmentation.cluster_colours)


def latent_scatter(
    sample: LatentSample,
    centres_KL: NDArray[np.float32],
    names: Sequence[str],
    title: str,
    colours: Sequence[str] | None = None,
) -> Figure:
    """`latent_matrix` of any points.

    Args:
        sample: the points.
        centres_KL: (K, L) of the clusters.
        names: of the clusters.
        title: plain text.
        colours: of the clusters, as #rrggbb; default the usual ones.
    """
    colours = colours or cluster_colours(len(names))
    kept = np.sort(np.argsort(-sample.points_SL.var(axis=0), kind="stable")[:MOST_DIMENSIONS]).tolist()
    n = len(kept)
    size = 1.9 if n <= 3 else 1.4
    figure, grid = grid_figure(n, [size] * n, size, gaps=(0.12, 0.12), margins=(0.6, 1.6, 0.5, 0.35))
    for row, y in enumerate(kept):
        for column, x in enumerate(kept):
            axes = grid[row, column]
            if column > row:
                axes.remove()
                continue
            if row == column:
                _histograms(axes, sample, names, x, colours)
            else:
                _scatter(axes, sample, centres_KL, x, y, colours)
            axes.tick_params(labelsize=FONT_SIZE - 3, labelbottom=row == n - 1, labelleft=column == 0 < row)
            if row == n - 1:
                axes.set_xlabel(f"latent {x}", fontsize=FONT_SIZE)
            if column == 0 and row > 0:
                axes.set_ylabel(f"latent {y}", fontsize=FONT_SIZE)
    handles, texts = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="upper right", fontsize=FONT_SIZE - 1, frameon=False)
    figure.suptitle(title, fontsize=FONT_SIZE, x=0.02, ha="left")
    return figure


def _histograms(axes: Axes, sample: LatentSample, names: Sequence[str], dimension: int, colours: Sequence[str]) -> None:
    values = sample.points_SL[:, dimension]
    edges = np.linspace(values.min(), values.max() + 1e-6, 41)
    for cluster, (name, colour) in enumerate(zip(names, colours, strict=True)):
        counts, _ = np.histogram(values[sample.labels_S == cluster], edges)
        axes.stairs(counts, edges, color=colour, linewidth=1.2, label=name)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)


def _scatter(
    axes: Axes, sample: LatentSample, centres_KL: NDArray[np.float32], x: int, y: int, colours: Sequence[str]
) -> None:
    for cluster, colour in enumerate(colours):
        own = sample.points_SL[sample.labels_S == cluster]
        axes.plot(own[:, x], own[:, y], ",", color=colour, rasterized=True)
    axes.plot(centres_KL[:, x], centres_KL[:, y], "x", color="black", markersize=5, markeredgewidth=1.2)
    axes.grid(color=NO_CLUSTER, linewidth=0.4)
    axes.spines[["top", "right"]].set_visible(False)
