"""Settings of Lightning's trainer on the real command line: what works beside ours, and what is refused in a line."""

import csv
import importlib.util
import os
import subprocess
import sys

import pytest
import yaml
from lightning.pytorch.loggers import Logger

from deepspec.fit import main

SMALL = [
    "--model.network.encoder", "[32, 16]", "--model.network.decoder", "[32]", "--model.network.output", "linear",
    "--model.preprocess", "[sqrt, {step: standard}]", "--data.batch_size", "128", "--trainer.limit_train_batches", "3",
    "--trainer.accelerator", "cpu", "--trainer.max_epochs", "2", "--ikmeans.sample", "200",
]  # fmt: skip
LOGGERS = "lightning.pytorch.loggers"


def arguments(shards, run_dir, *more):
    return ["--data.root", str(shards), "--run_dir", str(run_dir), *SMALL, *more]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def refused(shards, tmp_path, capsys, *more):
    """The one line that a command ends with, having written nothing."""
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(arguments(shards, tmp_path / "run", *more))
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1, printed.err
    assert not (tmp_path / "run").exists()
    return printed.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trainer.precision", "64-true"], "trainer.precision: expected 32-true, bf16-mixed or 16-mixed, got 64"),
        (["--trainer.precision", "64"], "got 64"),
        (["--trainer.precision", "bf16-true"], "got bf16-true"),
        (["--trainer.precision", "16-true"], "got 16-true"),
        (["--trainer.enable_checkpointing", "false"], "trainer.enable_checkpointing: expected true or null, got false"),
        (["--trainer.callbacks", "RichProgressBar"], "RichProgressBar needs a terminal"),
        (["--trainer.callbacks+=TQDMProgressBar"], "TQDMProgressBar needs a terminal"),
        (["--trainer.callbacks", "ModelCheckpoint"], "ModelCheckpoint without monitor keeps the latest epoch"),
        (["--trainer.max_ep", "1"], "did you mean 'trainer.max_epochs'?"),
        (["--trainer.accelerator", "abacus"], "trainer"),
        (["--trainer.logger", f"{LOGGERS}.NoLogger"], "NoLogger"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_line(tiny_shards, tmp_path, capsys, more, message):
    assert message in refused(tiny_shards, tmp_path, capsys, *more)


def test_a_gpu_that_is_not_there(tiny_shards, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert "finds no GPU" in refused(tiny_shards, tmp_path, capsys, "--trainer.accelerator", "gpu")


@pytest.mark.parametrize("package", ["tensorboard", "mlflow"])
def test_a_logger_whose_package_is_not_installed(tiny_shards, tmp_path, capsys, package):
    if any(importlib.util.find_spec(name) for name in (package, f"{package}X")):
        pytest.skip(f"{package} is installed")
    logger = {"tensorboard": "TensorBoardLogger", "mlflow": "MLFlowLogger"}[package]
    more = ["--trainer.logger", f"{LOGGERS}.{logger}", "--trainer.logger.save_dir", str(tmp_path / "logs")]
    assert package in refused(tiny_shards, tmp_path, capsys, *more)


def test_a_logger_of_lightnings_works_beside_ours(tiny_shards, tmp_path):
    more = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", str(tmp_path / "logs")]
    main(arguments(tiny_shards, tmp_path / "run", *more))
    ours = rows_of(tmp_path / "run" / "metrics.csv")
    (folder,) = (tmp_path / "logs" / "lightning_logs").iterdir()
    theirs = [float(row["val/target"]) for row in rows_of(folder / "metrics.csv") if row["val/target"]]
    assert theirs == pytest.approx([float(row["val/target"]) for row in ours])
    assert len(ours) == 2
    assert "data" in yaml.safe_load((folder / "hparams.yaml").read_text()), "it is told the configuration"


class Noting(Logger):
    """A logger that keeps what it is told."""

    told: list = []  # noqa: RUF012  for the test to look at
    name, version = "noting", 0

    def log_metrics(self, metrics, step=None):
        self.told.append((step, metrics))

    def log_hyperparams(self, params, *args, **kwargs):
        self.told.append(("settings", params))


def test_several_loggers_and_callbacks_that_log_without_an_epoch(tiny_shards, tmp_path):
    Noting.told.clear()
    loggers = [
        {"class_path": f"{LOGGERS}.CSVLogger", "init_args": {"save_dir": str(tmp_path / "logs")}},
        {"class_path": f"{__name__}.Noting"},
    ]
    main(
        arguments(tiny_shards, tmp_path / "run", "--trainer.logger", yaml.safe_dump(loggers, default_flow_style=True),
                  "--trainer.callbacks", "LearningRateMonitor", "--model.optimizer.lr", "0.002")
    )  # fmt: skip
    rows = rows_of(tmp_path / "run" / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert [float(row["lr-Adam"]) for row in rows] == [pytest.approx(0.002)] * 2
    assert all(row["val/target"] for row in rows)
    assert Noting.told[0][0] == "settings"
    assert any("val/target" in metrics for step, metrics in Noting.told if step != "settings")
    assert any((tmp_path / "logs").rglob("metrics.csv"))


def test_a_run_goes_on_with_the_rows_that_a_monitor_wrote(tiny_shards, tmp_path):
    more = ["--trainer.callbacks", "LearningRateMonitor"]
    main(arguments(tiny_shards, tmp_path / "run", *more))
    main(arguments(tiny_shards, tmp_path / "run", *more, "--trainer.max_epochs", "3", "--ckpt_path", "last"))
    assert [row["epoch"] for row in rows_of(tmp_path / "run" / "metrics.csv") if row["lr-Adam"]] == ["0", "1", "2"]


@pytest.mark.parametrize("package", ["tensorboard", "mlflow"])
def test_a_logger_whose_package_is_installed(tiny_shards, tmp_path, package):
    if not any(importlib.util.find_spec(name) for name in (package, f"{package}X")):
        pytest.skip(f"{package} is not installed")
    logger = {"tensorboard": "TensorBoardLogger", "mlflow": "MLFlowLogger"}[package]
    more = ["--trainer.logger", f"{LOGGERS}.{logger}", "--trainer.logger.save_dir", str(tmp_path / "logs")]
    main(arguments(tiny_shards, tmp_path / "run", *more))
    assert any(path.is_file() for path in (tmp_path / "logs").rglob("*"))
    assert len(rows_of(tmp_path / "run" / "metrics.csv")) == 2


@pytest.mark.slow
def test_weights_and_biases_offline(tiny_shards, tmp_path):
    """In a process of its own: the service that an earlier test's run has spoken to may be gone."""
    more = [
        "--trainer.logger", "WandbLogger", "--trainer.logger.save_dir", str(tmp_path),
        "--trainer.logger.offline", "true",
    ]  # fmt: skip
    command = [sys.executable, "-m", "deepspec.fit", *arguments(tiny_shards, tmp_path / "run", *more)]
    environment = os.environ | {"WANDB_SILENT": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(rows_of(tmp_path / "run" / "metrics.csv")) == 2


def test_a_trial_of_a_few_batches_writes_nothing_and_finds_nothing(tiny_shards, tmp_path, capsys):
    main(arguments(tiny_shards, tmp_path / "run", "--trainer.fast_dev_run", "true"))
    printed = capsys.readouterr().out
    assert "nothing was written" in printed
    assert "K " not in printed
    assert not (tmp_path / "run").exists()


def test_a_trial_leaves_an_earlier_run_as_it_was(tiny_shards, tmp_path):
    main(arguments(tiny_shards, tmp_path / "run"))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    main(arguments(tiny_shards, tmp_path / "run", "--trainer.fast_dev_run", "2", "--overwrite"))
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_checkpoint_of_a_metric_is_kept_beside_ours(tiny_shards, tmp_path):
    callback = {
        "class_path": "ModelCheckpoint",
        "init_args": {"monitor": "train/reconstruction", "dirpath": str(tmp_path / "kept"), "filename": "mine"},
    }
    main(arguments(tiny_shards, tmp_path / "run", "--trainer.callbacks", yaml.safe_dump([callback])))
    assert (tmp_path / "kept" / "mine.ckpt").is_file()
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()
