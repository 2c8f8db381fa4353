"""The experiment that a sweep varies: its complete configuration, its keys, and the columns that it logs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from deepspec.errors import UserError, did_you_mean
from deepspec.files import METRICS
from deepspec.notes import note
from deepspec.renamed import in_new_words
from deepspec.runs.folder import kept_row, read_rows
from deepspec.training.overrides import with_overrides

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deepspec.runs.folder import Row
    from deepspec.sweeping.settings import Direction
    from deepspec.sweeping.space import Space

FIT = (sys.executable, "-m", "deepspec.fit")


def read_experiment(path: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment's file with the sweep's overrides, as they stand there: without defaults.

    Raises:
        UserError: the file is no YAML mapping.
    """
    try:
        config = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"experiment: {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise UserError(f"experiment: {path}: expected a mapping of keys, got {type(config).__name__}")
    return with_overrides(in_new_words(config, note), overrides)


def dotted_keys(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every key with its value, inner mappings and all that is in them.

    >>> dotted_keys({"a": {"b": 1}})
    {'a': {'b': 1}, 'a.b': 1}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        found[f"{prefix}{key}"] = value
        if isinstance(value, dict):
            found |= dotted_keys(value, f"{prefix}{key}.")
    return found


def resolve_experiment(raw: Mapping[str, Any], space: Space, experiment: str) -> dict[str, Any]:
    """Fill in every default, and try each single value of the search space on the parser of `fit`.

    Args:
        raw: what `read_experiment` gave.
        space: what is varied.
        experiment: the file's name, for messages.

    Returns:
        The complete configuration.

    Raises:
        UserError: the experiment, a key or a value of the search space is not valid.
    """
    (base,) = _resolve([raw])
    if "error" in base:
        raise UserError(f"{experiment} with the sweep's overrides: {base['error']}")
    config: dict[str, Any] = base["config"]
    space.check(dotted_keys(config))
    values = [(parameter.name, sets) for parameter in space.parameters for sets in parameter.extremes()]
    for (name, sets), found in zip(values, _resolve([with_overrides(config, sets) for _, sets in values]), strict=True):
        if "error" in found:
            raise UserError(f"search, {name}: {sets} is not valid: {found['error']}")
    return config


def check_objectives(objectives: Iterable[str], config: Mapping[str, Any], columns: Iterable[str], epoch: str) -> None:
    """Refuse objectives that trials will not log, or not in the epoch that counts.

    Raises:
        UserError: a column will not be logged; the message names the nearest one that will.
    """
    known = sorted(set(columns) - {"epoch", "step"})
    for name in objectives:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"objectives: the experiment does not log {name!r}{hint}; it logs {', '.join(known)}")
        for prefix, key in (("ikmeans/", "ikmeans.every_n_epochs"), ("val/", "trainer.check_val_every_n_epoch")):
            every = dotted_keys(config).get(key)
            # The last epoch is clustered in any case, and every_n_epochs 0 means it alone.
            logged = every in (1, None) or (prefix == "ikmeans/" and config.get("keep") == "last")
            if epoch == "kept" and name.startswith(prefix) and not logged:
                often = "in the last epoch" if every == 0 else f"every {every} epochs"
                raise UserError(
                    f"objectives: {name} is logged only {often}, so perhaps not in the one whose weights are kept: "
                    f"set {key} to 1, or `keep: last` in the experiment, or `epoch: best` in the sweep"
                )


def objective_values(
    rows: list[Row], objectives: Mapping[str, Direction], epoch: Literal["kept", "last", "best"], keep: str
) -> list[float]:
    """The value of each objective.

    Args:
        rows: of the finished trial.
        objectives: column -> direction.
        epoch: whose row counts: `kept`, `last`, or the `best` of each objective by itself.
        keep: of the experiment: `best` keeps the epoch with the lowest target, `last` the last one.

    Raises:
        UserError: there is no such value, or it is not finite.
    """
    if not rows:
        raise UserError("the trial ended without a row in metrics.csv")
    row = kept_row(rows, keep if epoch == "kept" else "last")
    values = []
    for name, direction in objectives.items():
        if epoch == "best":
            logged = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
            value = (min if direction == "minimize" else max)(logged, default=math.nan)
        else:
            value = row.get(name, math.nan)
        if not math.isfinite(value):
            what = f"is {value}" if name in row else "was not logged"
            raise UserError(f"{name} {what} in epoch {int(row['epoch'])}, which counts")
        values.append(value)
    return values


def logged_columns(config: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Columns of metrics.csv, by running two batches of the experiment.

    Raises:
        UserError: the experiment does not run; with the end of what it printed.
    """
    settings = dotted_keys(config)
    with tempfile.TemporaryDirectory(prefix="deepspec-sweep-") as folder:
        short: dict[str, Any] = {
            "run_dir": f"{folder}/run",
            "trainer.max_epochs": 1,
            "trainer.limit_train_batches": 2,
            "trainer.logger": None,
            "tracking.kind": None,
        }
        if settings["trainer.limit_val_batches"] != 0:
            short["trainer.limit_val_batches"] = 2
        file = Path(folder) / "probe.yaml"
        file.write_text(yaml.safe_dump(with_overrides(config, short), sort_keys=False))
        command = [*FIT, "--config", str(file)]
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UserError(f"the experiment does not run; its last lines:\n{last_lines(done.stdout + done.stderr)}")
        return [name for row in read_rows(Path(folder) / "run" / METRICS) for name in row]


def last_lines(text: str, count: int = 12) -> str:
    """The last lines that are not blank."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-count:])


def _resolve(configs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "deepspec.sweeping.resolve"]
    done = subprocess.run(command, input=json.dumps(configs), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"resolving the experiment failed:\n{last_lines(done.stderr)}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
