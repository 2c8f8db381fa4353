"""Criteria for the number of clusters, and how stable the clusters are."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from deepspec.functional.k_criteria import TITLES
from deepspec.reporting.style import FONT_SIZE, NO_CLUSTER, cluster_colours, new_figure, panel_height

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from deepspec.evaluation import Evaluation
    from deepspec.functional import KCriteria

_READ_AS = {
    "silhouette": "highest",
    "gap": "first within an error of the highest",
    "elbow": "inertia; farthest below its chord",
    "davies_bouldin": "lowest",
    "calinski_harabasz": "highest",
    "bic": "highest",
}


def criteria_curves(evaluation: Evaluation) -> Figure:
    """Each criterion against K, the K it picks marked, and that of the segmentation.

    Raises:
        ValueError: the criteria were not worked out.
    """
    criteria = evaluation.criteria
    if criteria is None:
        raise ValueError("expected an evaluation with criteria for K")
    figure = new_figure(8.4, 5.2)
    for axes, name in zip(figure.subplots(2, 3).flatten(), TITLES, strict=True):
        _draw(axes, criteria, name, evaluation.k)
    figure.suptitle(textwrap.fill(evaluation.k_sentence, 130), fontsize=FONT_SIZE - 1)
    figure.supxlabel("number of clusters K (dotted: this segmentation)", fontsize=FONT_SIZE)
    return figure


def _draw(axes: Axes, criteria: KCriteria, name: str, used: int) -> None:
    blue, orange = cluster_colours(2)
    curve, pick = criteria.curves[name], criteria.picks[name]
    tried = list(curve)
    if name == "gap":
        axes.errorbar(
            tried, list(curve.values()), [criteria.gap_errors[k] for k in tried], color=blue, marker="o", markersize=3
        )
    else:
        axes.plot(tried, list(curve.values()), marker="o", markersize=3, color=blue)
    axes.axvline(used, color="#7f7f7f", linestyle=":", linewidth=1)
    if pick is not None and not math.isnan(curve[pick]):
        axes.plot([pick], [curve[pick]], marker="o", markersize=8, color=orange, linestyle="none", zorder=3)
    picked = "no pick" if pick is None else f"K = {pick}"
    axes.set_title(f"{TITLES[name]}: {picked}\n({_READ_AS[name]})", fontsize=FONT_SIZE - 1)
    axes.set_xticks(tried)
    axes.tick_params(labelsize=FONT_SIZE - 2)
    axes.yaxis.get_offset_text().set_fontsize(FONT_SIZE - 2)
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)


def stability_map(evaluation: Evaluation) -> Figure:
    """How often each pixel changes its cluster when K-means is fitted again to latent points of resampled pixels.

    Raises:
        ValueError: the stability was not worked out.
    """
    found, changed = evaluation.stability, evaluation.changed
    if found is None or changed is None:
        raise ValueError("expected an evaluation with stability")
    width = 5.0
    figure = new_figure(width + 1.0, panel_height(changed.shape, width) + 0.7)
    axes = figure.add_subplot()
    image = axes.imshow(100 * changed, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
    axes.set_facecolor(NO_CLUSTER)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.set_title(
        f"resampling alone: ARI of {found.refits} refits with the segmentation {found.ari:.3f} ± {found.ari_sd:.3f}",
        fontsize=FONT_SIZE,
    )
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.set_label("refits in which the pixel changes its cluster (%)", fontsize=FONT_SIZE - 1)
    bar.ax.tick_params(labelsize=FONT_SIZE - 2)
    return figure
