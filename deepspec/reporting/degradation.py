"""What is left of segmentations as noise is added to their cube (figures B1 and B2 of the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap

from deepspec.reporting.style import FONT_SIZE, NO_CLUSTER, cluster_colours, grid_figure, panel_height

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MASK = ListedColormap([NO_CLUSTER, "#440154", "#fde725"])
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P")

MOST_ROWS = 8
"""Classes that are shown of each method; the largest."""


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
