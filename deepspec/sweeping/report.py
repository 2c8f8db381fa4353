"""Runs a worker under a table in the terminal, and writes what the study has found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from optuna.trial import TrialState
from rich.console import Console
from rich.live import Live

from deepspec.reporting.texts import number_text
from deepspec.sweeping.best import best_trial, trial_rows, write_best, write_tables
from deepspec.sweeping.lost import requeue_failed, superseded
from deepspec.sweeping.page import write_page
from deepspec.sweeping.study import open_sweep
from deepspec.sweeping.table import error_of, live_table, state_of, summary
from deepspec.sweeping.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepspec.sweeping.settings import SweepSettings
    from deepspec.sweeping.study import Sweep

LIVE_PAUSE = 2.0
"""Seconds between two looks at the storage for the table; a database is asked by many workers."""


def run_and_report(settings: SweepSettings, environment: Mapping[str, str]) -> None:
    """Open the sweep, work, and write the results.

    Args:
        settings: checked by `check_settings`.
        environment: of this process.

    Raises:
        UserError: the sweep cannot be run; see `open_sweep`.
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


def write_results(sweep: Sweep) -> None:
    """Write best.yaml, trials.csv, pareto.csv and report.html, and say so."""
    folder = sweep.settings.folder
    trials = sweep.study.get_trials(deepcopy=False)
    again = superseded(trials)
    rows = trial_rows(sweep, {trial.number: state_of(trial, again) for trial in trials})
    write_best(sweep, folder / "best.yaml")
    write_tables(sweep, rows, folder)
    write_page(sweep, rows, folder / "report.html")
    print(summary(sweep))
    best = best_trial(sweep.study)
    if best is not None:
        values = ", ".join(
            f"{name} {number_text(value)}" for name, value in zip(sweep.settings.objectives, best.values, strict=True)
        )
        print(f"best: trial {best.number}, {values}")
    written = {
        "best.yaml": best is not None,
        "pareto.csv": len(sweep.settings.objectives) > 1,
        "trials.csv": True,
        "report.html": True,
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
