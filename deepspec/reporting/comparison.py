"""Runs beside each other: their courses over the epochs in one picture, and everything on one page."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from deepspec.drawing import FONT_SIZE, cluster_colours, grid_figure
from deepspec.pages import figure_html, paragraph, table_html, write_plain_page
from deepspec.runs.table import TITLES, epochs_text, shown_results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from deepspec.runs.folder import RecordedRun
    from deepspec.runs.table import Row


MOST_LINES = 12
"""Runs that can be told apart; of more, the best stand out from grey ones."""

BEST = 5

MOST_BORDERS = 4
"""Of equal lines that can be seen under one another."""

WIDE_RANGE = 20.0
"""Ratio of the largest to the smallest loss from which on the scale is logarithmic."""

# Without the yellow, which is too light for a line.
_COLOURS = [colour for colour in cluster_colours(8) if colour != "#f0e442"][:6]
_LOOKS: list[dict[str, Any]] = [
    {"color": colour, "linestyle": style, "linewidth": 1.3, "zorder": 3}
    for style, colour in product(("-", (0, (4, 1.5))), _COLOURS)
]
_GREY: dict[str, Any] = {"color": "#b5b5b5", "linewidth": 0.6, "zorder": 2}


def comparison_figure(runs: Sequence[RecordedRun]) -> Figure:
    """Target, reconstruction, silhouette, K, loss weights and learning rate by epoch, a line per run.

    Args:
        runs: the best first; those without an epoch are left out.
    """
    drawn = [run for run in runs if run.epochs]
    many = len(drawn) > MOST_LINES
    looks = [_GREY if many and place >= BEST else _LOOKS[place] for place in range(len(drawn))]
    shown = drawn[: BEST if many else None]
    entries = len(shown) + many
    widest = max(1, min(4, 130 // max((len(run.name) for run in shown), default=1)))
    legend_rows = max(1, math.ceil(entries / widest))
    columns = max(1, math.ceil(entries / legend_rows))
    figure, grid = grid_figure(2, [3.0] * 3, 2.0, gaps=(0.75, 0.6), margins=(0.65, 0.2, 0.5, 0.25 + 0.19 * legend_rows))
    target, reconstruction, silhouette, weights, rate, clusters = grid.flatten()
    # The grey ones first, and so below.
    for run, look in reversed(list(zip(drawn, looks, strict=True))):
        epoch = run.history["epoch"]
        _line(target, epoch, run.column("target"), look, label=run.name)
        _line(reconstruction, epoch, run.column("reconstruction"), look)
        _line(silhouette, epoch, run.history.get("ikmeans/silhouette", []), look)
        _line(clusters, epoch, run.history.get("ikmeans/k", []), look, step=True)
        _line(rate, epoch, run.history.get("lr", []), look, step=True)
        _line(weights, epoch, run.history.get("gamma", []), look)
        beta = run.history.get("beta", [])
        for name, values in run.history.items():
            if name.startswith("weight/"):
                _line(weights, epoch, values, {**look, "linestyle": ":"})
        _line(weights, epoch, beta if any(beta) else [], {**look, "linewidth": 2 * look["linewidth"], "alpha": 0.35})
    further = any(name.startswith("weight/") for run in drawn for name in run.history)
    titles = {
        target: "target", reconstruction: "reconstruction", silhouette: "silhouette of sampled latents", clusters: "K",
        rate: "learning rate",
        weights: r"weights: $\gamma$ thin, $\beta$ broad and pale" + (", others dotted" if further else ""),
    }  # fmt: skip
    for axes, title in titles.items():
        _show_all_of_equal_lines(axes)
        _tidy(axes, title)
    for axes in (target, reconstruction, rate):
        _set_scale(axes)
    clusters.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    _add_legend(figure, target, [run.name for run in shown], len(drawn) - len(shown), columns)
    return figure


def _line(
    axes: Axes,
    epoch: Sequence[float],
    values: Sequence[float],
    look: dict[str, Any],
    *,
    label: str = "",
    step: bool = False,
) -> None:
    """A run's line; epochs without a value, as between two clusterings, are bridged."""
    points = [(x + 1, y) for x, y in zip(epoch, values, strict=False) if math.isfinite(y)]
    if points:
        marker = "o" if len(points) == 1 else ""
        style = "steps-mid" if step else "default"
        axes.plot(*zip(*points, strict=True), **look, label=label, marker=marker, markersize=4, drawstyle=style)


