"""Trials that lost their worker: found, and run again once."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys

import optuna
import pytest
from optuna.trial import TrialState

from deepspec.sweeping import lost
from deepspec.sweeping.lost import is_dead, worker_lock
from deepspec.sweeping.storage import open_storage


def test_a_worker_is_dead_when_it_was_killed_and_not_before(tmp_path):
    code = (
        "import sys, time, pathlib\nfrom deepspec.sweeping.lost import worker_lock\n"
        "with worker_lock(pathlib.Path(sys.argv[1])) as own:\n print(own.name, flush=True)\n time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        name = process.stdout.readline().strip()
        assert not is_dead(tmp_path, name)
        process.send_signal(signal.SIGKILL)
    assert is_dead(tmp_path, name)
    assert not is_dead(tmp_path, "unknown:1:ab")  # whose folder may be another
    assert is_dead(tmp_path, "unknown:1:ab", shared=True)


def test_a_worker_of_another_machine_is_dead_when_it_has_been_silent_for_long(tmp_path):
    """Containers have names of their own, and locks are not seen over every network file system."""
    file = tmp_path / "elsewhere-7-ab.lock"
    file.touch()
    now = file.stat().st_mtime
    assert not is_dead(tmp_path, "elsewhere:7:ab")
    os.utime(file, (now - lost.SILENT_FOR + 60,) * 2)
    assert not is_dead(tmp_path, "elsewhere:7:ab")
    os.utime(file, (now - lost.SILENT_FOR - 1,) * 2)
    assert is_dead(tmp_path, "elsewhere:7:ab")
    with file.open() as held:  # a lock that is seen says that it lives
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not is_dead(tmp_path, "elsewhere:7:ab")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_living_worker_touches_its_file_now_and_then(tmp_path):
    with worker_lock(tmp_path) as own:
        os.utime(own.path, (0, 0))
        own.touch()
        touched = own.path.stat().st_mtime
        assert touched > 0
        own.touch()
        assert own.path.stat().st_mtime == touched


def test_a_worker_that_takes_leave_leaves_nothing(tmp_path):
    with worker_lock(tmp_path) as own:
        assert own.name.split(":")[1] == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def study():
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def started(study, **attributes):
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    return trial


def test_requeued_trials_have_the_same_parameters_and_seed_and_count_once(study, tmp_path, monkeypatch):
    dead, alive = started(study, worker="dead", seed=7), started(study, worker="alive")
    monkeypatch.setattr(lost, "is_dead", lambda _, worker, **_more: worker == "dead")
    trials = lost.LostTrials(study, tmp_path)
    assert trials.requeue() == [dead.number]
    assert trials.requeue() == []
    assert not trials.unclear
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    assert {trial.number for trial in lost.counted(study.trials)} == {alive.number, 2}
    again = study.ask()
    assert again.number == 2
    assert again.suggest_float("x", 0, 1) == dead.params["x"]
    assert again.user_attrs["seed"] == 7


def test_a_trial_that_keeps_killing_its_worker_is_left_at_last(study, tmp_path, monkeypatch):
    monkeypatch.setattr(lost, "is_dead", lambda *_, **_more: True)
    trials = lost.LostTrials(study, tmp_path)
    started(study, worker="dead")
    for _ in range(lost.MOST_DEATHS):
        assert len(trials.requeue()) == 1
        started(study, worker="dead")
    assert len(trials.requeue()) == 1
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 4
    assert len(lost.counted(study.trials)) == 1


def test_a_trial_without_a_worker_is_given_time_to_name_it(study, tmp_path, monkeypatch):
    started(study)
    trials = lost.LostTrials(study, tmp_path)
    assert trials.requeue() == []
    assert trials.unclear
    monkeypatch.setattr(lost, "UNNAMED_FOR", -1.0)
    assert trials.requeue() == [0]
    assert not trials.unclear


def test_failed_trials_are_queued_again_on_demand_once(study):
    for state in (TrialState.FAIL, TrialState.PRUNED, TrialState.FAIL):
        study.tell(started(study), state=state)
    assert lost.requeue_failed(study) == 2
    assert lost.requeue_failed(study) == 0


def test_a_torn_last_line_of_the_journal_is_cut_off(tmp_path):
    journal = tmp_path / "study" / "journal.log"
    first = optuna.create_study(storage=open_storage(None, journal, 1), study_name="s")
    first.add_trial(optuna.trial.create_trial(value=1.0))
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"wor')
    study = optuna.load_study(study_name="s", storage=open_storage(None, journal, 1))
    assert journal.read_bytes() == whole
    study.add_trial(optuna.trial.create_trial(value=2.0))
    assert [
        trial.value for trial in optuna.load_study(study_name="s", storage=open_storage(None, journal, 1)).trials
    ] == [1, 2]


def _append(path, count):
    study = optuna.load_study(study_name="s", storage=open_storage(None, path, 1))
    for _ in range(count):
        study.add_trial(optuna.trial.create_trial(value=0.0))


def test_opening_a_journal_while_others_write_loses_nothing(tmp_path):
    journal = tmp_path / "journal.log"
    optuna.create_study(storage=open_storage(None, journal, 1), study_name="s")
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_append, args=(journal, 100))
    writer.start()
    while writer.is_alive():
        open_storage(None, journal, 1)
    assert writer.exitcode == 0
    assert len(optuna.load_study(study_name="s", storage=open_storage(None, journal, 1)).trials) == 100
