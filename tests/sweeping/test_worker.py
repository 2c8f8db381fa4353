"""Workers, as processes, on an experiment that takes no time: `fake_fit.py`."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from optuna.trial import TrialState

from deepspec.errors import UserError
from deepspec.ingest import main as ingest
from deepspec.sweeping.study import _devices
from tests.support.waiting import until
from tests.sweeping.conftest import FAKE, ROOT

GRID = {
    "model.x": {"type": "int", "low": 0, "high": 3},
    "model.kind": {"type": "categorical", "choices": ["good", "nan", "fail"]},
}


@pytest.mark.slow
def test_a_sweep_writes_what_it_found(fake):
    fake.write(trials=6)
    output = fake.run("--workers", "2")
    assert "6 of 6 trials (6 done)" in output
    trials = fake.study().trials
    best = min(trials, key=lambda trial: trial.value)
    for trial in trials:
        folder = fake.study_folder / "trials" / f"{trial.number:04d}"
        config = yaml.safe_load((folder / "trial.yaml").read_text())
        assert config["model"]["x"] == trial.params["model.x"]
        assert config["run_dir"] == str(folder)
        assert trial.value == pytest.approx((trial.params["model.x"] - 2) ** 2 + 1 + 0.5)
        assert trial.intermediate_values.keys() == {0, 1}
        environment = (folder / "environment.txt").read_text()
        assert "WANDB_RUN_GROUP=study" in environment
    config = yaml.safe_load((fake.study_folder / "best.yaml").read_text())
    assert config["model"]["x"] == best.params["model.x"]
    page = (fake.study_folder / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert not re.search(r"https?://", page)
    with (fake.study_folder / "trials.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done"] * 6


@pytest.mark.slow
def test_finished_trials_stay_and_more_can_be_added(fake):
    fake.write(trials=2)
    fake.run()
    before = {path: path.stat().st_mtime_ns for path in fake.study_folder.glob("trials/*/*")}
    assert "2 of 2" in fake.run()
    fake.write(trials=3)
    fake.run()
    assert len(fake.study().trials) == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_a_grid_is_complete_with_every_seed_and_bad_points_fail_alone(fake):
    fake.write(search=GRID, sampler={"kind": "grid"}, trials=None, seeds=[5, 6])
    output = fake.run("--workers", "3", code=1)
    assert "16 trials have failed (--retry_failed true runs them again)" in output
    assert "24 of 24 trials (8 done, 16 failed)" in output
    trials = fake.study().trials
    points = {(t.params["model.x"], t.params["model.kind"], t.user_attrs["seed"]) for t in trials}
    assert points == {(x, kind, seed) for x in range(4) for kind in ("good", "nan", "fail") for seed in (5, 6)}
    for trial in trials:
        kind = trial.params["model.kind"]
        assert trial.state == (TrialState.COMPLETE if kind == "good" else TrialState.FAIL)
        if kind == "fail":
            assert trial.user_attrs["error"].endswith("RuntimeError: CUDA out of memory")
        if kind == "nan":
            assert "val/target is nan in epoch 1" in trial.user_attrs["error"]
        config = yaml.safe_load((fake.study_folder / f"trials/{trial.number:04d}/trial.yaml").read_text())
        assert config["seed_everything"] == trial.user_attrs["seed"]
    assert "RuntimeError: CUDA out of memory" in output


@pytest.mark.slow
def test_workers_started_together_make_one_study_with_the_number_that_was_asked_for(fake):
    fake.write(trials=12, overrides={"model.seconds": 0.05})
    processes = [fake.start("--workers", "2") for _ in range(3)]
    for process in processes:
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
    trials = [trial for trial in fake.study().trials if not trial.user_attrs.get("surplus")]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 12
    assert len({trial.user_attrs["worker"] for trial in trials}) > 1
    assert len({trial.params["model.x"] for trial in trials}) == 12  # a seed of its own for each


@pytest.mark.slow
def test_a_lone_worker_draws_the_same_trials_again(fake, tmp_path):
    fake.write(trials=4, sampler={"kind": "tpe", "startup": 2})
    fake.run()
    first = [trial.params for trial in fake.study().trials]
    fake.study_folder.rename(tmp_path / "first")
    fake.write(trials=2, sampler={"kind": "tpe", "startup": 2})
    fake.run()
    fake.write(trials=4, sampler={"kind": "tpe", "startup": 2})
    fake.run()
    assert [trial.params for trial in fake.study().trials] == first


@pytest.mark.slow
def test_a_killed_worker_loses_its_running_trial_only_and_takes_it_along(fake):
    # Two trials that end at once, then one that hangs.
    choices = {"quick": {"model.seconds": 0.0}, "quick too": {"model.y": 1.0}, "slow": {"model.seconds": 60.0}}
    search = {"speed": {"type": "categorical", "choices": choices}}
    fake.write(search=search, sampler={"kind": "grid"}, trials=None)
    process = fake.start()
    hanging = fake.study_folder / "trials" / "0002"
    until(lambda: (hanging / "config.yaml").exists())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until(lambda: not _runs(hanging))  # the trial itself ends with its worker
    states = [trial.state for trial in fake.study().trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
    finished = {path: path.stat().st_mtime_ns for path in fake.study_folder.glob("trials/000[01]/*")}

    process = fake.start()
    until(lambda: (fake.study_folder / "trials" / "0003" / "config.yaml").exists())
    trials = fake.study().trials
    assert [t.state for t in trials[2:]] == [TrialState.FAIL, TrialState.RUNNING]
    assert trials[3].params == trials[2].params
    assert trials[3].user_attrs["retry_of"] == 2
    assert {path: path.stat().st_mtime_ns for path in finished} == finished

    # Asked to stop, it queues the trial again at once.
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    assert "the same command continues" in output
    assert "1 trials are left" in output
    trials = fake.study().trials
    assert [t.state for t in trials[3:]] == [TrialState.FAIL, TrialState.WAITING]
    assert not _runs(fake.study_folder / "trials" / "0003")
    assert "2 of 3 trials (2 done, 2 requeued)" in output


@pytest.mark.slow
@pytest.mark.parametrize("stays", [True, False])
def test_a_worker_without_a_trial_takes_over_that_of_one_that_dies(fake, stays):
    fake.write(trials=1, overrides={"model.seconds": 8.0})
    first = fake.start()
    running = fake.study_folder / "trials" / "0000"
    until(lambda: (running / "config.yaml").exists())
    second = fake.start("--wait", "true" if stays else "false")
    if not stays:
        output, _ = second.communicate(timeout=100)
        assert second.returncode == 0, output
        assert fake.study().trials[0].state == TrialState.RUNNING
    else:
        assert any("waiting for 1 of other workers" in line for line in second.stdout)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    if stays:
        output, _ = second.communicate(timeout=300)
        assert second.returncode == 0, output
        assert [trial.state for trial in fake.study().trials] == [TrialState.FAIL, TrialState.COMPLETE]


def _runs(folder):
    """Whether a process with this trial's configuration is there."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder / "trial.yaml").encode() in path.read_bytes():
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def test_bad_trials_are_pruned(fake):
    choices = {"good": {"model.x": 2.0}, "good too": {"model.x": 2.1}, "bad": {"model.x": 9.0, "model.seconds": 0.7}}
    fake.write(
        search={"quality": {"type": "categorical", "choices": choices}},
        sampler={"kind": "grid"},
        trials=None,
        pruner={"kind": "median", "startup": 2, "warmup": 0},
        overrides={"trainer.max_epochs": 40},
    )
    assert "2 done, 1 pruned" in fake.run()
    pruned = fake.study().trials[2]
    assert pruned.state == TrialState.PRUNED
    assert len(pruned.intermediate_values) < 10
    assert not (fake.study_folder / "trials" / "0002" / "model.ckpt").exists()


