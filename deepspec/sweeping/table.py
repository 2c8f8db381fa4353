"""What a sweep has done so far: its trials as rows, for the terminal, trials.csv and the page."""

from __future__ import annotations

import collections
import datetime
from typing import TYPE_CHECKING

from optuna.trial import TrialState
from rich.table import Table

from deepspec.reporting.texts import number_text, short_names, value_text
from deepspec.sweeping.best import best_trial
from deepspec.sweeping.lost import counted, superseded

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from deepspec.sweeping.study import Sweep

SHOWN = 12
"""Trials in the terminal: the running ones and the last that ended."""


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
