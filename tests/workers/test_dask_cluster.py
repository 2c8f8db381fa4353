import sys

import pytest

from deepspec.errors import UserError
from deepspec.workers import dask_cluster
from deepspec.workers.dask_cluster import check_dask, run_on_dask
from tests.workers.fake import FakeJob


@pytest.mark.slow
def test_jobs_on_a_cluster_of_two_processes(tmp_path):
    pytest.importorskip("distributed", reason="no Dask: pip install 'deepspec[dask]'")
    import dask

    jobs = [FakeJob(name, str(tmp_path)) for name in ("once", "mistake", "a", "bug", "b", "deadly")]
    (tmp_path / "b").mkdir()
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        found = {outcome.name: outcome for outcome in run_on_dask(jobs, "local:2")}
    assert {name: outcome.state for name, outcome in found.items()} == {
        "once": "done", "mistake": "failed", "a": "done", "bug": "crashed", "b": "kept", "deadly": "crashed"
    }  # fmt: skip
    assert "KilledWorker" in found["deadly"].text
    assert found["a"].notes == "said a\n"


@pytest.mark.parametrize("address", ["tcp:foo", "local:0", "local:x", "8786", ""])
def test_addresses_that_are_none(address):
    pytest.importorskip("distributed", reason="no Dask: pip install 'deepspec[dask]'")
    with pytest.raises(UserError, match="expected tcp://HOST:PORT of a scheduler, local or local:N"):
        check_dask(address)


def test_a_scheduler_that_does_not_answer(monkeypatch):
    pytest.importorskip("distributed", reason="no Dask: pip install 'deepspec[dask]'")
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.3)
    with pytest.raises(UserError, match="no Dask scheduler answers there"):
        next(run_on_dask([], "tcp://127.0.0.1:1"))


def test_without_dask_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(UserError, match=r"pip install 'deepspec\[dask\]'"):
        check_dask("local")
