"""The script that compares the maps of several seeds."""

import numpy as np
import pytest

from tests.conftest import load_experiment
from tests.support.planted import planted_cube


@pytest.fixture(scope="module")
def script():
    return load_experiment("repeated_seeds")


def test_a_row_for_each_cube(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cube, _ = planted_cube()
    np.save("scan.npy", cube.read_rows(0, 24))
    script.main(["scan.npy", "--seeds", "0", "1", "--overrides", "trainer.max_steps=40"])
    row = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert row[0] == "scan"
    assert len(row[1].split()) == 2
    assert float(row[3]) <= float(row[2]) <= 1


def test_maps_are_compared_where_both_have_a_label(script):
    first = np.array([[0, 0, 1, 1, -1]])
    assert script.same_map(first, np.array([[1, 1, 0, 0, 0]])) == 1
    assert script.same_map(first, np.array([[0, 1, 0, 1, 0]])) < 0.1
    assert script.same_map(np.zeros((2, 2)), np.zeros((2, 2))) == 1


def test_a_single_seed_is_refused(script, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(["scan.npy", "--seeds", "3"])
    assert "expected at least two, got 1" in capsys.readouterr().err