def _show_all_of_equal_lines(axes: Axes) -> None:
    """Widen the lines that others hide, as those of a learning rate that no run changes, into borders around them."""
    groups: list[list[Line2D]] = []
    for line in axes.lines:
        found = next((group for group in groups if _begin_alike(group[0], line)), None)
        if found is None:
            groups.append([line])
        else:
            found.append(line)
    for lines in groups:
        for above, line in enumerate(reversed(lines)):  # the last is drawn over the others
            line.set_linewidth(line.get_linewidth() * (1 + 1.5 * min(above, MOST_BORDERS)))


def _begin_alike(one: Line2D, other: Line2D) -> bool:
    """Whether two lines are equal as far as the shorter goes."""
    a, b = np.asarray(one.get_xydata()), np.asarray(other.get_xydata())
    shorter = min(len(a), len(b))
    return np.array_equal(a[:shorter], b[:shorter])


def _set_scale(axes: Axes) -> None:
    values = [y for line in axes.lines for y in np.asarray(line.get_ydata(), dtype=float).tolist()]
    if values and min(values) > 0 and max(values) / min(values) > WIDE_RANGE:
        axes.set_yscale("log")


def _tidy(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=FONT_SIZE, loc="left")
    axes.set_xlabel("epoch" if axes.get_subplotspec().is_last_row() else "", fontsize=FONT_SIZE)  # type: ignore[union-attr]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=FONT_SIZE - 2)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure, axes: Axes, names: Sequence[str], others: int, columns: int) -> None:
    lines = {str(line.get_label()): line for line in axes.lines}
    found = [(lines[name], name) for name in names if name in lines]
    if others and len(axes.lines) > len(found):
        grey = next(line for line in axes.lines if line.get_color() == _GREY["color"])
        found.append((grey, f"{others} others"))
    if found:
        handles, texts = zip(*found, strict=True)
        plain = [text.replace("$", r"\$") for text in texts]  # no formulas
        figure.legend(handles, plain, loc="upper center", ncols=columns, fontsize=FONT_SIZE - 1, frameon=False)


def write_comparison_page(
    rows: Sequence[Row], keys: Sequence[str], notes: Sequence[str], figure: Figure, path: Path
) -> None:
    """Write a page that needs no network.

    Args:
        rows: of the runs, the best first.
        keys: settings in which they differ.
        notes: what should be known, in sentences.
        figure: of their courses.
        path: of the page.
    """
    shown = shown_results(rows, keys)
    kinds = ["failed" if row["problem"] else "" for row in rows]
    columns = [*shown, *(["problem"] if any(kinds) else [])]
    results = [[epochs_text(row) if name == "epochs" else row[name] for name in columns] for row in rows]
    parts = [
        "<h2>Results</h2><p>Of the epoch whose weights were kept, the best run first.</p>",
        table_html([TITLES.get(name, name) for name in columns], results, kinds),
        *(paragraph(note) for note in notes),
        "<h2>Course</h2>",
        figure_html(
            figure, "losses, silhouette of the sampled latents, K, weights of the loss and learning rate by epoch"
        ),
        "<h2>What differs in the configurations</h2>",
    ]
    if not keys:
        parts.append("<p>Nothing.</p>")
    elif len(keys) < len(rows):
        parts.append(table_html(["run", *keys], [[row["run"], *(row[key] for key in keys)] for row in rows]))
    else:
        by_key = [[key, *(row[key] for row in rows)] for key in keys]
        parts.append(table_html(["key", *(row["run"] for row in rows)], by_key))
    write_plain_page(path, f"Comparison of {len(rows)} runs", parts)
