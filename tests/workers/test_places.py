import pytest

from deepspec.errors import UserError
from deepspec.workers.devices import places


@pytest.fixture(autouse=True)
def three_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def seen(*arguments):
    return [place["CUDA_VISIBLE_DEVICES"] for place in places(*arguments)]


@pytest.mark.parametrize(
    ("devices", "expected"), [("auto", "357"), ("2", "35"), ("0,2", "37"), ("1,", "5"), ("[2,0]", "73"), ("3", "357")]
)
def test_one_process_for_each_gpu(devices, expected):
    assert seen(None, devices, "auto", 10) == list(expected)


def test_no_more_processes_than_jobs_and_more_than_gpus_share_them():
    assert seen(None, "auto", "cuda", 2) == ["3", "5"]
    assert seen(5, "0,2", "cuda", 9) == ["3", "7", "3", "7", "3"]
    assert seen(1, "auto", "auto", 9) == ["3"]


def test_on_the_cpu_there_is_one_unless_asked_and_threads_are_shared_out(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8))
    assert [place["OMP_NUM_THREADS"] for place in places(None, "auto", "cpu", 9)] == ["8"]
    assert [place["OMP_NUM_THREADS"] for place in places(4, "auto", "cpu", 9)] == ["2"] * 4
    assert seen(2, "auto", "cuda:1", 9) == ["3,5,7"] * 2  # whoever names the GPU means it


@pytest.mark.parametrize("devices", ["", "two", "0,0", ",", "0;1"])
def test_devices_that_say_nothing(devices):
    with pytest.raises(UserError, match="expected auto, how many GPUs, or their numbers"):
        places(None, devices, "auto", 3)


@pytest.mark.parametrize("devices", ["4", "0,3", "-1,"])
def test_devices_that_are_not_there(devices, monkeypatch):
    with pytest.raises(UserError, match=r"expected at most the 3 GPUs of this machine$"):
        places(None, devices, "auto", 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="--workers N works in N processes on the CPU"):
        places(None, "1", "auto", 3)


def test_workers_are_at_least_one():
    with pytest.raises(UserError, match="at least 1, got 0"):
        places(0, "auto", "auto", 3)
