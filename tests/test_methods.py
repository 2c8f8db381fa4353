import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from deepspec.clustering import structure
from tests.conftest import load_experiment
from tests.support.planted import planted_cube

SCRIPT = Path(__file__).parents[1] / "experiments" / "methods.py"


@pytest.fixture(scope="module")
def methods():
    return load_experiment("methods")


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """A planted cube whose first columns have no class, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)
    cube, truth = planted_cube()
    np.save("scan.npy", cube.read_rows(0, 24))
    labels = truth + 1
    labels[:, :2] = 0
    np.save("labels.npy", labels)
    return labels


COMMON = ["scan.npy", "--labels", "labels.npy", "--ignore", "0", "--out", "runs.csv"]


def test_baselines_stand_in_a_table_with_their_spread(methods, scan, capsys):
    methods.main([*COMMON, "--experiments", "--baselines", "pca", "raw:[sqrt]", "--seeds", "0", "1", "--k", "3", "3"])
    printed = capsys.readouterr().out
    assert "4 classes, 672 labelled pixels; mean ± standard deviation over seeds" in printed
    rows = {line.split()[0]: line for line in printed.splitlines() if line.startswith(("pca ", "raw:[sqrt] "))}
    assert set(rows) == {"pca", "raw:[sqrt]"}
    # Three clusters where there are four materials, and all four where their number is known.
    assert "3 3 " in rows["pca"]
    assert "1.000 ± 0.000" in rows["pca"]
    with open("runs.csv") as file:
        runs = list(csv.DictReader(file))
    assert [(run["method"], run["seed"], run["k"]) for run in runs] == [
        (method, seed, "3") for method in ("pca", "raw:[sqrt]") for seed in "01"
    ]
    assert all(0 < float(run["ari"]) < float(run["ari_true_k"]) == 1 for run in runs)


def test_an_experiment_is_trained_on_the_labelled_pixels(methods, scan, capsys):
    experiment = SCRIPT.parent / "xrf.yaml"
    methods.main([*COMMON, "--labelled_only", "--experiments", str(experiment), "--baselines", "--seeds", "3",
                  "--set=--trainer.max_epochs=1", "--set=--data.batch_size=64", "--work", "kept"])  # fmt: skip
    assert "xrf, seed 3: K = " in capsys.readouterr().out
    assert Path("kept/xrf-3/model.ckpt").is_file()
    from deepspec.data.shards.manifest import ShardSet

    shards = ShardSet("kept/shards")
    assert sum(shards.rows(split) for split in shards.splits) == 672

    # The same run, as one that was trained elsewhere, beside a picture of three colours.
    colours = np.array([[200, 20, 20], [20, 200, 20], [20, 20, 200], [20, 20, 200]], dtype=np.uint8)
    Image.fromarray(colours[scan.clip(1) - 1]).save("scan.png")
    methods.main([*COMMON, "--experiments", "--baselines", "pca", "--seeds", "0", "--runs", "again=kept/xrf-3",
                  "--image", "scan.png"])  # fmt: skip
    printed = capsys.readouterr().out
    assert "F1, colours" in printed
    with open("runs.csv") as file:
        again, pca = csv.DictReader(file)
    assert (again["method"], again["seed"]) == ("again", "0")
    # PCA finds the four materials; two of them have one colour, of which the match gives the larger to it.
    counts = np.bincount(scan.clip(1).ravel() - 1)
    merged = np.array([0, 1, 2, 3])[scan.clip(1) - 1]
    truth = np.where(merged == 3, 2, merged)
    found = np.where(merged == 3, 2, np.where(merged == 2, 3, merged))
    assert counts[3] > counts[2]
    assert float(pca["f1_colours"]) == pytest.approx(f1_score(truth.ravel(), found.ravel(), average="weighted"))


def test_mistakes_are_one_line(methods, scan, capsys):
    def refused(*words):
        with pytest.raises(SystemExit) as status:
            methods.main([*COMMON, *words])
        assert status.value.code == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "expected some of pca" in refused("--baselines", "tsne")
    assert "no such YAML file" in refused("--experiments", "none.yaml")
    np.save("other.npy", np.zeros((3, 4), int))
    assert "has shape (3, 4), the cube (24, 30)" in refused("--labels", "other.npy", "--ignore", "9")
    assert "expected NAME=RUN,RUN" in refused("--runs", "none")
    assert "expected the folder of a finished run" in refused("--runs", "a=none")
    assert "rgb needs --image" in refused("--experiments", "--baselines", "rgb")
