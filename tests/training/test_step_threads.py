"""A small network is trained in one thread, and everything else has the threads it had."""

from unittest.mock import patch

import pytest
import torch

from deepspec.training import step_threads
from deepspec.training.clustering_callback import IKMeansCallback
from deepspec.training.module import DeepClustering
from deepspec.training.run import run_fit


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def threads_of(shards, run_dir, small_step):
    """Threads of the steps, the validation and the clustering of a run."""
    seen = {"steps": set(), "validation": set(), "clustering": set()}

    def watched(name, method):
        def call(*args, **kwargs):
            seen[name].add(torch.get_num_threads())
            return method(*args, **kwargs)

        return call

    with (
        patch.object(step_threads, "SMALL_STEP", small_step),
        patch.object(DeepClustering, "training_step", watched("steps", DeepClustering.training_step)),
        patch.object(DeepClustering, "validation_step", watched("validation", DeepClustering.validation_step)),
        patch.object(IKMeansCallback, "_cluster", watched("clustering", IKMeansCallback._cluster)),
    ):
        run_fit(["--data.root", str(shards), "--run_dir", str(run_dir), "--trainer.max_epochs", "2",
                 "--model.network.encoder", "[8]", "--model.network.decoder", "[8]"])  # fmt: skip
    return seen


def test_small_steps_have_one_thread_and_give_them_back(tiny_shards, tmp_path, three_threads):
    seen = threads_of(tiny_shards, tmp_path / "run", step_threads.SMALL_STEP)
    assert seen == {"steps": {1}, "validation": {3}, "clustering": {3}}
    assert torch.get_num_threads() == 3


def test_large_steps_have_all(tiny_shards, tmp_path, three_threads):
    assert threads_of(tiny_shards, tmp_path / "run", 0)["steps"] == {3}


def test_the_threads_come_back_after_a_failure(tiny_shards, tmp_path, three_threads):
    def failing(*_args):
        raise ZeroDivisionError

    with patch.object(DeepClustering, "training_step", failing), pytest.raises(ZeroDivisionError):
        run_fit(["--data.root", str(tiny_shards), "--run_dir", str(tmp_path / "run")])
    assert torch.get_num_threads() == 3


def test_every_weight_counts_six_times_a_row():
    assert step_threads.operations(torch.nn.Linear(10, 4, bias=False), 7) == 6 * 40 * 7
