"""What is left of a segmentation as noise is added (figures B1 and B2 of the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.colors import ListedColormap

from deepspec.reporting.style import FONT_SIZE, NO_CLUSTER, cluster_colours, grid_figure, new_figure, panel_height

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MASK = ListedColormap(["#440154", "#fde725"])
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D")


def degraded_masks(reference: NDArray[np.int_], found: Sequence[NDArray[np.int_]], levels: Sequence[float]) -> Figure:
    """A row per class: its mask in the reference, then that of the matched cluster at each noise level (figure B1).

    Args:
        reference: (H, W) classes from 0; negative ones are not shown.
        found: label maps (H, W) with the numbers of the matched classes, one per level.
        levels: degradation of each, see `deepspec.synthetic.degrade`.

    Raises:
        ValueError: if the maps differ in size or their number from that of the levels.
    """
    if len(found) != len(levels) or any(labels.shape != reference.shape for labels in found):
        raise ValueError(f"expected {len(levels)} label maps of shape {reference.shape}, one for each level")
    rows, width = int(reference.max()) + 1, 1.5
    height = panel_height(reference.shape, width, 0.4, 3.0)
    columns = [reference, *found]
    figure, grid = grid_figure(rows, [width] * len(columns), height, gaps=(0.08, 0.08), margins=(0.35, 0.1, 0.1, 0.35))
    for column, labels in enumerate(columns):
        for row in range(rows):
            axes = grid[row, column]
            axes.imshow(labels == row, cmap=_MASK, vmin=0, vmax=1, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
        grid[0, column].set_title(
            "reference" if column == 0 else f"degradation {levels[column - 1]:.2f}", fontsize=FONT_SIZE - 1
        )
    for row in range(rows):
        grid[row, 0].set_ylabel(f"class {row}", fontsize=FONT_SIZE)
    return figure


def degradation_curves(levels: Sequence[float], scores: Mapping[str, Sequence[float]]) -> Figure:
    """Scores against the degradation of the signal (figure B2).

    Args:
        levels: degradation, see `deepspec.synthetic.degrade`.
        scores: values of each score at these levels by its name, such as "weighted F1".

    Raises:
        ValueError: if a score has not one value for each level.
    """
    if any(len(values) != len(levels) for values in scores.values()):
        raise ValueError(f"expected {len(levels)} values of each score, one for each level")
    figure = new_figure(5.0, 3.2)
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(scores.items()):
        axes.plot(
            levels,
            values,
            color=cluster_colours(max(len(scores), 2))[number],
            linestyle=_LINES[number % len(_LINES)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            label=name,
        )
    axes.set_xlabel("degradation: share of the PSNR (in dB) that is lost", fontsize=FONT_SIZE)
    axes.set_ylabel("score", fontsize=FONT_SIZE)
    axes.set_ylim(0, 1.02)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.grid(color=NO_CLUSTER, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=FONT_SIZE - 1, frameon=False)
    return figure
