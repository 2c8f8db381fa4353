"""report.html: the study on one page that needs no network."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import yaml

from deepspec.reporting.plain_page import cell_text, plain_figure, plain_table, write_plain_page
from deepspec.sweeping.best import best_trial, pareto_front
from deepspec.sweeping.plots import front_figure, history_figure, importance_figure, parallel_figure, slice_figure
from deepspec.sweeping.table import summary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepspec.sweeping.study import Sweep


def write_page(sweep: Sweep, rows: list[dict[str, Any]], path: Path) -> None:
    """Write the page.

    Args:
        sweep: whose.
        rows: of all trials, as in trials.csv.
        path: of the page.
    """
    best = best_trial(sweep.study)
    parts = [f"<p>{html.escape(summary(sweep))}</p>"]
    if best is not None:
        drawn = "".join(
            f"<tr><td>{cell_text(name)}</td><td>{cell_text(value)}</td></tr>" for name, value in best.params.items()
        )
        parts.append(f"<h2>Best: trial {best.number}</h2><table>{drawn}</table><p>Complete in best.yaml.</p>")
        parts += _front(sweep, rows)
        parts += [part for index in range(len(sweep.settings.objectives)) for part in _objective(sweep, index)]
    parts.append(f"<h2>Trials</h2>{_table(rows, None if best is None else best.number)}")
    definition = {"search": sweep.settings.search, "objectives": sweep.settings.objectives}
    parts.append(f"<h2>Sweep</h2><pre>{cell_text(yaml.safe_dump(definition, sort_keys=False))}</pre>")
    write_plain_page(path, sweep.settings.name, parts)


def _objective(sweep: Sweep, index: int) -> list[str]:
    name, direction = list(sweep.settings.objectives.items())[index]
    parts = [f"<h2>{cell_text(name)} ({direction})</h2>"]
    importance = importance_figure(sweep, index)
    parts.append("<h3>Importance</h3><p>For reaching the best tenth of the trials; rough below some fifty of them.</p>")
    parts.append(
        "<p>Too few trials to tell.</p>" if importance is None else plain_figure(importance, f"importance for {name}")
    )
    parts += ["<h3>Every parameter</h3>", plain_figure(slice_figure(sweep, index), f"parameters against {name}")]
    parts += [
        "<h3>All parameters</h3>",
        plain_figure(parallel_figure(sweep, index), f"parallel coordinates for {name}"),
    ]
    parts += ["<h3>Course</h3>", plain_figure(history_figure(sweep, index), f"{name} by trial")]
    return parts


def _front(sweep: Sweep, rows: list[dict[str, Any]]) -> list[str]:
    figure = front_figure(sweep)
    if figure is None:
        return []
    numbers = {trial.number for trial in pareto_front(sweep.study)}
    return [
        "<h2>Pareto front</h2><p>No other trial is as good in every objective and better in one.</p>",
        plain_figure(figure, "Pareto front"),
        _table([row for row in rows if row["trial"] in numbers], None),
    ]


def _table(rows: Sequence[dict[str, Any]], best: int | None) -> str:
    if not rows:
        return "<p>None.</p>"
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    kinds = ["best" if row["trial"] == best else row["state"] for row in rows]
    return plain_table([[row[name] for name in columns] for row in rows], columns, kinds)
