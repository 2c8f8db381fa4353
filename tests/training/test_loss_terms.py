"""The table of loss terms: one from outside, registered and by entry point, in real runs."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import deepspec
from deepspec import DeepClustering
from deepspec.errors import UserError
from deepspec.reporting.training_figures import training_history
from deepspec.runs.folder import read_history
from deepspec.training.loss_schedule import LossSchedule
from deepspec.training.loss_terms import loss_terms
from deepspec.training.objective import Objective, ObjectiveConfig, Weights
from tests.training.test_run import CONFIG

ROOT = Path(__file__).parents[2]
STEP = {"kind": "step", "value": 0.5, "start": 1}


# A term from outside the package, all of it: a pull of the latent points to the origin
PULL = """
def pull(batch):
    batch.numbers["farthest"] = float(batch.mean_ML.detach().norm(dim=1).max())
    return batch.mean_ML.square().mean()
"""


@pytest.fixture
def package(tmp_path):
    """An installed package that brings two terms, of which one is none."""
    (tmp_path / "pulls.py").write_text(PULL + "number = 3\n")
    info = tmp_path / "pulls-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pulls\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepspec.loss_terms]\npull = pulls:pull\nnumber = pulls:number\n")
    return tmp_path


def fit(package, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(package)])}
    command = [sys.executable, "-m", "deepspec.fit", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170, check=False)


def test_a_term_of_an_installed_package_in_the_real_command(package, tiny_shards, tmp_path):
    given = CONFIG | {"loss_schedule": {"terms": {"pull": STEP}}, "data": {"batch_size": 128, "root": str(tiny_shards)}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given))
    run_dir = tmp_path / "run"
    done = fit(package, "--config", str(tmp_path / "config.yaml"), "--run_dir", str(run_dir),
               "--loss_schedule.terms.pull.value", "0.25")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "  pull 0." in done.stdout
    with (run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["weight/pull"]) for row in rows] == [0, 0.25, 0.25]
    for row in rows:
        parts = {name: float(row[f"val/{name}"]) for name in ("reconstruction", "silhouette", "pull", "target")}
        whole = parts["reconstruction"] + 0.01 * parts["silhouette"] + 0.25 * parts["pull"]
        assert parts["target"] == pytest.approx(whole, rel=1e-5)
        assert float(row["train/farthest"]) > 0
    assert float(rows[-1]["train/pull"]) < 0.8 * float(rows[0]["train/pull"])
    model = DeepClustering.load(run_dir / "model.ckpt")  # without the package
    assert model.final_weights["pull"] == 0.25
    labels = [text.get_text() for axes in training_history(read_history(run_dir)).axes if axes.get_legend()
              for text in axes.get_legend().get_texts()]  # fmt: skip
    assert {"pull", "of pull"} <= set(labels)
    wrong = fit(package, "--config", str(tmp_path / "config.yaml"), "--run_dir", str(tmp_path / "other"),
                "--loss_schedule.terms", "{number: {kind: constant, value: 1}}")  # fmt: skip
    assert wrong.returncode == 2
    assert "loss term 'number' (pulls:number, of the package pulls) cannot serve" in wrong.stderr
    assert len(wrong.stderr.strip().splitlines()) == 1


def test_a_registered_term_in_a_run_of_this_process(tiny_shards, tmp_path, monkeypatch):
    monkeypatch.setattr(loss_terms, "_registered", {})
    loss_terms.register("small", lambda batch: batch.reconstruction_ND.square().mean())
    run = deepspec.train(
        CONFIG, data={"root": tiny_shards}, run_dir=tmp_path / "run",
        loss_schedule={"terms": {"small": {"kind": "constant", "value": 2.0}}},
    )  # fmt: skip
    plain = deepspec.train(CONFIG, data={"root": tiny_shards}, run_dir=tmp_path / "plain")
    assert "train/small" not in plain.metrics
    assert run.metrics["train/reconstruction"][-1] > plain.metrics["train/reconstruction"][-1]
    assert "terms: null" in (tmp_path / "plain" / "config.yaml").read_text()


def batch():
    torch.manual_seed(0)
    x, z = torch.rand(40, 8), torch.rand(40, 3)
    return x, x + 0.1, z, z


def test_weights_add_up_in_any_order_and_the_reconstruction_may_have_one(monkeypatch):
    monkeypatch.setattr(loss_terms, "_registered", {})
    loss_terms.register("seven", lambda batch: torch.tensor(7.0))
    loss_terms.register("absent", lambda batch: None)
    weights = Weights(0.3, 0.0, {"seven": 2.0, "absent": 1.0, "reconstruction": 0.5})
    parts = Objective(ObjectiveConfig())(*batch(), weights, weights)
    assert set(parts.terms) == {"reconstruction", "mmd", "seven"}
    assert float(parts.total) == pytest.approx(0.5 * 0.01 + 0.3 * float(parts.mmd) + 14, rel=1e-6)
    assert float(parts.target) == float(parts.total)


def test_what_is_no_term_is_refused(monkeypatch):
    monkeypatch.setattr(loss_terms, "_registered", {})
    with pytest.raises(UserError, match="deepspec has one of this name"):
        loss_terms.register("mmd", lambda batch: None)
    with pytest.raises(UserError, match="expected a name without a slash that no column"):
        loss_terms.register("target", lambda batch: None)
    with pytest.raises(TypeError, match="a loss term is a function of a LossInput, got a value of type int"):
        loss_terms.register("number", 3)
    loss_terms.register("vector", lambda batch: batch.mean_ML.mean(0))
    weights = Weights(0.0, 0.0, {"vector": 1.0})
    with pytest.raises(UserError, match=r"loss term 'vector': expected a scalar, got shape \(3,\)"):
        Objective(ObjectiveConfig())(*batch(), weights, weights)
    with pytest.raises(UserError, match=r"loss_schedule\.terms\.vectr: no such loss term \(did you mean 'vector'\?\)"):
        LossSchedule(terms={"vectr": {"kind": "constant", "value": 1}})


def test_a_sweep_searches_the_weight_of_a_term_of_another_package(package, tiny_shards, tmp_path):
    given = CONFIG | {"loss_schedule": {"terms": {"pull": {"kind": "constant", "value": 0.1}}},
                      "data": {"batch_size": 128, "root": str(tiny_shards)}}  # fmt: skip
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(given))
    sweep = {
        "study": str(tmp_path / "study"), "experiment": "experiment.yaml", "sampler": {"kind": "grid"},
        "search": {"loss_schedule.terms.pull.value": {"type": "categorical", "choices": [0.001, 2.0]}},
        "objectives": {"val/reconstruction": "minimize", "val/pull": "minimize"},
    }  # fmt: skip
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(package)])}
    command = [sys.executable, "-m", "deepspec.sweep", "--config", str(tmp_path / "sweep.yaml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "study" / "trials.csv").open() as file:
        pulls = {float(row["loss_schedule.terms.pull.value"]): float(row["val/pull"]) for row in csv.DictReader(file)}
    assert pulls[2.0] < 0.8 * pulls[0.001]
