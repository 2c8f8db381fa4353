"""metrics.csv of a trial: its rows while it grows, and the values of the objectives in the epoch that counts."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Literal

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deepspec.sweeping.settings import Direction

Row = dict[str, float]


def read_rows(path: Path) -> list[Row]:
    """A row per epoch, of the numbers that it has; none if there is no file yet."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


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
    row = kept_row(rows) if (epoch, keep) == ("kept", "best") else rows[-1]
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


def kept_row(rows: list[Row]) -> Row:
    """The row of the epoch whose weights `fit` keeps: the first with the lowest target."""
    target = "val/target" if any("val/target" in row for row in rows) else "train/target"
    finite = [row for row in rows if math.isfinite(row.get(target, math.nan))]
    return min(finite, key=lambda row: row[target]) if finite else rows[-1]
