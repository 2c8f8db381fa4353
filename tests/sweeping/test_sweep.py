"""The real thing: `fit` in every trial, on tiny shards."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from deepspec.runs.folder import read_rows
from deepspec.sweep import experiment_path
from deepspec.sweeping.experiment import objective_values
from deepspec.sweeping.settings import SweepSettings, check_settings
from deepspec.sweeping.space import Space
from deepspec.sweeping.study import open_sweep

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))

SMALL = {
    "data.batch_size": 128,
    "trainer.max_epochs": 2,
    "trainer.accelerator": "cpu",
    "ikmeans.sample": 300,
}


def command(verb, *args):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", f"deepspec.{verb}", *map(str, args)],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_real_trials_fail_alone_and_the_best_trains_to_the_same_metrics_again(tiny_shards, tmp_path):
    settings = {
        "study": str(tmp_path / "study"),
        "experiment": "experiments/xrf.yaml",
        "overrides": {"data.root": str(tiny_shards), **SMALL},
        "search": {
            "model.optimizer.lr": {"type": "categorical", "choices": [1.0e-3, 1.0e-4, 1.0e9]},  # the last diverges
            "model.network": {
                "type": "categorical",
                "choices": [{"encoder": [32, 16], "decoder": [32]}, {"encoder": [0], "decoder": [32]}],
            },
        },
        "objectives": {"val/reconstruction": "minimize"},
        "sampler": {"kind": "grid"},
        "trials": 4,  # of the six points
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    done = command("sweep", "--config", file, "--workers", 2)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 trials have failed" in done.stdout
    with (tmp_path / "study" / "trials.csv").open() as table:
        rows = list(csv.DictReader(table))
    states = {(float(row["model.optimizer.lr"]), "[0]" in row["model.network"]): row["state"] for row in rows}
    assert states == {
        (1e-3, False): "done", (1e-3, True): "failed", (1e-4, False): "done", (1e-4, True): "failed",
    }  # fmt: skip
    failed = next(row for row in rows if row["state"] == "failed")
    assert "encoder" in failed["error"]

    done = command("fit", "--config", tmp_path / "study" / "best.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    again = objective_values(
        read_rows(tmp_path / "study" / "best" / "metrics.csv"), settings["objectives"], "kept", "best"
    )
    assert again == [min(float(row["val/reconstruction"]) for row in rows if row["state"] == "done")]


@pytest.mark.slow
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweeps_that_ship_pass_every_check_before_the_first_trial(path, tiny_shards, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    given = yaml.safe_load(path.read_text())
    overrides = {**given.pop("overrides", {}), "data.root": str(tiny_shards), **SMALL}
    sampler = given.pop("sampler")
    given |= {"study": str(tmp_path / path.stem), "experiment": experiment_path(given["experiment"], [path.parent])}
    settings = SweepSettings(**given, overrides=overrides)
    settings.sampler.kind = sampler["kind"]
    check_settings(settings)
    sweep = open_sweep(settings, {**os.environ, "OMP_NUM_THREADS": "1"})
    assert (
        sweep.total == {"paper_grid": 16, "ablation": 16, "criteria": 40, "criteria_valleys": 24, "xrf": 60}[path.stem]
    )


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweeps_that_ship_say_what_they_are(path):
    assert path.read_text().startswith("# ")
    Space(yaml.safe_load(path.read_text())["search"])


def test_the_papers_own_settings_are_a_point_of_its_grid():
    given = yaml.safe_load((ROOT / "sweeps" / "paper_grid.yaml").read_text())
    paper = {
        "model.network.kind": "snn",
        "model.network.rule": "power",
        "model.network.layers": 4,
        "model.network.dropout": 0.1,
    }
    assert paper in Space(given["search"]).grid()
    network = yaml.safe_load((ROOT / "sweeps" / given["experiment"]).read_text())["model"]["network"]
    assert (network["kind"], network["dropout"], network["encoder"]) == ("snn", 0.1, [256, 128, 64, 32])


def test_widths_that_the_rule_makes_are_the_papers():
    from deepspec.models.config import encoder_widths

    assert encoder_widths(512, 4, "power", 3) == [256, 128, 64, 32]


@pytest.mark.parametrize("name", ["slurm.sh", "ssh.sh"])
def test_launch_files_are_sound(name):
    path = ROOT / "sweeps" / name
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert os.access(path, os.X_OK)


def test_ssh_again_leaves_workers_that_are_there_and_goes_on_past_a_host_that_is_not(tmp_path):
    programs, python = tmp_path / "bin", tmp_path / ".venv" / "bin" / "python"
    for path in (programs, python.parent):
        path.mkdir(parents=True)
    (programs / "ssh").write_text('#!/bin/bash\n[ "$1" = bad ] && exit 255\nshift\nexec bash -c "$*"\n')
    python.write_text("#!/bin/bash\necho begun\nexec sleep 60\n")
    for program in (programs / "ssh", python):
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOSTS": "bad one", "DEEPSPEC_STORAGE": "mysql://h/d"}
    command = ["bash", str(ROOT / "sweeps" / "ssh.sh"), "sweeps/xrf.yaml"]
    pids = []
    try:
        for said in ("worker started; it writes", "is still there"):
            done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 1
            assert "no worker on: bad" in done.stderr
            assert done.stdout.startswith("one: ")
            assert said in done.stdout
            (file,) = tmp_path.glob("sweep-*.pid")
            pids.append(int(file.read_text()))
    finally:
        for pid in set(pids):
            os.kill(pid, signal.SIGKILL)
    assert pids[0] == pids[1]


def test_ssh_starts_a_worker_on_every_host_and_shows_no_password(tmp_path):
    """`ssh` is a program that notes its arguments and runs the command here."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text('#!/bin/bash\necho "$@" >> "$LOG"\nshift\nexec bash -c "$*"\n')
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/bash\nprintf "%s\\n" "$DEEPSPEC_STORAGE" "$@" > worker.txt\n')
    for program in (programs / "ssh", python):
        program.chmod(0o755)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "HOSTS": "one two",
        "DEEPSPEC_STORAGE": "postgresql://u:secret@h/d",
    }  # fmt: skip
    subprocess.run(
        ["bash", str(ROOT / "sweeps" / "ssh.sh"), "sweeps/xrf.yaml", "--overrides.data.root", "a b"],
        check=True, env=environment, cwd=tmp_path, capture_output=True,
    )  # fmt: skip
    log = (tmp_path / "log").read_text()
    assert "secret" not in log
    assert log.startswith("one ")
    assert "\ntwo " in log
    for _ in range(100):
        if (tmp_path / "worker.txt").exists() and (tmp_path / "worker.txt").read_text().endswith("a b\n"):
            break
        time.sleep(0.05)
    assert (tmp_path / "worker.txt").read_text().splitlines() == [
        "postgresql://u:secret@h/d", "-m", "deepspec.sweep", "--config", "sweeps/xrf.yaml",
        "--storage", "$DEEPSPEC_STORAGE", "--overrides.data.root", "a b",
    ]  # fmt: skip
