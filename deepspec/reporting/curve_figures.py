"""How the number of clusters was chosen, how stable the clusters are, and what noise leaves of them (B1 and B2)."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap

from deepspec.drawing import FONT_SIZE, NO_CLUSTER, cluster_colours, grid_figure, new_figure, panel_height
from deepspec.functional.k_criteria import TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from deepspec.evaluation import Evaluation
    from deepspec.functional import KCriteria
    from deepspec.segmentation import Segmentation


_READ_AS = {
    "silhouette": "highest",
    "gap": "first within an error of the highest",
    "elbow": "inertia; farthest below its chord",
    "davies_bouldin": "lowest",
    "calinski_harabasz": "highest",
    "bic": "highest",
}

_MASK = ListedColormap([NO_CLUSTER, "#440154", "#fde725"])

_LINES = ("-", "--", "-.", ":")

_MARKERS = ("o", "s", "^", "D", "v", "P")

MOST_ROWS = 8
"""Classes that are shown of each method; the largest."""


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


def degraded_masks(
    reference: NDArray[np.int_], names: Sequence[str], found: Sequence[tuple[str, float, NDArray[np.int_]]]
) -> Figure:
    """A row per method and class: its mask in the reference, then that of the matched cluster at each level (B1).

    Args:
        reference: (H, W) classes from 0; negative ones have none.
        names: of the classes.
        found: method, degradation (see `deepspec.synthetic.degrade`) and label map (H, W) with the numbers of the
            matched classes, -1 without a label and other negative ones without a class. Of several of one method at
            one level the first is shown.

    Raises:
        ValueError: if the maps differ in size.
    """
    if any(labels.shape != reference.shape for _, _, labels in found):
        raise ValueError(f"expected label maps of shape {reference.shape}")
    first: dict[tuple[str, float], NDArray[np.int_]] = {}
    for method, level, labelled in found:
        first.setdefault((method, level), labelled)
    methods, levels = list(dict.fromkeys(method for method, _ in first)), sorted({level for _, level in first})
    sizes = np.bincount(reference[reference >= 0], minlength=len(names))
    classes = sorted(np.argsort(-sizes, kind="stable")[:MOST_ROWS].tolist())
    width = 1.4
    figure, grid = grid_figure(
        len(methods) * len(classes),
        [width] * (1 + len(levels)),
        panel_height(reference.shape, width, 0.5, 2.5),
        gaps=(0.06, 0.06),
        margins=(0.65, 0.1, 0.1, 0.4),
    )
    for row, (method, number) in enumerate((method, number) for method in methods for number in classes):
        maps: list[NDArray[np.int_] | None] = [reference, *(first.get((method, level)) for level in levels)]
        for axes, labels in zip(grid[row], maps, strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            if labels is None:
                axes.text(0.5, 0.5, "not given", ha="center", va="center", fontsize=FONT_SIZE - 2)
                continue
            state = np.where(labels == -1, 0, np.where(labels == number, 2, 1))
            axes.imshow(state, cmap=_MASK, vmin=0, vmax=2, interpolation="nearest")
            if not (labels == number).any():
                middle = {"ha": "center", "va": "center", "transform": axes.transAxes, "color": "white"}
                axes.text(0.5, 0.5, "no cluster", fontsize=FONT_SIZE - 2, **middle)
        grid[row, 0].set_ylabel(f"{method}\nclass {names[number]}", fontsize=FONT_SIZE - 2)
    for axes, title in zip(grid[0], ("reference", *(f"degradation {level:.2f}" for level in levels)), strict=True):
        axes.set_title(title, fontsize=FONT_SIZE - 1)
    return figure


def degradation_curves(
    methods: Sequence[str],
    levels: Sequence[float],
    scores: Mapping[str, Sequence[float]],
    psnr_before: float | None = None,
) -> Figure:
    """A panel per score, against the degradation of the signal, with a line per method (figure B2).

    Where a method has several values at a level, the line goes through their mean and bars show their standard
    deviation.

    Args:
        methods: of each segmentation.
        levels: degradation of each, see `deepspec.synthetic.degrade`.
        scores: value of each by the name of the score, such as "weighted F1".
        psnr_before: of the cube that noise was added to, in dB, for a second axis.

    Raises:
        ValueError: if there is not one level and one value of each score for each segmentation.
    """
    if any(len(values) != len(methods) for values in (levels, *scores.values())):
        raise ValueError(f"expected {len(methods)} levels and values of each score, one for each segmentation")
    figure, grid = grid_figure(1, [3.2] * len(scores), 2.6, gaps=(0.25, 0), margins=(0.6, 0.15, 0.5, 0.85))
    names = list(dict.fromkeys(methods))
    colours = cluster_colours(max(len(names), 2))
    for axes, (score, values) in zip(grid[0], scores.items(), strict=True):
        for number, name in enumerate(names):
            own: dict[float, list[float]] = {}
            for method, level, value in zip(methods, levels, values, strict=True):
                if method == name:
                    own.setdefault(level, []).append(value)
            places = sorted(own)
            axes.errorbar(
                places,
                [np.mean(own[level]) for level in places],
                [np.std(own[level]) for level in places] if max(map(len, own.values())) > 1 else None,
                color=colours[number],
                linestyle=_LINES[number % len(_LINES)],
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=4,
                capsize=2,
                label=name,
            )
        axes.set_xlabel("degradation: share of the PSNR lost", fontsize=FONT_SIZE)
        axes.set_ylim(-0.02, 1.02)
        axes.tick_params(labelsize=FONT_SIZE - 1, labelleft=axes is grid[0, 0])
        axes.grid(color=NO_CLUSTER, linewidth=0.6)
        axes.text(0.03, 0.04, score, transform=axes.transAxes, fontsize=FONT_SIZE)
        if psnr_before is None:
            axes.spines[["top", "right"]].set_visible(False)
            continue
        axes.spines[["right"]].set_visible(False)
        _add_psnr(axes, psnr_before)
    grid[0, 0].set_ylabel("score (0 to 1)", fontsize=FONT_SIZE)
    handles, texts = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="upper center", ncols=min(4, len(names)), fontsize=FONT_SIZE - 1, frameon=False)
    return figure


def _add_psnr(axes: Axes, before: float) -> None:
    """Degradation d leaves (1 - d) of the decibels."""

    def to_decibel(level: NDArray[np.float64]) -> NDArray[np.float64]:
        return before * (1 - level)

    def to_level(decibel: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 - decibel / before

    top = axes.secondary_xaxis("top", functions=(to_decibel, to_level))  # type: ignore[arg-type]
    top.set_xlabel("PSNR (dB)", fontsize=FONT_SIZE - 1)
    top.tick_params(labelsize=FONT_SIZE - 2)
