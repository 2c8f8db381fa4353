"""A run as its folder tells it: metrics.csv and the configuration, however complete they are.

What is said here of metrics.csv, such as which epoch counts, holds for comparisons, sweeps and figures alike.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from deepspec.errors import UserError
from deepspec.files import CONFIG, METRICS, MODEL
from deepspec.renamed import in_new_words

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIAL = "trial.yaml"
"""The configuration that a sweep gives to one of its trials."""

CONFIGS = (CONFIG, TRIAL)
"""The first is what `fit` resolved; of a trial that failed before, there is only what the sweep asked for."""

NO_DIFFERENCE = ("run_dir", "ckpt_path", "overwrite", "tracking", "trainer.logger", "trainer.enable_progress_bar")
"""Keys that say where a run is and who watched it, but not what it is."""

MISSING = object()
"""Of a key that a configuration does not have, as those of earlier versions."""


Row = dict[str, float]
"""What an epoch has logged, by column."""

History = dict[str, list[float]]
"""Columns of metrics.csv, a value per epoch; NaN where an epoch has none."""


def read_rows(file: Path) -> list[Row]:
    """Rows of a metrics.csv that may still grow, each with the numbers that it has; none if there is no file yet."""
    if not file.is_file():
        return []
    return [{name: float(value) for name, value in row.items() if value} for row in read_cells(file)]


def read_history(path: str | Path) -> History:
    """Columns of a run's metrics.csv, one value per epoch, NaN where an epoch has none.

    Args:
        path: metrics.csv, or the run folder that holds it.

    Raises:
        UserError: there is no such file, or it is another kind of table.
    """
    path = Path(path)
    path = path / METRICS if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path}: no such file; `fit` writes {METRICS} into its run folder")
    rows = read_cells(path)
    if not rows or "epoch" not in rows[0]:
        raise UserError(f"{path}: expected the {METRICS} of a run, with a column 'epoch' and at least one row")
    try:
        return {name: [float(row[name]) if row[name] else math.nan for row in rows] for name in rows[0]}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: expected numbers: {error}") from error


def read_cells(file: Path) -> list[dict[str, str]]:
    """Rows of a metrics.csv, each with the texts in it by column."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def kept_place(target: Sequence[float], keep: str, epochs: int) -> int | None:
    """Place of the epoch whose weights are in model.ckpt: the first with the lowest target, or the last.

    Args:
        target: the target of each epoch, of the validation split if there is one; NaN where it is not known.
        keep: of the configuration: `best` or `last`.
        epochs: how many there are.

    Returns:
        None without any.

    >>> kept_place([3.0, 1.0, 1.0, 2.0], "best", 4), kept_place([3.0, 1.0], "last", 2), kept_place([], "best", 0)
    (1, 1, None)
    """
    finite = [place for place, value in enumerate(target) if math.isfinite(value)]
    if keep == "last" or not finite:
        return epochs - 1 if epochs else None
    return min(finite, key=lambda place: target[place])


def kept_row(rows: Sequence[Row], keep: str = "best") -> Row:
    """The row of the epoch whose weights are in model.ckpt.

    Raises:
        IndexError: there is none.
    """
    target = "val/target" if any("val/target" in row for row in rows) else "train/target"
    place = kept_place([row.get(target, math.nan) for row in rows], keep, len(rows))
    return rows[-1 if place is None else place]


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """One run.

    Attributes:
        name: of its folder, with as much of the path as tells it from the others.
        folder: its own.
        config: the resolved configuration; empty if there is none that can be read.
        history: columns of metrics.csv, a value per epoch; empty if there is none that can be read.
        problems: what is missing or cannot be read, in words.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    history: History
    problems: tuple[str, ...]

    @property
    def epochs(self) -> int:
        """How many epochs have a row."""
        return len(self.history.get("epoch", ()))

    @property
    def wanted(self) -> int | None:
        """How many epochs were asked for."""
        found = value_of(self.config, "trainer.max_epochs")
        return found if isinstance(found, int) and found > 0 else None

    @property
    def finished(self) -> bool:
        """Whether `fit` came to its end, after all epochs or because it was told to stop early."""
        return (self.folder / MODEL).is_file()

    def column(self, name: str) -> list[float]:
        """A column of the validation split, else of the training, as `target` or `reconstruction`; empty if neither."""
        return self.history.get(f"val/{name}") or self.history.get(f"train/{name}") or []

    @property
    def kept(self) -> int | None:
        """Place of the epoch whose weights are in model.ckpt; None without any."""
        return kept_place(self.column("target"), self.config.get("keep", "best"), self.epochs)

    def at_kept(self, values: list[float]) -> float | None:
        """A column's value in that epoch, or the last before: not everything is worked out in every epoch."""
        kept = self.kept
        known = [] if kept is None else [value for value in values[: kept + 1] if math.isfinite(value)]
        return known[-1] if known else None


