"""Which number of a run counts."""

import math

import pytest

from deepspec.errors import UserError
from deepspec.runs.folder import read_rows
from deepspec.sweeping.experiment import objective_values

ROWS = [
    {"epoch": 0.0, "val/target": 3.0, "s": 0.1},
    {"epoch": 1.0, "val/target": 1.0, "s": 0.9},
    {"epoch": 2.0, "val/target": 1.0, "s": 0.95},
    {"epoch": 3.0, "val/target": 2.0, "s": 0.5, "late": 1.0},
]


@pytest.mark.parametrize(
    ("epoch", "keep", "expected"),
    [
        ("kept", "best", [1.0, 0.9]),
        ("kept", "last", [2.0, 0.5]),
        ("last", "best", [2.0, 0.5]),
        ("best", "best", [1.0, 0.95]),
    ],
)
def test_epoch_that_counts(epoch, keep, expected):
    assert objective_values(ROWS, {"val/target": "minimize", "s": "maximize"}, epoch, keep) == expected


def test_without_validation_the_training_target_says_what_is_kept():
    rows = [{"epoch": 0.0, "train/target": 1.0, "s": 5.0}, {"epoch": 1.0, "train/target": 2.0, "s": 6.0}]
    assert objective_values(rows, {"s": "maximize"}, "kept", "best") == [5.0]


def test_values_that_are_none():
    with pytest.raises(UserError, match="late was not logged in epoch 1"):
        objective_values(ROWS, {"late": "minimize"}, "kept", "best")
    with pytest.raises(UserError, match="s is nan in epoch 0"):
        objective_values([{"epoch": 0.0, "s": math.nan}], {"s": "minimize"}, "last", "best")
    with pytest.raises(UserError, match="without a row"):
        objective_values([], {"s": "minimize"}, "best", "best")


def test_cells_that_are_empty_are_left_out(tmp_path):
    assert read_rows(tmp_path / "metrics.csv") == []
    (tmp_path / "metrics.csv").write_text("epoch,step,a,b\n0,3,1.5,\n1,6,,nan\n")
    first, second = read_rows(tmp_path / "metrics.csv")
    assert first == {"epoch": 0.0, "step": 3.0, "a": 1.5}
    assert math.isnan(second["b"])