def test_several_objectives_give_a_front(fake):
    fake.write(trials=6, objectives={"val/target": "minimize", "val/size": "maximize"}, sampler={"kind": "random"})
    fake.run("--workers", "2")
    with (fake.study_folder / "pareto.csv").open() as file:
        found = {int(row["trial"]) for row in csv.DictReader(file)}
    assert found == {trial.number for trial in fake.study().best_trials}
    assert "Pareto front" in (fake.study_folder / "report.html").read_text()


def test_a_trial_that_takes_too_long_fails(fake):
    fake.write(
        trials=None,
        sampler={"kind": "grid"},
        search={"model.seconds": {"type": "categorical", "choices": [60.0]}},
        trial_limit_hours=1 / 3600,
    )
    assert "limit of a trial" in fake.run(code=1)
    assert fake.study().trials[0].state == TrialState.FAIL


@pytest.mark.slow
def test_failed_trials_run_again_on_demand(fake):
    fake.write(search={"model.kind": {"type": "categorical", "choices": ["fail"]}}, trials=1)
    fake.run(code=1)
    assert len(fake.study().trials) == 1
    assert "failed trials queued again: 1" in fake.run("--retry-failed", code=1)
    assert len(fake.study().trials) == 2


@pytest.mark.slow
def test_report_only_runs_nothing(fake):
    fake.write(trials=1)
    fake.run()
    (fake.study_folder / "best.yaml").unlink()
    fake.write(trials=5)
    fake.run("--report_only")
    assert len(fake.study().trials) == 1
    assert (fake.study_folder / "best.yaml").is_file()


