"""A sweep from its start to its page: a table in the terminal while a worker runs, and what the study has found."""

from __future__ import annotations

import collections
import datetime
import sys
from html import escape
from typing import TYPE_CHECKING, Any

import yaml
from optuna.trial import TrialState
from rich.console import Console
from rich.live import Live
from rich.table import Table

from deepspec.files import REPORT
from deepspec.pages import figure_html, paragraph, table_html, write_plain_page
from deepspec.sweeping.best import BEST, FRONT, TRIALS, best_trial, trial_rows, write_best, write_tables
from deepspec.sweeping.lost import counted, requeue_failed, superseded
from deepspec.sweeping.plots import front_figure, history_figure, importance_figure, parallel_figure, slice_figure
from deepspec.sweeping.study import open_sweep
from deepspec.sweeping.worker import Worker
from deepspec.texts import number_text, short_names, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optuna.trial import FrozenTrial

    from deepspec.sweeping.settings import SweepSettings
    from deepspec.sweeping.study import Sweep


SHOWN = 12
"""Trials in the terminal: the running ones and the last that ended."""


LIVE_PAUSE = 2.0
"""Seconds between two looks at the storage for the table; a database is asked by many workers."""


def state_of(trial: FrozenTrial, again: set[int]) -> str:
    """In words; `again` holds the numbers of the trials that were queued again."""
    if trial.user_attrs.get("surplus"):
        return "surplus"
    if trial.number in again:
        return "requeued"
    names = {TrialState.COMPLETE: "done", TrialState.FAIL: "failed", TrialState.PRUNED: "pruned"}
    return names.get(trial.state, trial.state.name.lower())


def summary(sweep: Sweep) -> str:
    """One line: how many trials ended how."""
    trials = sweep.study.get_trials(deepcopy=False)
    again = superseded(trials)
    states = collections.Counter(state_of(trial, again) for trial in counted(trials))
    ended = sum(states[name] for name in ("done", "pruned", "failed"))
    parts = [f"{states[name]} {name}" for name in ("done", "pruned", "failed", "running") if states[name]]
    if again:
        parts.append(f"{len(again)} requeued")
    return f"{sweep.settings.name}: {ended} of {sweep.total} trials ({', '.join(parts) or 'none yet'})"


def live_table(sweep: Sweep) -> Table:
    """The running trials, the last that ended, and the best."""
    trials = sweep.study.get_trials(deepcopy=False)
    again = superseded(trials)
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    ended = sorted(
        (trial for trial in counted(trials) if trial.state.is_finished()),
        key=lambda trial: trial.datetime_complete or datetime.datetime.min,
    )
    best = best_trial(sweep.study)
    shown = {trial.number: trial for trial in [*ended[len(running) - SHOWN :], *running, *([best] if best else [])]}
    short = short_names(list(sweep.space.distributions))
    table = Table(title=summary(sweep), title_justify="left")
    for heading in ("trial", "state", "epoch", *sweep.settings.objectives, "parameters"):
        table.add_column(heading, overflow="fold")
    for number, trial in sorted(shown.items()):
        values = trial.values or [""] * len(sweep.settings.objectives)
        drawn = "  ".join(f"{short.get(name, name)}={value_text(value)}" for name, value in trial.params.items())
        table.add_row(
            f"{number}{' *' if best is not None and number == best.number else ''}",
            state_of(trial, again),
            str(trial.user_attrs.get("epoch", "")),
            *(value if isinstance(value, str) else number_text(value) for value in values),
            drawn if trial.state != TrialState.FAIL else error_of(trial),
        )
    return table


def error_of(trial: FrozenTrial) -> str:
    """The last line of a failed trial's error."""
    lines = str(trial.user_attrs.get("error", "")).strip().splitlines()
    return lines[-1] if lines else "its worker ended"


def write_page(sweep: Sweep, rows: list[dict[str, Any]], path: Path) -> None:
    """Write the page.

    Args:
        sweep: whose.
        rows: of all trials, as in trials.csv.
        path: of the page.
    """
    best = best_trial(sweep.study)
    parts = [paragraph(summary(sweep))]
    if best is not None:
        parts.append(f"<h2>Best: trial {best.number}</h2>")
        parts.append(table_html(["parameter", "value"], list(best.params.items())))
        parts.append(paragraph(f"Complete in {BEST}."))
        parts += _front(sweep, rows)
        parts += [part for index in range(len(sweep.settings.objectives)) for part in _objective(sweep, index)]
    parts.append(f"<h2>Trials</h2>{_table(rows, None if best is None else best.number)}")
    definition = {"search": sweep.settings.search, "objectives": sweep.settings.objectives}
    parts.append(f"<h2>Sweep</h2><pre>{escape(yaml.safe_dump(definition, sort_keys=False))}</pre>")
    write_plain_page(path, sweep.settings.name, parts)