def find_runs(given: list[str]) -> list[RecordedRun]:
    """The runs of some folders: a run's own, or a study's, which stands for all its trials.

    Args:
        given: folders, in any order.

    Raises:
        UserError: one does not exist or is neither.
    """
    folders: dict[Path, Path] = {}
    for text in given:
        folder = Path(text)
        if not folder.is_dir():
            raise UserError(f"{text}: no such folder")
        trials = sorted(path for path in (folder / "trials").glob("*") if is_run(path))
        if not trials and not is_run(folder):
            raise UserError(
                f"{text}: expected the folder of a run (with metrics.csv or config.yaml), of a study (with trials) or "
                "of an evaluation (with evaluation.json)"
            )
        folders |= {path.resolve(): path for path in trials or [folder]}
    names = _names(list(folders))
    return [_read(name, folder) for name, folder in zip(names, folders.values(), strict=True)]


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return any((folder / name).is_file() for name in (METRICS, *CONFIGS))


def differing_keys(runs: list[RecordedRun]) -> list[str]:
    """The dotted keys in which the configurations differ, in their order.

    A key that only some have, as those of other versions of deepspec, does not differ by that alone.
    """
    keys = dict.fromkeys(key for run in runs for key in _leaves(run.config))
    found = []
    for key in keys:
        values = [value for run in runs if (value := value_of(run.config, key)) is not MISSING]
        ignored = any(f"{key}.".startswith(f"{name}.") for name in NO_DIFFERENCE)
        if not ignored and any(value != values[0] for value in values[1:]):
            found.append(key)
    # What is below a key that is null or a list elsewhere says it all.
    return [key for key in found if not any(other.startswith(f"{key}.") for other in found)]


def value_of(config: dict[str, Any], key: str) -> Any:
    """The value of a dotted key; None if a key above it is null, `MISSING` if there is none."""
    place: Any = config
    for part in key.split("."):
        if place is None:
            return None
        if not isinstance(place, dict) or part not in place:
            return MISSING
        place = place[part]
    return place


def _leaves(config: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in config.items():
        inner = _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else []
        found += inner or [f"{prefix}{key}"]
    return found


def _read(name: str, folder: Path) -> RecordedRun:
    problems = []
    config, history = {}, {}
    try:
        config = _read_config(folder)
    except UserError as error:
        problems.append(str(error))
    if (folder / METRICS).is_file():
        try:
            history = read_history(folder)
        except (UserError, UnicodeDecodeError) as error:
            problems.append(str(error))
    else:
        problems.append(f"no epoch has ended: there is no {METRICS}")
    run = RecordedRun(name, folder, config, history, ())
    if not run.finished and run.epochs:
        of = f" of {run.wanted}" if run.wanted else ""
        problems.append(f"unfinished: {run.epochs}{of} epochs and no {MODEL}")
    return RecordedRun(name, folder, config, history, tuple(problems))


def _read_config(folder: Path) -> dict[str, Any]:
    for file in (folder / name for name in CONFIGS):
        if file.is_file():
            try:
                config = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
                raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
            if isinstance(config, dict):
                return in_new_words(config)
            raise UserError(f"{file}: expected a mapping of keys, got {type(config).__name__}")
    raise UserError(f"no {CONFIG}")


def _names(folders: list[Path]) -> list[str]:
    """The last part of each path, and as many more as tell it apart from the others."""
    names = []
    for folder in folders:
        parts = folder.parts
        for count in range(1, len(parts) + 1):
            name = "/".join(parts[-count:])
            if sum(other.parts[-count:] == parts[-count:] for other in folders) == 1:
                break
        names.append(name)
    return names
