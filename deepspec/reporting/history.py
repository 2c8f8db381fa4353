"""How a training went: losses, their weights, the learning rate, and the clusters after each epoch."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from deepspec.errors import UserError
from deepspec.reporting.style import FONT_SIZE, cluster_colours, grid_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = dict[str, list[float]]

_BLUE, _ORANGE, _GREEN, _RED = cluster_colours(4)


def read_history(path: str | Path) -> History:
    """Columns of a run's metrics.csv, one value per epoch, NaN where an epoch has none.

    Args:
        path: metrics.csv, or the run folder that holds it.

    Raises:
        UserError: there is no such file, or it is another kind of table.
    """
    path = Path(path)
    path = path / "metrics.csv" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path}: no such file; `fit` writes metrics.csv into its run folder")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "epoch" not in rows[0]:
        raise UserError(f"{path}: expected the metrics.csv of a run, with a column 'epoch' and at least one row")
    try:
        return {name: [float(row[name]) if row[name] else math.nan for row in rows] for name in rows[0]}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: expected numbers: {error}") from error


def training_history(history: Mapping[str, Sequence[float]]) -> Figure:
    """Losses, weights beta(i) and gamma(i), learning rate, and the clustering of the validation latents, by epoch.

    Args:
        history: of `read_history`; a column that a run did not log is left out.
    """
    figure, grid = grid_figure(2, [3.0, 3.0], 2.0, gaps=(1.5, 0.3), margins=(0.65, 0.7, 0.5, 0.15))
    losses, parts, weights, clusters = grid.flatten()
    epoch = history["epoch"]
    totals = {
        "train/total": ("training", _BLUE, "-"),
        "val/total": ("validation", _ORANGE, "-"),
        "val/target": ("validation, final weights", _ORANGE, ":"),
    }
    _draw(losses, epoch, history, totals, "total loss")
    terms = {
        "val/reconstruction": ("reconstruction", _BLUE, "-"),
        "val/mmd": ("MMD", _GREEN, "--"),
        "val/silhouette": ("silhouette loss of batches", _RED, "-."),
        "val/clustering": ("deep baseline", _ORANGE, ":"),
    }
    _draw(parts, epoch, history, terms, "parts of the loss, validation")
    factors = {"beta": (r"$\beta$, of MMD", _GREEN, "--"), "gamma": (r"$\gamma$, of silhouette", _RED, "-.")}
    _draw(weights, epoch, history, factors, "weight")
    _add_right(weights, epoch, history, "lr", "learning rate", log=True)
    _draw(clusters, epoch, history, {"ikmeans/silhouette": ("silhouette", _BLUE, "-")}, "silhouette of sampled latents")
    _add_right(clusters, epoch, history, "ikmeans/k", "K", log=False)
    for axes in (weights, clusters):
        axes.set_xlabel("epoch", fontsize=FONT_SIZE)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw(
    axes: Axes,
    epoch: Sequence[float],
    history: Mapping[str, Sequence[float]],
    lines: dict[str, tuple[str, str, str]],
    quantity: str,
) -> None:
    for name, (label, colour, style) in lines.items():
        if name in history:
            marker = "o" if len(epoch) == 1 else ""
            axes.plot(epoch, history[name], color=colour, linestyle=style, marker=marker, linewidth=1.3, label=label)
    axes.set_ylabel(quantity, fontsize=FONT_SIZE)
    axes.tick_params(labelsize=FONT_SIZE - 2)
    axes.grid(alpha=0.3)
    axes.spines[["top"]].set_visible(False)
    if axes.lines:
        axes.legend(fontsize=FONT_SIZE - 2, frameon=False)


def _add_right(
    axes: Axes, epoch: Sequence[float], history: Mapping[str, Sequence[float]], name: str, label: str, *, log: bool
) -> None:
    if name not in history:
        return
    right = axes.twinx()
    right.step(epoch, history[name], where="mid", color="#555555", linewidth=1.0)
    right.set_ylabel(f"{label} (grey)", fontsize=FONT_SIZE, color="#555555")
    right.tick_params(labelsize=FONT_SIZE - 2)
    right.spines[["top"]].set_visible(False)
    if log:
        right.set_yscale("log")
    else:
        right.yaxis.set_major_locator(MaxNLocator(integer=True))
