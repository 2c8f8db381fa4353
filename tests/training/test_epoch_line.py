"""The line that each epoch prints."""

import os
import pty
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from deepspec.training.callbacks import EpochLine, IKMeansCallback
from deepspec.training.epoch_line import lines_every
from deepspec.training.objective import Weights

ENDS = {"max_steps": -1, "num_training_batches": 10, "accumulate_grad_batches": 1}


@pytest.mark.parametrize(("score", "shown"), [(0.5, "K 2  silhouette of the sample 0.5"), (float("nan"), "K 2  0.")])
def test_a_clustering_without_silhouette_prints_none(capsys, score, shown):
    clustering = IKMeansCallback()
    clustering.clustered_at = 3
    metrics = {"val/reconstruction": float("nan"), "ikmeans/k": 2.0, "ikmeans/silhouette": score}
    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=3, max_epochs=9, **ENDS, callbacks=[clustering], fast_dev_run=0,
        callback_metrics={name: torch.tensor(value) for name, value in metrics.items()},
    )  # fmt: skip
    line = EpochLine(print)
    line.on_train_epoch_start(trainer, None)
    line.on_train_epoch_end(trainer, SimpleNamespace(final_weights=Weights()))
    printed = capsys.readouterr().out
    assert printed.startswith(f"epoch 4/9  reconstruction nan  {shown}")  # a loss that is NaN is no secret


def test_every_term_of_the_loss_is_told_in_order(capsys):
    names = {"target": 0.6, "smoothness": 0.2, "silhouette": 0.3, "reconstruction": 0.1, "k": 4.0, "total": 0.5}
    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=0, max_epochs=1, **ENDS, callbacks=[], fast_dev_run=0,
        callback_metrics={f"val/{name}": torch.tensor(value) for name, value in names.items()},
    )  # fmt: skip
    line = EpochLine(print)
    line.on_train_epoch_start(trainer, None)
    line.on_train_epoch_end(trainer, SimpleNamespace(final_weights=Weights(0, 0.1, {"smoothness": 1.0})))
    printed = capsys.readouterr().out
    assert printed.startswith(
        "epoch 1/1  reconstruction 0.1  silhouette loss of batches 0.3  smoothness 0.2  target 0.6  "
    )


@pytest.mark.parametrize("epochs", [1, 19, 20, 21, 39, 40, 80, 200, 1001])
def test_all_of_few_epochs_and_about_twenty_of_many(capsys, epochs):
    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=0, max_epochs=epochs, callbacks=[], fast_dev_run=0,
        callback_metrics={"val/target": torch.tensor(0.5)}, **ENDS,
    )  # fmt: skip
    line = EpochLine(print)
    line.on_train_start(trainer, None)
    for epoch in range(epochs):
        trainer.current_epoch = epoch
        line.on_train_epoch_start(trainer, None)
        line.on_train_epoch_end(trainer, SimpleNamespace(final_weights=Weights()))
    line.on_train_end(trainer, None)
    told = [int(text) for text in re.findall(r"epoch (\d+)/", capsys.readouterr().out)]
    assert told == sorted(set(told))
    assert told[0] == 1
    assert told[-1] == epochs
    assert len(told) == epochs if epochs <= 20 else 11 <= len(told) <= 22


def test_steps_that_end_a_run_count_as_epochs_do(capsys):
    """800 steps of 10 an epoch are 80 epochs, as by xrf.yaml for a small scan."""
    assert lines_every(80) == 4
    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=1, max_epochs=-1, callbacks=[], fast_dev_run=0, global_step=20,
        callback_metrics={}, **ENDS | {"max_steps": 800},
    )  # fmt: skip
    line = EpochLine(print)
    for epoch in range(1, 9):
        trainer.current_epoch, trainer.global_step = epoch, 10 * epoch
        line.on_train_epoch_end(trainer, SimpleNamespace(final_weights=Weights()))
    assert re.findall(r"epoch (\d+),", capsys.readouterr().out) == ["4", "8"]


def fit_words(shards, folder):
    return [sys.executable, "-m", "deepspec.fit", "--data.root", str(shards), "--run_dir", str(folder / "run"),
            "--trainer.max_epochs", "45", "--model.network.encoder", "[8]", "--model.network.decoder", "[8]",
            "--model.preprocess", "[sqrt, standard]", "--trainer.limit_train_batches", "1",
            "--ikmeans.every_n_epochs", "0", "--ikmeans.sample", "100"]  # fmt: skip


def on_screen(text):
    """The lines that a terminal shows in the end, with the few sequences that are used here."""
    lines = [""]
    for part in re.split(r"(\r\n|\r|\x1b\[2K|\x1b\[1A|\x1b\[[?\d;]*[a-zA-Z])", text):
        if part == "\r\n":
            lines.append("")
        elif part == "\x1b[2K":
            lines[-1] = ""
        elif part == "\x1b[1A":
            lines.pop()
        elif not part.startswith("\x1b") and part != "\r":
            lines[-1] += part
    return lines


def test_a_file_gets_some_lines_and_a_terminal_one(tiny_shards, tmp_path):
    (tmp_path / "file").mkdir()
    done = subprocess.run(fit_words(tiny_shards, tmp_path / "file"), capture_output=True, text=True, check=True)
    epochs = re.findall(r"^epoch (\d+)/45 ", done.stdout, re.MULTILINE)
    assert epochs == ["1", *map(str, range(3, 46, 3))]
    assert done.stderr == ""

    here, terminal = pty.openpty()
    (tmp_path / "terminal").mkdir()
    words = fit_words(tiny_shards, tmp_path / "terminal")
    with subprocess.Popen(
        words, stdin=terminal, stdout=terminal, stderr=terminal, env=os.environ | {"TERM": "xterm"}
    ) as run:
        os.close(terminal)
        shown = b""
        while True:
            try:
                part = os.read(here, 4096)
            except OSError:  # the terminal is closed
                break
            if not part:
                break
            shown += part
    assert run.returncode == 0
    os.close(here)
    lines = on_screen(shown.decode())
    assert [line for line in lines if "epoch" in line] == [line for line in lines if line.startswith("epoch 45/45 ")]
    assert sum("epoch" in line for line in lines) == 1
    drawn = [int(number) for number in re.findall(r"epoch (\d+)/45", shown.decode())]
    assert drawn == sorted(drawn)
    assert len(set(drawn)) > 3  # the line was drawn anew
    assert "it/s" not in shown.decode()  # and no bar of Lightning's beside it


def test_no_half_minute_passes_in_silence(capsys, monkeypatch):
    """Of a run whose next line by the epochs is hours away."""
    now = [0.0]
    monkeypatch.setattr("deepspec.training.epoch_line.time.perf_counter", lambda: now[0])
    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=0, max_epochs=100_000, max_steps=-1, callbacks=[], fast_dev_run=0,
        num_training_batches=10, accumulate_grad_batches=1, callback_metrics={},
    )  # fmt: skip
    line = EpochLine(print)
    line.on_train_start(trainer, None)
    for trainer.current_epoch in range(10):
        line.on_train_epoch_start(trainer, None)
        now[0] += 12
        line.on_train_epoch_end(trainer, SimpleNamespace(final_weights=Weights()))
    told = [int(text) for text in re.findall(r"epoch (\d+)/", capsys.readouterr().out)]
    assert told == [1, 4, 7, 10]