def _objective(sweep: Sweep, index: int) -> list[str]:
    name, direction = list(sweep.settings.objectives.items())[index]
    parts = [f"<h2>{escape(name)} ({direction})</h2>"]
    importance = importance_figure(sweep, index)
    parts.append("<h3>Importance</h3><p>For reaching the best tenth of the trials; rough below some fifty of them.</p>")
    parts.append(
        "<p>Too few trials to tell.</p>" if importance is None else figure_html(importance, f"importance for {name}")
    )
    parts += ["<h3>Every parameter</h3>", figure_html(slice_figure(sweep, index), f"parameters against {name}")]
    parts += [
        "<h3>All parameters</h3>",
        figure_html(parallel_figure(sweep, index), f"parallel coordinates for {name}"),
    ]
    parts += ["<h3>Course</h3>", figure_html(history_figure(sweep, index), f"{name} by trial")]
    return parts


def _front(sweep: Sweep, rows: list[dict[str, Any]]) -> list[str]:
    figure = front_figure(sweep)
    if figure is None:
        return []
    numbers = {trial.number for trial in sweep.study.best_trials}
    return [
        "<h2>Pareto front</h2><p>No other trial is as good in every objective and better in one.</p>",
        figure_html(figure, "Pareto front"),
        _table([row for row in rows if row["trial"] in numbers], None),
    ]


def _table(rows: Sequence[dict[str, Any]], best: int | None) -> str:
    if not rows:
        return "<p>None.</p>"
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    kinds = ["best" if row["trial"] == best else row["state"] for row in rows]
    return table_html(columns, [[row[name] for name in columns] for row in rows], kinds)


def run_and_report(settings: SweepSettings, environment: Mapping[str, str]) -> None:
    """Open the sweep, work, and write the results.

    Args:
        settings: checked by `check_settings`.
        environment: of this process.

    Raises:
        UserError: the sweep cannot be run; see `open_sweep`.
        SystemExit: status 1 if trials have failed or are left.
    """
    sweep = open_sweep(settings, environment)
    settings.folder.mkdir(parents=True, exist_ok=True)
    print(summary(sweep), flush=True)
    stopped = False
    if not settings.report_only:
        if settings.retry_failed:
            print(f"failed trials queued again: {requeue_failed(sweep.study)}", flush=True)
        worker = Worker(sweep)
        if sys.stdout.isatty():
            with Live(live_table(sweep), console=Console(), auto_refresh=False) as live:
                stopped = worker.run(lambda: live.update(live_table(sweep), refresh=True), LIVE_PAUSE)
        else:
            stopped = worker.run(_Lines(sweep).show, LIVE_PAUSE)
    write_results(sweep)
    if stopped:
        print("stopped; the same command continues")
    if not settings.report_only and (wrong := unfinished(sweep)):
        print(wrong, flush=True)
        raise SystemExit(1)


def unfinished(sweep: Sweep) -> str:
    """One line on trials that have failed, and on those that nobody has begun; empty if there are neither."""
    trials = sweep.study.get_trials(deepcopy=False)
    again = superseded(trials)
    states = collections.Counter(state_of(trial, again) for trial in counted(trials))
    left = sweep.total - sum(count for state, count in states.items() if state != "waiting")
    parts = [f"{states['failed']} trials have failed (--retry_failed true runs them again)"] if states["failed"] else []
    parts += [f"{left} trials are left (the same command runs them)"] if left > 0 else []
    return "; ".join(parts)


def write_results(sweep: Sweep) -> None:
    """Write best.yaml, trials.csv, pareto.csv and report.html, and say so."""
    folder = sweep.settings.folder
    trials = sweep.study.get_trials(deepcopy=False)
    again = superseded(trials)
    rows = trial_rows(sweep, {trial.number: state_of(trial, again) for trial in trials})
    write_best(sweep, folder / BEST)
    write_tables(sweep, rows, folder)
    write_page(sweep, rows, folder / REPORT)
    print(summary(sweep))
    best = best_trial(sweep.study)
    if best is not None:
        values = ", ".join(
            f"{name} {number_text(value)}" for name, value in zip(sweep.settings.objectives, best.values, strict=True)
        )
        print(f"best: trial {best.number}, {values}")
    written = {
        BEST: best is not None,
        FRONT: len(sweep.settings.objectives) > 1,
        TRIALS: True,
        REPORT: True,
    }
    for name in (name for name, was_written in written.items() if was_written):
        print(f"wrote {folder / name}")


class _Lines:
    """A line for every trial that ends, where there is no terminal."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._told = {trial.number for trial in sweep.study.get_trials(deepcopy=False) if trial.state.is_finished()}

    def show(self) -> None:
        """Print what has ended since the last call."""
        trials = self._sweep.study.get_trials(deepcopy=False)
        again = superseded(trials)
        for trial in trials:
            if not trial.state.is_finished() or trial.number in self._told or trial.user_attrs.get("surplus"):
                continue
            self._told.add(trial.number)
            state = state_of(trial, again)
            values = "  ".join(
                f"{name} {number_text(value)}"
                for name, value in zip(self._sweep.settings.objectives, trial.values or [], strict=False)
            )
            print(
                f"trial {trial.number} {state}: {error_of(trial) if trial.state == TrialState.FAIL else values}",
                flush=True,
            )
