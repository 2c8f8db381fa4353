"""Multi-class confusion matrix of a segmentation against a reference (figures 7, 14, A2 and A4 of the paper).

Shapes: R classes of the reference, K clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepspec.reporting.style import FONT_SIZE, IMAGE_COLOURS, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def confusion_matrix(
    counts_RK: NDArray[np.int64], reference: Sequence[str], predicted: Sequence[str], title: str = ""
) -> Figure:
    """Counts, with the share of the whole population in each cell and as its colour.

    Args:
        counts_RK: (R, K) pixels of each class of the reference in each cluster; the matched ones on the diagonal.
        reference: names of the R rows.
        predicted: names of the K columns.
        title: such as the averages of the scores; may have several lines.

    Raises:
        ValueError: if the names do not fit the counts.
    """
    if counts_RK.shape != (len(reference), len(predicted)):
        raise ValueError(f"expected {len(reference)} x {len(predicted)} counts, got shape {counts_RK.shape}")
    shares = counts_RK / max(1, counts_RK.sum())
    cell = 0.85 if max(counts_RK.shape) <= 8 else 0.6
    figure = new_figure(
        max(4.0, cell * len(predicted) + 2.2), max(2.6, cell * len(reference) + 1.1 + 0.18 * title.count("\n"))
    )
    axes = figure.add_subplot()
    shown = axes.imshow(shares, cmap=IMAGE_COLOURS, vmin=0, vmax=max(float(shares.max()), 1e-9))
    size = FONT_SIZE - (1 if cell > 0.7 else 3)
    for row, column in np.ndindex(*counts_RK.shape):
        dark = shares[row, column] < 0.6 * shares.max()
        axes.text(
            column,
            row,
            f"{counts_RK[row, column]}\n{100 * shares[row, column]:.1f} %",
            ha="center",
            va="center",
            fontsize=size,
            color="white" if dark else "black",
        )
    axes.set_xticks(range(len(predicted)), predicted, fontsize=FONT_SIZE - 1)
    axes.set_yticks(range(len(reference)), reference, fontsize=FONT_SIZE - 1)
    axes.set_xlabel("predicted", fontsize=FONT_SIZE)
    axes.set_ylabel("reference", fontsize=FONT_SIZE)
    axes.set_title(title, fontsize=FONT_SIZE)
    bar = figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("share of all pixels", fontsize=FONT_SIZE - 1)
    bar.ax.tick_params(labelsize=FONT_SIZE - 2)
    return figure