def test_time_limit(fake):
    fake.write(trials=1000, time_limit_hours=2 / 3600)
    assert "trials are left (the same command runs them)" in fake.run(code=1)
    assert 0 < len(fake.study().trials) < 100
    assert all(trial.state.is_finished() for trial in fake.study().trials)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trails": 3}, "did you mean 'trials'"),
        (
            {"objectives": {"val/taget": "minimize"}},
            r"does not log 'val/taget' \(did you mean 'val/target'?\); it logs",
        ),
        ({"objectives": {"val/target": "smaller"}}, "minimize"),
        ({"objectives": {}}, "objectives: expected at least one"),
        ({"search": {"model.z": {"type": "int", "low": 1, "high": 2}}}, "'model.z' is no key of the experiment"),
        ({"search": {"run_dir": {"type": "categorical", "choices": ["a", "b"]}}}, "run_dir cannot be searched"),
        (
            {"search": {"seed_everything": {"type": "int", "low": 0, "high": 3}}, "seeds": [1, 2]},
            "seed_everything cannot be searched, `seeds` says which",
        ),
        ({"trials": None}, "trials: expected how many"),
        ({"trials": 0}, "trials: expected more than 0"),
        ({"sampler": {"kind": "guess"}}, "sampler.kind"),
        ({"sampler": {"knd": "tpe"}}, "knd"),
        ({"pruner": {"kind": "median"}, "objectives": {"val/target": "minimize", "val/size": "minimize"}}, "pruner"),
        ({"sampler": {"kind": "grid"}}, "a grid needs a `step`"),
        ({"storage": "sqlite:///x.db"}, "storage: expected journal"),
        ({"storage": "postgresql://nobody@127.0.0.1:1/none"}, "storage: the database cannot be used"),
        ({"experiment": "nowhere.yaml"}, "nowhere.yaml: no such file"),
        ({"overrides": {"model.kind": "fail"}}, "the experiment does not run.*CUDA out of memory"),
    ],
)
def test_mistakes_are_found_before_the_first_trial(fake, change, message):
    fake.write(**change)
    output = fake.run(code=2)
    assert re.search(message.replace("?", r"\?"), output, re.DOTALL), output
    assert "Traceback (most recent call last):\n  File" not in output
    assert not (fake.study_folder / "trials").exists()


def test_folders_of_trials_whose_study_is_gone_are_refused(fake):
    fake.write(trials=1)
    fake.run()
    (fake.study_folder / "journal.log").unlink()
    assert "trials holds the trials of a study that is not in" in fake.run(code=2)
    (fake.study_folder / "trials").rename(fake.folder / "moved")
    fake.write(trials=1, search={"model.kind": {"type": "categorical", "choices": ["fail"]}})
    output = fake.run(code=1)
    assert "1 of 1 trials (1 failed)" in output
    assert "wrote" in output
    assert "best.yaml" not in output  # that of the study before


def test_every_key_that_is_typed_counts(fake):
    fake.write(trials=1, overrides={"model.y": 5.0, "model": {"kind": "good"}})
    typed = ["--overrides.model.y", "0.5", "--overrides.model.seconds=1e-3", "--overrides.trainer.max_epochs", "3"]
    fake.run(*typed, "--overrides.trainer.devices", "[0, 1]")
    trial = yaml.safe_load((fake.study_folder / "trials" / "0000" / "trial.yaml").read_text())
    assert (trial["model"]["y"], trial["model"]["seconds"], trial["model"]["kind"]) == (0.5, 1e-3, "good")
    assert (trial["trainer"]["max_epochs"], trial["trainer"]["devices"]) == (3, 2)
    assert "expected a value after it" in fake.run("--overrides.model.y", code=2)


