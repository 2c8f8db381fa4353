"""How the number of clusters was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.reporting.style import FONT_SIZE, cluster_colours, grid_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deepspec.segmentation import Segmentation


def silhouette_curve(segmentation: Segmentation) -> Figure:
    """Silhouette of the sample that was clustered against the number of clusters, the chosen one marked.

    Raises:
        ValueError: the segmentation used the clusters of its checkpoint, so that there was nothing to choose.
    """
    if not segmentation.scores:
        raise ValueError("expected a segmentation with refit clusters, got one with frozen clusters: it has no scores")
    tried, scores = list(segmentation.scores), list(segmentation.scores.values())
    blue, orange = cluster_colours(2)
    figure, grid = grid_figure(1, [3.8], 2.4, gaps=(0, 0), margins=(0.65, 0.15, 0.5, 0.1))
    axes = grid[0, 0]
    axes.plot(tried, scores, marker="o", markersize=4, color=blue)
    best = segmentation.k
    axes.plot([best], [segmentation.scores[best]], marker="o", markersize=9, color=orange, linestyle="none")
    axes.annotate(
        f"K = {best}: {segmentation.scores[best]:.3f}",
        (best, segmentation.scores[best]),
        xytext=(8, 6),
        textcoords="offset points",
        fontsize=FONT_SIZE,
    )
    axes.margins(x=0.15, y=0.2)
    axes.set_xticks(tried)
    axes.set_xlabel("number of clusters K", fontsize=FONT_SIZE)
    axes.set_ylabel("silhouette of sampled latents", fontsize=FONT_SIZE)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure
