"""A run's folder: one writer, no strays, nothing lost by replacing it or by giving the same command again."""

import tempfile

import pytest

from deepspec.files import locked
from deepspec.fit import main
from deepspec.models.spectral_model import read_checkpoint
from deepspec.training import run_folder
from deepspec.training.module import DeepClustering

SMALL = [
    "--model.network.encoder", "[16]", "--model.network.decoder", "[16]", "--model.network.output", "linear",
    "--model.preprocess", "[sqrt, max]", "--data.batch_size", "256", "--trainer.max_epochs", "2",
    "--trainer.accelerator", "cpu", "--ikmeans.sample", "200",
]  # fmt: skip


@pytest.fixture
def run(tiny_shards, tmp_path):
    """The folder, and the command that writes it."""
    folder = tmp_path / "run"
    return folder, lambda *more: main(["--data.root", str(tiny_shards), "--run_dir", str(folder), *SMALL, *more])


def test_nothing_is_written_to_the_folder_of_temporary_files(run, tmp_path, monkeypatch):
    folder, fit = run
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    made = []
    monkeypatch.setattr(tempfile, "mkstemp", lambda *args, **kwargs: made.append(args))
    fit()
    assert list(elsewhere.iterdir()) == made == []
    assert sorted(path.name for path in folder.rglob("*")) == [
        "best.ckpt", "checkpoints", "config.yaml", "last.ckpt", "metrics.csv", "model.ckpt",
    ]  # fmt: skip


def test_the_same_command_begins_where_there_is_no_checkpoint_yet(run, capsys):
    folder, fit = run
    fit("--ckpt_path", "last")
    assert "has no checkpoint yet: the run begins" in capsys.readouterr().out
    assert (folder / "model.ckpt").is_file()
    (folder / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(SystemExit):  # of a run that is finished there must be one
        fit("--ckpt_path", "last")
    assert "expected a checkpoint to resume from" in capsys.readouterr().err
    (folder / "model.ckpt").unlink()
    with pytest.raises(SystemExit):  # and of one that came to its second epoch
        fit("--ckpt_path", "last")
    assert (folder / "checkpoints" / "best.ckpt").is_file()


def test_two_runs_do_not_write_one_folder(run, capsys, monkeypatch):
    folder, fit = run
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.1)
    folder.mkdir()
    with locked(folder), pytest.raises(SystemExit) as left:
        fit()
    assert left.value.code == 2
    assert "another run is writing this folder" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_run_that_fails_at_once_puts_the_earlier_one_back(run, monkeypatch):
    folder, fit = run
    fit()
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def fail(*args, **kwargs):
        assert (folder / ".replaced" / "model.ckpt").is_file()
        raise RuntimeError("out of memory")

    monkeypatch.setattr(DeepClustering, "training_step", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        fit("--overwrite", "true")
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    monkeypatch.undo()
    fit("--overwrite", "true", "--seed_everything", "1")
    assert not (folder / ".replaced").exists()
    read_checkpoint(folder / "model.ckpt")
