import os
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from deepspec.workers.pool import run_in_processes
from tests.support.waiting import until
from tests.workers.conftest import ROOT
from tests.workers.fake import FakeJob

NAMES = ["mistake", "a", "bug", "deadly", "b", "c"]


def gone(pid):
    """Whether a process has ended; one that its parent has not asked about has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def pid_of(marker):
    until(lambda: marker.exists() and marker.read_text())
    return int(marker.read_text())


def test_a_job_that_fails_fails_alone(tmp_path):
    jobs = [FakeJob(name, str(tmp_path)) for name in NAMES]
    places = [dict(os.environ, CUDA_VISIBLE_DEVICES=number) for number in "37"]
    found = {outcome.name: outcome for outcome in run_in_processes(jobs, places)}
    states = {name: outcome.state for name, outcome in found.items()}
    assert states == {
        "mistake": "failed", "a": "done", "bug": "crashed", "deadly": "crashed", "b": "done", "c": "done"
    }  # fmt: skip
    assert found["mistake"].text == "mistake: not good"
    assert found["bug"].text == "ZeroDivisionError: by zero"
    assert "in run" in found["bug"].notes
    assert "ended by signal 9: out of memory?" in found["deadly"].text
    assert found["a"].notes == "said a\n"
    assert {found[name].text for name in "abc"} <= {"3", "7"}
    pids = {int((tmp_path / f"{name}.pid").read_text()) for name in "abc"}
    assert os.getpid() not in pids
    assert all(gone(pid) for pid in pids)
    again = {outcome.name: outcome.state for outcome in run_in_processes(jobs, places[:1])}
    assert again == states | dict.fromkeys("abc", "kept")


def test_each_process_has_its_own_gpu_and_does_more_than_one_job(tmp_path):
    jobs = [FakeJob(name, str(tmp_path)) for name in ("long", "a", "b", "c")]
    places = [dict(os.environ, CUDA_VISIBLE_DEVICES=number) for number in "37"]
    with closing(run_in_processes(jobs, places)) as outcomes:
        texts = [next(outcomes).text for _ in range(3)]
        long = pid_of(tmp_path / "long.pid")
    assert texts == ["7", "7", "7"]
    assert len({(tmp_path / f"{name}.pid").read_text() for name in "abc"}) == 1
    assert gone(long)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["a", "b", "c"]


@pytest.fixture
def start(tmp_path):
    """Start a command that does jobs of these names; at the end of the test it is gone."""
    with ExitStack() as stack:

        def begin(*names):
            command = [sys.executable, "-m", "tests.workers.fake_command", str(tmp_path), *names]
            process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers finish the job they are at")
def test_however_the_command_ends_its_workers_end_too(tmp_path, start, signum):
    process = start("a", "long1", "long2", "b")
    pids = [pid_of(tmp_path / f"{name}.pid") for name in ("long1", "long2")]
    process.send_signal(signum)
    printed, _ = process.communicate(timeout=60)
    until(lambda: all(gone(pid) for pid in pids))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["a"]
    if signum == signal.SIGINT:
        assert process.returncode == 130
        assert "stopped after 1 of 4 jobs" in printed


def test_a_worker_that_is_killed_costs_only_its_job_and_what_it_left_is_cleared(tmp_path, start):
    process = start("a", "longer", "b")
    os.kill(pid_of(tmp_path / "longer.pid"), signal.SIGKILL)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "3 jobs: 2 done, 0 kept from before, 1 failed" in printed
    assert "  longer: its process was ended by signal 9: out of memory?" in printed
    assert len(list(tmp_path.glob(".longer.*.part"))) == 1
    (tmp_path / "awake.txt").touch()
    again = start("a", "longer", "b")
    assert "3 jobs: 1 done, 2 kept from before, 0 failed" in again.communicate(timeout=60)[0]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["a", "b", "longer"]
