"""The cosine schedule of the learning rate: its value in each step, and that a resumed run goes on along it."""

import math

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from deepspec.errors import UserError
from deepspec.fit import main
from deepspec.training.module import DeepClustering
from deepspec.training.optimiser import OptimizerConfig, cosine_rate
from tests.support.runs import rows_of
from tests.support.states import same_state
from tests.training.test_fit import arguments

COSINE = ["--model.optimizer.schedule", "cosine", "--model.optimizer.lr", "0.01"]


class KilledInTheThirdEpoch(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.current_epoch == 2:
            raise RuntimeError("killed")


@pytest.fixture
def rates(monkeypatch):
    """Learning rates that ADAM steps with, in order."""
    found = []
    step = torch.optim.Adam.step

    def noted(self, closure):
        result = step(self, closure)  # the closure, in which the gradients come about, sets the rate
        found.append(self.param_groups[0]["lr"])
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    return found


def closed_form(steps, of):
    return pytest.approx([0.01 * (1 + math.cos(math.pi * t / of)) / 2 for t in steps])


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ([], 33),  # 1,500 rows in batches of 128: 11 whole ones, in three epochs
        (["--trainer.max_steps", "7"], 7),
        (["--trainer.max_steps", "100", "--trainer.limit_train_batches", "5"], 15),
        (["--trainer.accumulate_grad_batches", "2"], 18),
    ],
)
def test_each_step_has_the_rate_of_the_closed_form(rates, tiny_shards, tmp_path, more, steps):
    main(arguments(tiny_shards, tmp_path / "run", *COSINE, *more))
    assert rates == closed_form(range(steps), steps)
    last = rows_of(tmp_path / "run")[-1]
    assert float(last["lr"]) == pytest.approx(rates[-1])
    assert last["train/target"]  # of the epoch that max_steps cuts short too
    assert last["val/target"]
    assert last["ikmeans/k"]
    assert DeepClustering.load(tmp_path / "run" / "model.ckpt").optimizer.schedule == "cosine"


def test_a_resumed_run_equals_an_uninterrupted_one(rates, tiny_shards, tmp_path):
    main(arguments(tiny_shards, tmp_path / "whole", *COSINE, epochs=4))
    whole = list(rates)
    rates.clear()
    stop = ["--trainer.callbacks", f"[{{class_path: {__name__}.KilledInTheThirdEpoch}}]"]
    with pytest.raises(RuntimeError, match="killed"):
        main(arguments(tiny_shards, tmp_path / "killed", *COSINE, *stop, epochs=4))
    assert len(rates) == 22
    main(arguments(tiny_shards, tmp_path / "killed", *COSINE, "--ckpt_path", "last", epochs=4))
    assert rates == whole == closed_form(range(44), 44)
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "killed")
    ]
    for key, value in states[0]["state_dict"].items():
        assert same_state(value, states[1]["state_dict"][key]), key
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "killed")


def test_bounds_and_mistakes(tiny_shards, tmp_path, capsys):
    assert cosine_rate(0.1, 10, 10) == 0
    assert cosine_rate(0.1, 12, 10) == 0  # a run that is continued past its end
    with pytest.raises(UserError, match="must be one of plateau, cosine; got 'linear'"):
        OptimizerConfig(schedule="linear")
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tiny_shards, tmp_path / "run", "--model.optimizer.schedule", "cosine", epochs=-1))
    assert "needs the length of the run" in capsys.readouterr().err


def test_checkpoints_from_before_there_was_a_choice_fall_on_a_plateau(tiny_shards, tmp_path):
    from deepspec.models.spectral_model import FORMAT

    main(arguments(tiny_shards, tmp_path / "run", epochs=1))
    content = torch.load(tmp_path / "run" / "model.ckpt", weights_only=True)
    del content[FORMAT]["settings"]["optimizer"]["schedule"]
    torch.save(content, tmp_path / "old.ckpt")
    assert DeepClustering.load(tmp_path / "old.ckpt").optimizer == OptimizerConfig()
