"""Devices and threads of trials that run at once."""

import os

import pytest

from deepspec.errors import UserError
from deepspec.workers.devices import environments, find_gpus


def visible(workers, per_trial, gpus):
    return [found["CUDA_VISIBLE_DEVICES"] for found in environments(workers, per_trial, gpus, {})]


def test_every_trial_has_gpus_of_its_own():
    assert visible(None, 1, ["0", "1", "2"]) == ["0", "1", "2"]
    assert visible(None, 2, ["0", "1", "2", "3"]) == ["0,1", "2,3"]
    assert visible(1, 1, ["GPU-abc", "GPU-def"]) == ["GPU-abc"]


def test_more_trials_than_gpus_share_them():
    assert visible(3, 1, ["4", "5"]) == ["4", "5", "4"]
    with pytest.raises(UserError, match=r"3 asked for, 2 GPU\(s\) here"):
        visible(None, 3, ["0", "1"])


def test_threads_are_divided_on_a_cpu_unless_given(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert [found["OMP_NUM_THREADS"] for found in environments(3, 1, [], {})] == ["4", "4", "4"]
    assert [found["OMP_NUM_THREADS"] for found in environments(3, 2, [], {})] == ["2", "2", "2"]
    assert environments(None, 1, [], {})[0]["OMP_NUM_THREADS"] == "12"
    assert environments(4, 1, [], {"OMP_NUM_THREADS": "1"})[0]["OMP_NUM_THREADS"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in environments(1, 1, [], {})[0]


def test_a_trial_does_not_take_itself_for_a_rank_of_the_launcher():
    base = {"SLURM_NTASKS": "4", "LOCAL_RANK": "1", "MASTER_PORT": "1", "SLURM_JOB_ID": "7", "HOME": "/h"}
    (found,) = environments(1, 1, [], base)
    assert set(found) == {"SLURM_JOB_ID", "HOME", "OMP_NUM_THREADS"}


def test_gpus_that_are_given_to_this_process(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,MIG-1")
    assert find_gpus("auto") == ["2", "MIG-1"]
    assert find_gpus("cpu") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_gpus("gpu") == []
