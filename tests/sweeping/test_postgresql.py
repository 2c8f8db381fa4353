"""Sweeps in a real PostgreSQL server, which this file starts."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.pool import NullPool

from deepspec.sweeping.lost import counted
from tests.support.waiting import until
from tests.sweeping.conftest import FakeSweep

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    """URL of a database on a server of our own."""
    pytest.importorskip("psycopg", reason="no PostgreSQL driver: pip install 'deepspec[postgresql]'")
    missing = [name for name in ("initdb", "pg_ctl") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no PostgreSQL server here: {', '.join(missing)} not found")
    # PostgreSQL refuses to be root, and other users cannot reach pytest's folders.
    user = {"user": "nobody"} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        if user:
            shutil.chown(folder, "nobody")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        data = f"{folder}/data"
        subprocess.run(
            ["initdb", "-D", data, "-A", "trust", "-U", "sweep", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **user,
        )
        options = f"-p {port} -k {folder} -h 127.0.0.1 -F"
        start = ["pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
        try:
            yield f"postgresql://sweep:$SWEEP_PASSWORD@127.0.0.1:{port}/postgres"
        finally:
            stop = ["pg_ctl", "-D", data, "-m", "immediate", "stop"]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)


def trials_in(server, name):
    url = server.replace("$SWEEP_PASSWORD", "x").replace("postgresql://", "postgresql+psycopg://")
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})  # leaves no connection open
    trials = optuna.load_study(study_name=name, storage=storage).trials
    storage.remove_session()
    return trials


def test_twenty_trials_by_two_workers_one_of_them_killed(server, fake):
    fake.study_folder = fake.folder / "twenty"
    fake.write(trials=20, storage=server, overrides={"model.seconds": 3.0})  # time to look while they run
    workers = [fake.start(SWEEP_PASSWORD="x"), fake.start("--workers", "2", SWEEP_PASSWORD="x")]
    until(lambda: len(list(fake.study_folder.glob("trials/*/model.ckpt"))) > 5)
    until(lambda: "RUNNING" in [t.state.name for t in trials_in(server, "twenty")])
    workers[0].send_signal(signal.SIGKILL)
    for worker in workers:
        output, _ = worker.communicate(timeout=400)
    assert worker.returncode == 0, output
    fake.run(SWEEP_PASSWORD="x")  # what the killed worker had, if the other ended before it could see that
    trials = counted(trials_in(server, "twenty"))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 20
    assert not (fake.study_folder / "journal.log").exists()
    written = [path for path in fake.study_folder.rglob("*.*") if "127.0.0.1" in path.read_text(errors="ignore")]
    assert [path.name for path in written] == []  # nor the password with it


def test_a_dead_worker_of_another_node_is_found_by_its_heartbeat(server, tmp_path):
    """Two workers without a common folder, as on two machines: neither sees the other's lock."""
    nodes = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        node = FakeSweep(tmp_path / name)
        node.study_folder = tmp_path / name / "beats"
        seconds = {"type": "categorical", "choices": [0.0, 60.0]}
        node.write(storage=server, search={"model.seconds": seconds}, sampler={"kind": "grid"}, trials=None)
        nodes.append(node)
    # What tells one sweep from another must not be where its folders are.
    shutil.copy(nodes[0].folder / "experiment.yaml", nodes[1].folder / "experiment.yaml")
    environment = {"SWEEP_PASSWORD": "x", "FAKE_GRACE": "12"}
    first = nodes[0].start(**environment)
    until(lambda: (nodes[0].study_folder / "trials" / "0001" / "config.yaml").exists())
    first.send_signal(signal.SIGKILL)
    first.communicate()
    time.sleep(13)
    second = nodes[1].start(**environment)
    until(lambda: (nodes[1].study_folder / "trials" / "0002" / "config.yaml").exists())
    trials = trials_in(server, "beats")
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "RUNNING"]
    assert trials[2].params == trials[1].params
    time.sleep(14)  # longer than the grace: a live trial stays
    second.send_signal(signal.SIGTERM)
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 1, output  # the trial is queued again
    assert len(trials_in(server, "beats")) == 4
    assert Path(nodes[1].study_folder / "best.yaml").is_file()  # of a trial that ran on the other node
