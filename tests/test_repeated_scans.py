from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from deepspec.clustering import structure
from deepspec.synthesize import main as synthesize
from tests.conftest import load_experiment


@pytest.fixture(scope="module")
def script():
    return load_experiment("repeated_scans")


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """A small scan of three colours, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)
    colours = np.array([[200, 30, 30], [30, 160, 60], [40, 60, 190]], dtype=np.uint8)
    Image.fromarray(np.kron(colours[None], np.ones((24, 10, 1), np.uint8))).save("three.png")
    synthesize(["xrf", "three.png", "--out", "."])
    return Path("three.h5")


def test_two_draws_of_one_scan_are_segmented_alike(script, scan, capsys):
    script.main([str(scan), "--counts", "3000", "--k", "3", "--seeds", "0", "--set=--trainer.max_epochs=6",
                 "--set=--data.batch_size=64"])  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "24 x 30 pixels, 3 materials, seeds [0]"
    rows = {line.split()[2]: [float(word) for word in line.split()[-2:]] for line in lines[2:]}
    assert set(rows) == {"xrf", "PCA,"}
    assert rows["PCA,"] == [1.0, 1.0]
    assert min(rows["xrf"]) > 0.9


def test_rates_have_unit_mean_and_the_files_labels(script, scan):
    rates, labels, axis = script.read_rates(scan, 2)
    assert rates.shape == (12, 15, len(axis.values))
    assert rates.sum(-1).mean() == pytest.approx(1)
    with h5py.File(scan) as file:
        assert (labels == file["label"][::2, ::2]).all()
        expected = file["rates"][labels[3, 4]]
    assert rates[3, 4] / rates[3, 4].sum() == pytest.approx(expected / expected.sum())


def test_agreement_is_over_pixels_that_both_have(script):
    rng = np.random.default_rng(0)
    first, second = rng.integers(-1, 3, (2, 8, 9))
    both = (first >= 0) & (second >= 0)
    assert script.ari(first, second) == pytest.approx(adjusted_rand_score(first[both], second[both]))


def test_another_file_is_one_line(script, tmp_path, capsys):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["img"] = np.ones((4, 5, 64), np.uint16)
    with pytest.raises(SystemExit) as stop:
        script.main([str(path)])
    assert stop.value.code == 2
    assert "expected a scan of `synthesize xrf`" in capsys.readouterr().err
