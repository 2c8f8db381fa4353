import numpy as np
import pytest
from PIL import Image

from deepspec.clustering import structure
from deepspec.fit import main as fit
from deepspec.ingest import main as ingest
from deepspec.synthesize import main as synthesize
from tests.conftest import load_experiment


@pytest.fixture(scope="module")
def script():
    return load_experiment("drift_cases")


def picture(path, colours):
    """Blocks of colours."""
    Image.fromarray(np.kron(np.array(colours, np.uint8).reshape(2, 2, 3), np.ones((20, 24, 1), np.uint8))).save(path)


def test_share_right_counts_labelled_pixels_alone(script):
    labels, truth = np.array([[0, 1, -1], [1, 1, 0]]), np.array([[1, 0, 0], [0, script.NEW, 1]])
    assert script.share_right(labels, truth, np.array([1, 0])) == pytest.approx(4 / 5)
    assert np.isnan(script.share_right(np.full((2, 2), -1), np.zeros((2, 2), int), np.array([0])))


@pytest.mark.slow
def test_no_verdict_is_silently_wrong(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)
    picture("own.png", [[200, 30, 30], [30, 160, 60], [40, 60, 190], [230, 220, 60]])
    picture("other.png", [[120, 70, 30], [240, 240, 235], [25, 25, 30], [150, 60, 150]])
    synthesize(
        ["xrf", "own.png", "--size", "48", "--seed", "7", "--k_range", "4", "4", "--palette", "1", "--out", "scans"]
    )
    ingest(["scans/own.h5", "--out", "shards"])
    (tmp_path / "a.yaml").write_text(
        "run_dir: run\ndata: {root: shards, batch_size: 256}\n"
        "model:\n  preprocess: [sqrt, {step: pca, components: 16}, {step: standard, scale: global}]\n"
        "  network: {kind: snn, encoder: [64], decoder: [64], latent: 3, output: linear}\n"
        "  optimizer: {lr: 0.002, schedule: cosine}\n"
        "clusterer: {kind: valleys}\nikmeans: {every_n_epochs: 1000}\n"
        "loss_schedule: {gamma: {kind: constant, value: 0}}\ntrainer: {max_steps: 200, max_epochs: -1}\n"
    )
    fit(["--config", "a.yaml"])
    status = script.main(["run/model.ckpt", "own.png", "--others", "other.png", "--palettes", "1", "2", "--seeds", "7",
                          "8", "--size", "48", "--classes", "4", "--cases", "14", "--seed", "5"])  # fmt: skip
    shown = capsys.readouterr().out
    assert status == 0, shown
    assert "14 cases: 0 silently wrong" in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith(("exposure", "thinned", "detector "))]
    assert len(rows) == 6
    assert all("other" not in row for row in rows), shown