@pytest.mark.parametrize(
    ("given", "count"), [("auto", 1), (-1, 1), (3, 3), ("2", 2), ("0,1", 2), ([0, 1], 2), ("1,", 1), (None, 1)]
)
def test_devices_of_a_trial_as_the_experiment_says(given, count):
    assert _devices({"trainer": {"devices": given}}) == count


@pytest.mark.parametrize("given", ["many", 0, [], {}])
def test_devices_that_are_none(given):
    with pytest.raises(UserError, match="expected auto, a number or a list of devices"):
        _devices({"trainer": {"devices": given}})


def test_a_study_keeps_the_order_of_its_objectives_and_the_devices_of_its_trials(fake):
    two = {"val/target": "minimize", "val/size": "maximize"}
    fake.write(trials=1, objectives=two)
    fake.run()
    fake.write(trials=2, objectives=dict(reversed(two.items())))
    assert "its objectives in the order val/target, val/size, by which" in fake.run(code=2)
    fake.write(trials=2, objectives=two)
    assert "its trials had 1 device(s) each" in fake.run("--devices_per_trial", "2", code=2)
    assert len(fake.study().trials) == 1


def test_a_study_of_other_spectra_is_refused(fake, tmp_path):
    for folder, seed in (("here", 0), ("there", 1)):
        cube = np.random.default_rng(seed).poisson(5, (6, 6, 8)).astype(np.uint16)
        np.save(tmp_path / f"{folder}.npy", cube)
        ingest([str(tmp_path / f"{folder}.npy"), "--out", str(tmp_path / folder)])
    fake.write(trials=1, overrides={"data.root": str(tmp_path / "shards")})
    shutil.copytree(tmp_path / "here", tmp_path / "shards")
    fake.run()
    fake.run()  # the same once more
    shutil.rmtree(tmp_path / "shards")
    shutil.copytree(tmp_path / "there", tmp_path / "shards")
    assert "data.root holds other spectra than those of its trials" in fake.run(code=2)


def test_another_sweep_under_the_same_name_is_refused(fake):
    fake.write(trials=1)
    fake.run()
    fake.write(trials=2, search={"model.x": {"type": "float", "low": 0.0, "high": 5.0}})
    assert "made with another sweep: search.model.x.high was 4.0 and is 5.0" in fake.run(code=2)
    assert len(fake.study().trials) == 1


def test_launch_file_of_slurm_hands_the_signal_on(fake, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/bash\nexec {sys.executable} {FAKE} "${{@:3}}"\n')
    (programs / "python").chmod(0o755)
    fake.write(search={"model.seconds": {"type": "categorical", "choices": [60.0]}}, trials=1)
    environment = {
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "DEEPSPEC_STORAGE": "journal", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    with subprocess.Popen(
        ["bash", str(ROOT / "sweeps" / "slurm.sh"), str(tmp_path / "sweep.yaml"), "--workers", "1"],
        env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        until(lambda: (fake.study_folder / "trials" / "0000" / "config.yaml").exists())
        process.terminate()
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    assert [trial.state for trial in fake.study().trials] == [TrialState.FAIL, TrialState.WAITING]


@pytest.mark.slow
def test_a_study_of_an_earlier_version_goes_on_by_its_old_names(fake):
    """Its file, its trials and what it stored of the sweep say `model.optimiser`; the trials that follow do not."""
    number = {"type": "float", "low": 1.0e-4, "high": 1.0e-2, "log": True}
    search = {"model.x": {"type": "int", "low": 0, "high": 3}, "model.optimiser.lr": number}
    experiment = yaml.safe_load((fake.folder / "experiment.yaml").read_text())
    experiment["model"]["optimiser"] = {"lr": 0.1, "patience": 3}
    (fake.folder / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    fake.write(search=search, trials=2)
    fake.run()
    study = fake.study()
    base, definition = study.user_attrs["base"], study.user_attrs["sweep"]
    for stored in (base["model"], definition["experiment"]["model"]):
        stored["optimiser"] = stored.pop("optimizer")
    study.set_user_attr("base", base)
    study.set_user_attr("sweep", definition)
    fake.write(search=search, trials=4)
    assert "4 of 4 trials (4 done)" in fake.run()
    for trial in fake.study().trials:
        assert set(trial.params) == {"model.x", "model.optimiser.lr"}
        config = yaml.safe_load((fake.study_folder / f"trials/{trial.number:04d}/trial.yaml").read_text())
        assert config["model"]["optimizer"] == {"lr": trial.params["model.optimiser.lr"], "patience": 3}
        assert "optimiser" not in config["model"]
