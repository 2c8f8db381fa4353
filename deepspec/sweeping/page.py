"""report.html: the study on one page that needs no network."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import yaml

from deepspec.sweeping.best import best_trial, pareto_front
from deepspec.sweeping.plots import front_figure, history_figure, importance_figure, parallel_figure, slice_figure
from deepspec.sweeping.table import summary, value_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from deepspec.sweeping.study import Sweep

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
.wide { overflow-x: auto } img { max-width: 100% } .failed { color: #a33 } .best { background: #fff3d6 }
pre { background: #f5f5f5; padding: .6rem; overflow-x: auto; font-size: 13px }
"""


def write_page(sweep: Sweep, rows: list[dict[str, Any]], path: Path) -> None:
    """Write the page.

    Args:
        sweep: whose.
        rows: of all trials, as in trials.csv.
        path: of the page.
    """
    best = best_trial(sweep.study)
    parts = [f"<h1>{html.escape(sweep.settings.name)}</h1>", f"<p>{html.escape(summary(sweep))}</p>"]
    if best is not None:
        drawn = "".join(
            f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in best.params.items()
        )
        parts.append(f"<h2>Best: trial {best.number}</h2><table>{drawn}</table><p>Complete in best.yaml.</p>")
        parts += _front(sweep, rows)
        parts += [part for index in range(len(sweep.settings.objectives)) for part in _objective(sweep, index)]
    parts.append(f"<h2>Trials</h2>{_table(rows, None if best is None else best.number)}")
    definition = {"search": sweep.settings.search, "objectives": sweep.settings.objectives}
    parts.append(f"<h2>Sweep</h2><pre>{_text(yaml.safe_dump(definition, sort_keys=False))}</pre>")
    title = html.escape(sweep.settings.name)
    head = f"<meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    page = f"<!doctype html><html lang=en>{head}{''.join(parts)}</html>"
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(page)
    temporary.replace(path)


def _objective(sweep: Sweep, index: int) -> list[str]:
    name, direction = list(sweep.settings.objectives.items())[index]
    parts = [f"<h2>{_text(name)} ({direction})</h2>"]
    importance = importance_figure(sweep, index)
    parts.append("<h3>Importance</h3><p>For reaching the best tenth of the trials; rough below some fifty of them.</p>")
    parts.append(
        "<p>Too few trials to tell.</p>" if importance is None else _image(importance, f"importance for {name}")
    )
    parts += ["<h3>Every parameter</h3>", _image(slice_figure(sweep, index), f"parameters against {name}")]
    parts += ["<h3>All parameters</h3>", _image(parallel_figure(sweep, index), f"parallel coordinates for {name}")]
    parts += ["<h3>Course</h3>", _image(history_figure(sweep, index), f"{name} by trial")]
    return parts


def _front(sweep: Sweep, rows: list[dict[str, Any]]) -> list[str]:
    figure = front_figure(sweep)
    if figure is None:
        return []
    numbers = {trial.number for trial in pareto_front(sweep.study)}
    return [
        "<h2>Pareto front</h2><p>No other trial is as good in every objective and better in one.</p>",
        _image(figure, "Pareto front"),
        _table([row for row in rows if row["trial"] in numbers], None),
    ]


def _table(rows: Sequence[dict[str, Any]], best: int | None) -> str:
    if not rows:
        return "<p>None.</p>"
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = []
    for row in rows:
        kind = "best" if row["trial"] == best else row["state"]
        cells = "".join(f"<td>{_text(row[name])}</td>" for name in columns)
        body.append(f'<tr class="{kind}">{cells}</tr>')
    return f"<div class=wide><table><tr>{head}</tr>{''.join(body)}</table></div>"


def _image(figure: Figure, description: str) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    data = base64.b64encode(stream.getvalue()).decode()
    width = round(figure.get_figwidth() * 100)
    return f'<img alt="{html.escape(description)}" width="{width}" src="data:image/png;base64,{data}">'


def _text(value: object) -> str:
    return "" if value is None else html.escape(value_text(value))
