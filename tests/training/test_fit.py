"""The real command: runs, resumes exactly, refuses what it must."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from deepspec import DeepClustering
from deepspec.fit import main
from deepspec.models import SpectralModel
from deepspec.models.spectral_model import read_checkpoint
from deepspec.training.callbacks import CollapseWarning
from tests.support.runs import rows_of
from tests.support.states import same_state

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

SMALL = [
    "--model.network.encoder", "[32, 16]", "--model.network.decoder", "[32]", "--model.network.output", "linear",
    "--model.preprocess", "[sqrt, {step: standard}]", "--data.batch_size", "128",
    "--trainer.accelerator", "cpu", "--ikmeans.sample", "300",
]  # fmt: skip


def arguments(shards, run_dir, *more, epochs=3):
    return [
        "--data.root", str(shards), "--run_dir", str(run_dir), "--trainer.max_epochs", str(epochs), *SMALL, *more
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tiny_shards, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "finished"
    main(arguments(tiny_shards, run_dir, epochs=8))
    return run_dir


def test_a_run_leaves_what_the_next_command_needs(finished):
    model = DeepClustering.load(finished / "model.ckpt")
    assert model.axis.unit == "keV"
    assert 3 <= int(model.clusters.count) <= 10
    assert yaml.safe_load(model.run_config)["trainer"]["max_epochs"] == 8
    assert (finished / "config.yaml").read_text() == model.run_config
    assert model.k_range == SpectralModel.load(finished / "model.ckpt").k_range == (3, 10)
    rows = rows_of(finished)
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(8)]
    for name in ("train/reconstruction", "train/silhouette", "train/total", "val/target", "lr", "beta", "gamma",
                 "ikmeans/k", "ikmeans/silhouette", "ikmeans/silhouette_5", "ikmeans/spread"):  # fmt: skip
        assert all(row[name] for row in rows), name
    assert float(rows[-1]["val/reconstruction"]) < float(rows[0]["val/reconstruction"])


def test_planted_materials_are_found(finished):
    from sklearn.metrics import adjusted_rand_score

    from tests.conftest import planted_spectra

    spectra, materials = planted_spectra(500, seed=123)
    model = DeepClustering.load(finished / "model.ckpt")
    labels = model.clusters.assign(model.encode(torch.from_numpy(spectra)))
    assert adjusted_rand_score(materials, labels) > 0.95


def test_an_earlier_run_is_not_written_over(finished, tiny_shards, capsys):
    before = (finished / "model.ckpt").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tiny_shards, finished))
    assert "--ckpt_path last to continue it" in capsys.readouterr().err
    assert (finished / "model.ckpt").read_bytes() == before


def test_overwrite_replaces_an_earlier_run(tiny_shards, tmp_path):
    main(arguments(tiny_shards, tmp_path / "run", epochs=2))
    main(arguments(tiny_shards, tmp_path / "run", "--overwrite", "true", epochs=1))
    assert len(rows_of(tmp_path / "run")) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model.netwrk.latent", "3"], "did you mean 'model.network.latent'?"),
        (["--model.preprocess", "[sqroot]"], "did you mean 'sqrt'?"),
        (["--data.root", "nowhere"], "nowhere"),
        (["--ckpt_path", "nowhere.ckpt"], "expected a checkpoint to resume from, got nowhere.ckpt"),
        (["--model.objective.k_min", "11"], "k_min = 11, k_max = 10"),
        (["--model.network.dropout", "1.5"], "dropout"),
        (["--loss_schedule.gamma.kind", "sudden"], "gamma.kind"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(tiny_shards, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit, match="2"):
        main([*arguments(tiny_shards, tmp_path / "run"), *more])
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_config_file_with_an_unknown_key_is_refused(tiny_shards, tmp_path, capsys):
    config = tmp_path / "exp.yaml"
    config.write_text("trainer: {max_epoch: 3}\n")
    with pytest.raises(SystemExit, match="2"):
        main(["--config", str(config), *arguments(tiny_shards, tmp_path / "run")])
    assert "max_epoch" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_runs(path, tiny_shards, tmp_path):
    first_line = path.read_text().splitlines()[0]
    assert first_line.startswith("# "), "the comment on top says what the experiment shows"
    main(
        ["--config", str(path), "--data.root", str(tiny_shards), "--run_dir", str(tmp_path / "run"),
         "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.accelerator", "cpu",
         "--ikmeans.sample", "200"]
        + (["--data.target", "self"] if path.stem == "nebulae" else [])  # these spectra are of no image
        # 64 channels, not 3000
        + (["--model.preprocess", "[clip, max]"] if path.stem == "paper_astro" else [])
        + (["--model.deep_baseline.pretrain", "0"] if "deep_baseline:" in path.read_text() else [])  # in this one epoch
    )  # fmt: skip
    assert DeepClustering.load(tmp_path / "run" / "model.ckpt").run_config


def test_same_seed_same_weights_other_seed_other_weights(tiny_shards, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        main(arguments(tiny_shards, tmp_path / name, "--seed_everything", str(seed), epochs=2))
    states = {name: torch.load(tmp_path / name / "model.ckpt", weights_only=True)["state_dict"] for name in "abc"}
    key = "network.mean.weight"
    assert torch.equal(states["a"][key], states["b"][key])
    assert not torch.equal(states["a"][key], states["c"][key])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "status", "ends"),
    [
        (signal.SIGKILL, -9, []),
        (signal.SIGKILL, -9, ["--trainer.max_epochs", "-1", "--trainer.max_steps", "66"]),
        (signal.SIGTERM, 143, ["--trainer.max_epochs", "-1", "--trainer.max_steps", "66"]),
    ],
    ids=["epochs, killed", "steps, killed", "steps, asked to end"],
)
def test_killed_and_resumed_ends_with_the_same_weights(tiny_shards, tmp_path, signum, status, ends):
    """A signal after an epoch, then `--ckpt_path last`: dropout, latent draws, schedules and plateau all go on."""
    more = [
        *ends,
        "--model.network.variational",
        "true",
        "--model.network.dropout",
        "0.1",
        "--model.optimizer.patience",
        "0",
        "--loss_schedule.beta.kind",
        "linear",
        "--loss_schedule.beta.end",
        "4",
        "--loss_schedule.beta.value",
        "0.1",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(name, *extra):
        return [sys.executable, "-m", "deepspec.fit", *arguments(tiny_shards, tmp_path / name, *more, *extra, epochs=6)]

    subprocess.run(command("whole"), check=True, env=environment, capture_output=True)
    with subprocess.Popen(command("killed"), stdout=subprocess.PIPE, env=environment, text=True) as process:
        for line in process.stdout:
            if line.startswith(("epoch 3/6", "epoch 3, step ")):
                time.sleep(0.1)  # somewhere in the next epoch
                process.send_signal(signum)
                break
    assert process.returncode == status
    assert not (tmp_path / "killed" / "model.ckpt").exists()
    subprocess.run(command("killed", "--ckpt_path", "last"), check=True, env=environment, capture_output=True)
    whole, resumed = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "killed")
    )
    for key, value in whole.items():
        assert same_state(value, resumed[key]), key
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "killed")


def test_degenerate_spectra_train_to_the_end_and_are_warned_about(tmp_path):
    import numpy as np

    from deepspec.axis import SpectralAxis
    from deepspec.data.shards.writer import ShardWriter

    with ShardWriter(tmp_path / "flat", SpectralAxis.linear(0, 1, 16, "channel"), "uint16", seed=0) as writer:
        for split in ("train", "val"):
            writer.write(split, np.full((300, 16), 7, dtype=np.uint16), np.zeros((300, 3), dtype=np.int32))
    with pytest.warns(CollapseWarning, match="latent collapse"):
        main(arguments(tmp_path / "flat", tmp_path / "run", "--model.preprocess", "[max]", epochs=2))
    rows = rows_of(tmp_path / "run")
    assert float(rows[-1]["train/total"]) >= 0
    assert int(DeepClustering.load(tmp_path / "run" / "model.ckpt").clusters.count) == 0


def test_a_run_without_validation_watches_the_training_target(tmp_path, capsys):
    import numpy as np

    from deepspec.axis import SpectralAxis
    from deepspec.data.shards.writer import ShardWriter
    from tests.conftest import planted_spectra

    with ShardWriter(tmp_path / "shards", SpectralAxis.linear(0, 1, 64, "channel"), "uint16", seed=0) as writer:
        writer.write("train", planted_spectra(600)[0], np.zeros((600, 3), dtype=np.int32))
    main(arguments(tmp_path / "shards", tmp_path / "run", epochs=2))
    assert "watching train/target" in capsys.readouterr().out
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_the_last_checkpoint_is_the_last_epochs_though_it_is_not_the_best(tiny_shards, tmp_path, capsys):
    still = ["--model.optimizer.lr", "1e-30", "--model.optimizer.min_lr", "0"]  # so that no epoch is better
    main(arguments(tiny_shards, tmp_path / "run", *still, epochs=3))
    epochs = {name: read_checkpoint(tmp_path / f"run/checkpoints/{name}.ckpt")["epoch"] for name in ("best", "last")}
    assert epochs == {"best": 0, "last": 2}
    capsys.readouterr()
    main(arguments(tiny_shards, tmp_path / "run", *still, "--ckpt_path", "last", epochs=4))
    printed = capsys.readouterr().out
    assert "epoch 4/4" in printed
    assert "epoch 3/4" not in printed
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize(
    ("ends", "first"),
    [
        (["--trainer.max_epochs", "2"], "epoch 1/2  "),
        (["--trainer.max_epochs", "-1", "--trainer.max_steps", "3"], "step 3/3  "),
    ],
)
def test_the_line_of_an_epoch_says_how_far_the_run_is(tiny_shards, tmp_path, capsys, ends, first):
    main([*arguments(tiny_shards, tmp_path / "run"), *ends])
    assert first in capsys.readouterr().out


def test_a_run_folder_that_was_moved_goes_on_and_still_knows_its_best_epoch(tiny_shards, tmp_path, capsys, recwarn):
    still = ["--model.optimizer.lr", "1e-30", "--model.optimizer.min_lr", "0"]  # so that no epoch is better
    main(arguments(tiny_shards, tmp_path / "run", *still, epochs=2))
    before = (tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "run").rename(tmp_path / "moved")
    main(arguments(tiny_shards, tmp_path / "moved", *still, "--ckpt_path", "last", epochs=4))
    assert not [each for each in recwarn if "dirpath" in str(each.message)]
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "moved" / "checkpoints" / "best.ckpt").read_bytes() == before
    assert read_checkpoint(tmp_path / "moved" / "checkpoints" / "last.ckpt")["epoch"] == 3


def test_a_run_that_its_steps_ended_goes_on_with_more(tiny_shards, tmp_path, capsys):
    """20 steps end in the middle of the second epoch of 12."""
    ends = ["--trainer.max_epochs", "-1", "--keep", "last", "--ikmeans.every_n_epochs", "0"]
    run = tmp_path / "run"
    main([*arguments(tiny_shards, run), *ends, "--trainer.max_steps", "20"])
    main([*arguments(tiny_shards, run), *ends, "--trainer.max_steps", "30", "--ckpt_path", "last"])
    assert "step 30/30" in capsys.readouterr().out
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 30


def test_a_run_does_not_go_on_with_another_network(tiny_shards, tmp_path, capsys):
    main(arguments(tiny_shards, tmp_path / "run", epochs=1))
    before = (tmp_path / "run" / "config.yaml").read_text()
    more = ["--ckpt_path", "last", "--model.network.latent", "5"]
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tiny_shards, tmp_path / "run", *more, epochs=2))
    error = capsys.readouterr().err
    assert "the run was begun with another network (network.mean.weight is (3, 16), and (5, 16)" in error
    assert error.count("\n") == 1
    assert (tmp_path / "run" / "config.yaml").read_text() == before
