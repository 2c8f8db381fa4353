"""`deepspec.train`: what the command does, as a call."""

import csv
import logging
import math
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import deepspec
from deepspec.errors import UserError
from deepspec.fit import main
from deepspec.models.spectral_model import read_checkpoint
from tests.support.states import same_state

CONFIG = {
    "data": {"batch_size": 128},
    "model": {
        "network": {"encoder": [32, 16], "decoder": [32], "output": "linear"},
        "preprocess": ["sqrt", {"step": "standard"}],
    },
    "ikmeans": {"sample": 300},
    "trainer": {"accelerator": "cpu", "max_epochs": 3},
}


@pytest.fixture(scope="module")
def by_command(tiny_shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    main(["--config", str(folder / "config.yaml"), "--data.root", str(tiny_shards), "--run_dir", str(folder / "run"),
          "--trainer.max_epochs", "2", "--model.optimizer.lr", "1e-3"])  # fmt: skip
    return folder


def process_state():
    return {
        "argv": list(sys.argv),
        "levels": {name: logging.getLogger(name).level for name in ("", "lightning.pytorch", "lightning.fabric")},
        "filters": list(warnings.filters),
        "form": warnings.formatwarning,
        "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "cwd": Path.cwd(),
    }


def seed_all():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  the global state is what this is about
    random.seed(5)


def draws():
    return torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002


def test_it_is_the_run_of_the_command(by_command, tiny_shards, tmp_path):
    seed_all()
    drawn = draws()
    seed_all()
    before = process_state()
    run = deepspec.train(
        by_command / "config.yaml", data={"root": tiny_shards}, run_dir=tmp_path / "run",
        **{"trainer.max_epochs": np.int64(2), "model.optimizer": {"lr": 1e-3}},
    )  # fmt: skip
    assert process_state() == before
    assert draws() == drawn
    command = by_command / "run"
    states = [read_checkpoint(folder / "model.ckpt")["state_dict"] for folder in (command, run.folder)]
    assert same_state(*states)
    configs = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in (command, run.folder)]
    assert [config.pop("run_dir") for config in configs] == [str(command), str(tmp_path / "run")]
    assert configs[0] == configs[1]
    with (command / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(run.metrics) == set(rows[0])
    for name, values in run.metrics.items():
        expected = [float(row[name]) if row[name] else math.nan for row in rows]
        np.testing.assert_array_equal(values, expected, err_msg=name)
    assert run.kept == int(np.argmin(run.metrics["val/target"]))
    assert same_state(run.model.state_dict(), states[0])
    assert not run.model.training
    assert repr(run).splitlines()[0] == f"Run in {tmp_path / 'run'}"
    assert f"{int(run.model.clusters.count)} clusters" in repr(run)
    assert len(repr(run).splitlines()) == 3


def test_a_mapping_with_dotted_keys(tiny_shards, tmp_path):
    more = {"data.root": str(tiny_shards), "run_dir": str(tmp_path / "run")}
    run = deepspec.train(CONFIG | {"trainer": {"accelerator": "cpu", "max_steps": 3}}, **more)
    assert CONFIG["trainer"] == {"accelerator": "cpu", "max_epochs": 3}
    assert yaml.safe_load(run.model.run_config)["trainer"]["max_steps"] == 3
    with pytest.raises(UserError, match="holds an earlier run"):
        deepspec.train(CONFIG, **more)
    again = deepspec.train(CONFIG, **more, overwrite=True, **{"trainer.max_epochs": 1})
    assert len(again.metrics["epoch"]) == 1


def test_a_preset_and_a_trial(tiny_shards, tmp_path):
    run = deepspec.train("xrf", data={"root": str(tiny_shards)}, run_dir=tmp_path / "run", trainer={
        "fast_dev_run": 1, "accelerator": "cpu"})  # fmt: skip
    assert run.metrics == {}
    assert run.kept is None
    assert run.model.preprocess.spec[1]["step"] == "pca"
    assert not (tmp_path / "run").exists()
    assert len(repr(run).splitlines()) == 2


def test_without_a_configuration_the_kind_of_data_chooses(tiny_shards, tmp_path, capsys):
    run = deepspec.train(
        data={"root": str(tiny_shards)}, run_dir=tmp_path / "run",
        trainer={"max_steps": 2, "accelerator": "cpu"},
    )  # fmt: skip
    assert "so --config xrf" in capsys.readouterr().err
    assert yaml.safe_load(run.model.run_config)["clusterer"]["kind"] == "valleys"


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        (CONFIG, {"trainer.max_epoch": 3}, r"did you mean 'trainer.max_epochs'\?"),
        (CONFIG, {"model.network": {"dropout": 1.5}}, "dropout must be at least 0"),
        (CONFIG, {"data": {"root": "nowhere"}}, "nowhere"),
        (CONFIG, {"loss_schedule.gamma.kind": "sudden"}, "gamma.kind"),
        (CONFIG, {"trainer.callbacks": [object()]}, r"trainer.callbacks\[0\]: expected what a YAML file can hold"),
        ("xrff", {}, r"train: xrff: no such file, and no preset of that name \(did you mean 'xrf'\?\)"),
        (3, {}, "expected a path, the name of a preset or a mapping of keys, got a value of type int"),
    ],
)
def test_mistakes_are_raised_in_one_line_and_leave_nothing(tiny_shards, tmp_path, capsys, config, overrides, message):
    before = process_state()
    given = {"data.root": str(tiny_shards), "run_dir": str(tmp_path / "run")} | overrides
    with pytest.raises(UserError, match=message) as raised:
        deepspec.train(config, **given)
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().err == ""
    assert process_state() == before
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(UserError, match=r"list\.yaml: expected a mapping of keys, got list"):
        deepspec.train(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"broken\.yaml cannot be read"):
        deepspec.train(tmp_path / "broken.yaml")


def test_two_ranks_of_a_program_that_calls_it(tiny_shards, tmp_path):
    """The second rank is no second copy of the program."""
    program = tmp_path / "program.py"
    config = CONFIG | {
        "data": {"batch_size": 64, "root": str(tiny_shards)}, "run_dir": str(tmp_path / "run"),
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "devices": 2, "strategy": "ddp"},
    }  # fmt: skip
    program.write_text(f"import deepspec\nprint('begins')\nrun = deepspec.train({config!r})\nprint(run)\n")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("begins") == 1
    assert done.stdout.count("Run in ") == 1
