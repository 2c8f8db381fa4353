"""What a sweep found: its best trial, or those that none beats in every objective, as configurations and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from optuna.study import StudyDirection
from optuna.trial import TrialState

from deepspec.files import complete_or_absent, write_csv

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from optuna.trial import FrozenTrial

    from deepspec.sweeping.study import Sweep

BEST, TRIALS, FRONT = "best.yaml", "trials.csv", "pareto.csv"
"""Names of what a sweep leaves in its folder, besides `REPORT`."""


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that ran to their end."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The best trial; with several objectives the one of the front that is nearest to the best of each.

    Distances count each objective by its range over the front, so units do not matter. None if no trial has ended.
    """
    front = study.best_trials  # of one objective all that share its best value
    if len(study.directions) == 1 or len(front) < 2:
        return front[0] if front else None
    costs_TO = _costs(study, front)
    span_O = np.ptp(costs_TO, axis=0)
    scaled_TO = (costs_TO - costs_TO.min(0)) / np.where(span_O > 0, span_O, 1)
    return front[int(np.argmin((scaled_TO**2).sum(1)))]


def write_best(sweep: Sweep, path: Path) -> None:
    """Write the best trial's complete configuration, which `fit` trains to the same metrics; nothing without one."""
    best = best_trial(sweep.study)
    if best is None:
        return
    values = ", ".join(
        f"{name} = {value:.6g}" for name, value in zip(sweep.settings.objectives, best.values, strict=True)
    )
    kind = "the best" if len(sweep.settings.objectives) == 1 else "of the Pareto front the nearest to the best of each"
    heading = (
        f"# Trial {best.number} of study {sweep.settings.name}, {kind}:\n# {values}\n"
        f"#   deepspec fit --config {path}\n"
        f"# Once more: the same with --run_dir ANOTHER, or with --overwrite true.\n"
    )
    config = sweep.config(best, sweep.settings.folder / "best")
    _write(path, heading + yaml.safe_dump(config, sort_keys=False))


def write_tables(sweep: Sweep, rows: list[dict[str, Any]], folder: Path) -> None:
    """Write `TRIALS`, and `FRONT` if there are several objectives.

    Args:
        sweep: whose.
        rows: of all trials, each with its `trial` number.
        folder: to write into.
    """
    columns = list(rows[0]) if rows else ["trial"]
    write_csv(folder / TRIALS, columns, rows)
    if len(sweep.settings.objectives) > 1:
        front = {trial.number for trial in sweep.study.best_trials}
        write_csv(folder / FRONT, columns, [row for row in rows if row["trial"] in front])


def trial_rows(sweep: Sweep, states: dict[int, str]) -> list[dict[str, Any]]:
    """A row for each trial that is in `states`: number, state, objectives, parameters, seed, seconds, error."""
    rows = []
    for trial in sweep.study.get_trials(deepcopy=False):
        if trial.number not in states:
            continue
        values = trial.values or [None] * len(sweep.settings.objectives)
        rows.append(
            {"trial": trial.number, "state": states[trial.number]}
            | dict(zip(sweep.settings.objectives, values, strict=True))
            | {name: trial.params.get(name) for name in sweep.space.distributions}
            | {
                "seed": trial.user_attrs.get("seed"),
                "epochs": trial.user_attrs.get("epoch"),
                "seconds": None if trial.duration is None else round(trial.duration.total_seconds(), 1),
                "error": trial.user_attrs.get("error") if states[trial.number] == "failed" else None,
            }
        )
    return rows


def _costs(study: optuna.Study, trials: list[FrozenTrial]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(T trials, O objectives), less is better."""
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions]
    return np.array([trial.values for trial in trials], dtype=np.float64) * signs


def _write(path: Path, text: str) -> None:
    with complete_or_absent(path) as part:
        part.write_text(text)
