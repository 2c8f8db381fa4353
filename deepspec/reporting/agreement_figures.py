"""Clusters against reference classes: maps, errors of each class (figures 6 and 13), confusion (figures 7 and 14).

Figures A1 to A4 of the paper are 6, 7, 13 and 14 of a segmentation by UMAP: the same functions draw them, and the title
names the method.

Shapes: R classes of the reference, K clusters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from deepspec.drawing import (
    FONT_SIZE,
    IMAGE_COLOURS,
    NO_CLUSTER,
    cluster_colours,
    grid_figure,
    new_figure,
    panel_height,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from deepspec.evaluation import Evaluation, Reference
    from deepspec.functional import Agreement


MOST_ROWS = 16
"""Classes that the figure of errors has room for; the largest are shown."""

# Told apart with any kind of colour vision, and in grey.
_ERRORS = {
    "not compared": NO_CLUSTER,
    "rightly outside": "#cfe3f1",
    "rightly in it": "#0072b2",
    "missed (in the class, not in the cluster)": "#d55e00",
    "wrongly in it (in the cluster, not in the class)": "#f0c800",
}

_RIGHT, _WRONG = "white", "black"


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


def compared_maps(evaluation: Evaluation) -> Figure:
    """The reference, the clusters in the colours of their classes, and where they differ.

    Raises:
        ValueError: there was no reference.
    """
    agreement, reference = _parts(evaluation)
    classes, columns = len(reference.names), agreement.columns.tolist()
    # The column of each cluster in the confusion matrix: its class, or a colour beyond those.
    number = np.full(evaluation.k + 1, -1)
    for column, cluster in enumerate(columns):
        if cluster >= 0:
            number[cluster] = column
    ours, compared = number[evaluation.labels], (evaluation.labels >= 0) & (reference.labels >= 0)
    wrong = np.where(compared, np.where(ours == reference.labels, 1, 2), 0)
    width = 3.2
    names = [
        *(f"class {name}" for name in reference.names),
        *(f"cluster {cluster}, no class" for cluster in columns[classes:]),
    ]
    legend_columns = 1 + len(names) // 20
    height = panel_height(ours.shape, width, 0.22 * (len(names) // legend_columns)) + 0.7
    figure = new_figure(3 * width + 1.7 * legend_columns, height)
    colours = ListedColormap([NO_CLUSTER, *cluster_colours(len(columns))])
    titles = ("reference", "clusters in the colour of their class", f"right {100 * agreement.overall_accuracy:.1f} %")
    for axes, image, title in zip(figure.subplots(1, 3), (reference.labels, ours, wrong), titles, strict=True):
        shown = ListedColormap([NO_CLUSTER, _RIGHT, _WRONG]) if image is wrong else colours
        offset, top = (0, 2) if image is wrong else (1, len(columns))
        axes.imshow(image + offset, cmap=shown, vmin=-0.5, vmax=top + 0.5, interpolation="nearest")
        _bare(axes, title)
    entries = [Patch(color=colours(i + 1), label=name) for i, name in enumerate(names)]
    entries += [Patch(facecolor=_RIGHT, edgecolor=_WRONG, label="right"), Patch(color=_WRONG, label="wrong")]
    if not compared.all():
        entries.append(Patch(color=NO_CLUSTER, label="not compared"))
    figure.legend(
        handles=entries, loc="outside right upper", fontsize=FONT_SIZE - 1, frameon=False, ncols=legend_columns
    )
    return figure


def class_errors(evaluation: Evaluation) -> Figure:
    """One row per class: its cluster, the class, where they differ, and the counts of right and wrong pixels.

    Raises:
        ValueError: there was no reference.
    """
    agreement, reference = _parts(evaluation)
    size_R = agreement.counts.support_R.numpy()
    shown = sorted(np.argsort(-size_R, kind="stable")[:MOST_ROWS].tolist())
    width = 1.9
    height = panel_height(reference.labels.shape, width, 1.3, 2.6)
    figure, grid = grid_figure(len(shown), [width] * 3 + [1.5], height, gaps=(0.12, 0.32), margins=(0.1, 0.1, 0.1, 1.2))
    for row, number in zip(grid, shown, strict=True):
        _draw_row(row, evaluation, number)
    means = "   ".join(
        f"{name} {agreement.macro[name]:.3f}" for name in ("accuracy", "precision", "recall", "f1", "tversky")
    )
    left_out = len(size_R) - len(shown)
    more = f"; the {left_out} smallest classes are not shown" if left_out else ""
    figure.suptitle(
        f"{evaluation.method} against {_source(reference)}\nmeans over classes: {means}{more}",
        fontsize=FONT_SIZE,
        y=1 - 0.12 / figure.get_figheight(),
    )
    figure.legend(
        handles=[Patch(color=colour, label=label) for label, colour in _ERRORS.items()],
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.45 / figure.get_figheight()),
        ncols=3,
        fontsize=FONT_SIZE - 2,
        frameon=False,
    )
    return figure


def _draw_row(row: NDArray[Any], evaluation: Evaluation, number: int) -> None:
    agreement, reference = _parts(evaluation)
    cluster = int(agreement.columns[number])
    ours, theirs = (evaluation.labels == cluster) & (cluster >= 0), reference.labels == number
    compared = (evaluation.labels >= 0) & (reference.labels >= 0)
    state = np.where(theirs, np.where(ours, 2, 3), np.where(ours, 4, 1))
    black_and_white = ListedColormap([NO_CLUSTER, "black", "white"])
    name = f"cluster {evaluation.called(cluster)}" if cluster >= 0 else "no cluster"
    pictures = (
        (np.where(evaluation.labels < 0, 0, ours + 1), black_and_white, name),
        (np.where(reference.labels < 0, 0, theirs + 1), black_and_white, f"class {reference.names[number]}"),
        (np.where(compared, state, 0), ListedColormap(list(_ERRORS.values())), "differences"),
    )
    for axes, (image, colours, title) in zip(row[:3], pictures, strict=True):
        axes.imshow(image, cmap=colours, vmin=-0.5, vmax=colours.N - 0.5, interpolation="nearest")
        _bare(axes, title)
    _draw_counts(row[3], agreement, number)


def class_confusion(evaluation: Evaluation) -> Figure:
    """The confusion matrix, each class beside its cluster; clusters without a class come last.

    Raises:
        ValueError: there was no reference.
    """
    agreement, reference = _parts(evaluation)
    clusters = ["no cluster" if cluster < 0 else f"cluster {cluster}" for cluster in agreement.columns.tolist()]
    weighted = "  ".join(f"{name} {agreement.weighted[name]:.3f}" for name in ("accuracy", "recall", "precision", "f1"))
    figure = confusion_matrix(
        agreement.confusion.numpy(),
        reference.names,
        clusters,
        f"{evaluation.method} against {_source(reference)}\nmeans weighted by size:\n{weighted}",
    )
    figure.axes[0].tick_params(axis="x", rotation=45 if len(clusters) > 4 else 0)
    return figure


def _draw_counts(axes: Axes, agreement: Agreement, number: int) -> None:
    """The confusion matrix of one class against the rest, as in the paper: TP and FP above FN and TN."""
    parts = agreement.counts
    counts = {
        name: int(part_R[number])
        for name, part_R in (("TP", parts.tp_R), ("FP", parts.fp_R), ("FN", parts.fn_R), ("TN", parts.tn_R))
    }
    # The root: else a large rest leaves everything else white.
    depth = np.sqrt(np.array(list(counts.values())) / max(1, sum(counts.values()))).reshape(2, 2)
    axes.imshow(depth, cmap="Blues", vmin=0, vmax=1.15)
    for at, (name, count) in enumerate(counts.items()):
        colour = "white" if depth.flat[at] > 0.6 else "black"
        axes.text(at % 2, at // 2, f"{name}\n{count}", ha="center", va="center", fontsize=FONT_SIZE - 1, color=colour)
    index = float(agreement.per_class["tversky"][number])
    _bare(axes, "no pixel" if np.isnan(index) else f"Tversky index {index:.3f}")


def _source(reference: Reference) -> str:
    """The reference in a few words."""
    name = Path(reference.source).name
    return f"the colours of {name}" if reference.kind == "image" else name


def _bare(axes: Axes, title: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=FONT_SIZE)


def _parts(evaluation: Evaluation) -> tuple[Agreement, Reference]:
    if evaluation.agreement is None or evaluation.reference is None:
        raise ValueError("expected an evaluation against a reference")
    return evaluation.agreement, evaluation.reference
