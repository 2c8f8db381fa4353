"""The real wandb client, offline, behind the real `fit`: what it stored is read back."""

import csv
import os
import signal
import subprocess

import numpy as np
import pytest
import torch
import yaml

wandb = pytest.importorskip("wandb", minversion="0.31")

from deepspec.axis import SpectralAxis  # noqa: E402
from deepspec.data.cube import SpectralCube  # noqa: E402
from deepspec.fit import main  # noqa: E402
from deepspec.training import tracking_config, wandb_run  # noqa: E402
from deepspec.training.callbacks import EpochLine  # noqa: E402
from tests.conftest import planted_spectra  # noqa: E402
from tests.support.states import same_state  # noqa: E402
from tests.training.test_fit import arguments  # noqa: E402
from tests.training.wandb_file import StoredRun  # noqa: E402


@pytest.fixture(autouse=True)
def account(monkeypatch, tmp_path):
    """No account, whatever the machine has; settings are read anew from the environment in each test."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A cube of the planted materials and its labels, of which 9 is none."""
    folder = tmp_path_factory.mktemp("scan")
    spectra, labels = planted_spectra(240, seed=5)
    axis = SpectralAxis.linear(0.5, 0.5, 64, "keV")
    SpectralCube.from_array(spectra.reshape(12, 20, 64), axis).save(folder / "scan.h5")
    labels = labels.reshape(12, 20)
    labels[0] = 9
    np.save(folder / "truth.npy", labels)
    return folder


def numbers_of(run_dir):
    with (run_dir / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


WANDB = ["--tracking", "wandb"]


def stored(run_dir, n=0):
    """What there is when the client's process has ended, as it does with `fit`."""
    wandb.teardown()
    return StoredRun(run_dir, n)


@pytest.mark.slow
def test_a_run_and_its_continuation_are_stored_with_all_they_logged(tiny_shards, scan, tmp_path, monkeypatch, capsys):
    plain, run_dir = tmp_path / "plain", tmp_path / "run"
    # As a sweep does for each of its trials.
    monkeypatch.setenv("WANDB_RUN_GROUP", "study")
    monkeypatch.setenv("WANDB_JOB_TYPE", "trial")
    # One epoch in which the latents are said to have collapsed.
    monkeypatch.setattr(
        "deepspec.training.clustering_callback.signs_of_collapse",
        lambda history, k_min: ["latent collapse: so it is"] if len(history) == 2 else [],
    )
    monkeypatch.setattr("warnings.warn", lambda *args, **more: None)
    watched = ["--tracking.cube", str(scan / "scan.h5"), "--tracking.reference", str(scan / "truth.npy"),
               "--tracking.ignore", "9", "--tracking.every_n_epochs", "2",
               "--tracking.tags", "[small, planted]"]  # fmt: skip
    main(arguments(tiny_shards, run_dir, *WANDB, *watched, epochs=3))
    assert "offline (no API key" in (printed := capsys.readouterr().err)
    first = stored(run_dir)
    assert f"wandb sync {first.folder}" in printed
    assert first.exit_code == 0

    config = {name: value for name, value in first.config.items() if not name.startswith("_")}
    assert config == yaml.safe_load((run_dir / "config.yaml").read_text())
    assert (first.run.run_group, first.run.job_type, first.run.display_name) == ("study", "trial", "run")
    assert list(first.run.tags) == ["small", "planted"]

    rows = numbers_of(run_dir)
    assert first.rows() == rows
    for name in ("train/reconstruction", "val/silhouette", "beta", "gamma", "lr", "ikmeans/k", "ikmeans/silhouette_7"):
        assert all(name in row for row in rows), name
    assert [row["ikmeans/warnings"] for row in rows] == [0, 1, 0]
    assert [alert.text for alert in first.alerts] == ["epoch 1: latent collapse: so it is"]
    assert first.summary["collapse_warnings"] == 1
    assert ["watched/ari" in row for row in rows] == [False, True, False]

    media = first.media()
    for name in ("spectra", "latents", "watched/labels", "watched/confusion", "watched/spectra", "report"):
        assert all(file.stat().st_size > 500 for file in media[name]), name
    assert len(media["watched/labels"]) == 2, "one after the second epoch, one at the end"
    assert media["report"][0].read_bytes() == (run_dir / "watched" / "report.html").read_bytes()
    evaluation = yaml.safe_load((run_dir / "watched" / "evaluation.json").read_text())
    assert evaluation["agreement"]["pixels"] == 220
    assert first.summary["watched/ari"] == evaluation["agreement"]["ari"]

    (artifact,) = first.artifacts
    assert (artifact.type, artifact.name) == ("model", f"model-{first.run.run_id}")
    assert [(entry.path, entry.local_path) for entry in artifact.manifest.contents] == [
        ("model.ckpt", str(run_dir / "model.ckpt"))
    ]

    main(arguments(tiny_shards, run_dir, *WANDB, "--ckpt_path", "last", epochs=5))
    second = stored(run_dir, 1)
    assert second.run.run_id == first.run.run_id
    # All of them: offline, a later segment takes the place of the earlier.
    assert second.rows() == numbers_of(run_dir)
    assert [row["epoch"] for row in second.rows()] == [0, 1, 2, 3, 4]
    assert second.rows()[:3] == rows

    main(arguments(tiny_shards, plain, epochs=5))
    assert not (plain / "wandb").exists()
    states = [torch.load(run / "model.ckpt", weights_only=True)["state_dict"] for run in (plain, run_dir)]
    assert same_state(*states), "tracking changes nothing"


@pytest.mark.slow
def test_neither_a_lost_server_nor_a_dead_client_ends_a_run(tiny_shards, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(wandb_run, "INIT_SECONDS", 2)
    show = EpochLine.on_train_epoch_end

    def kill_client(callback, trainer, module):
        show(callback, trainer, module)
        if trainer.current_epoch == 0:
            found = subprocess.run(
                ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
            )
            (pid,) = [
                int(pid)
                for pid, parent, args in (line.split(maxsplit=2) for line in found.stdout.splitlines())
                if int(parent) == os.getpid() and "wandb-core" in args
            ]
            os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(EpochLine, "on_train_epoch_end", kill_client)
    main(arguments(tiny_shards, tmp_path / "run", *WANDB, epochs=3))
    printed = capsys.readouterr().err
    assert "offline (CommError: " in printed
    assert printed.count("wandb has died and the run goes on without it (Connection") == 1
    assert (tmp_path / "run" / "model.ckpt").is_file()
    assert len(numbers_of(tmp_path / "run")) == 3


def test_disabled_and_not_asked_for_are_the_same(monkeypatch):
    assert not tracking_config.TrackingConfig().active
    assert not tracking_config.TrackingConfig("wandb", "disabled").active
    assert tracking_config.TrackingConfig("wandb").active
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert not tracking_config.TrackingConfig("wandb").active
    assert tracking_config.TrackingConfig("wandb", "offline").active


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tracking.reference", "truth.npy"], "tracking.reference and tracking.every_n_epochs need tracking.cube"),
        (["--tracking.kind", "null", "--tracking.cube", "scan.h5"], "give --tracking.kind wandb too"),
        (["--tracking.cube", "none.h5"], "tracking.cube: none.h5: no such file"),
        (["--tracking.cube", "scan.h5", "--tracking.every_n_epochs", "0"], "expected at least 1, got 0"),
        (["--tracking.cube", "scan.h5", "--tracking.reference", "small.npy"], "has shape (3, 4), the cube (12, 20)"),
        (["--tracking.cube", "other.h5"], "other.h5: expected the checkpoint's axis"),
        (["--tracking.projekt", "x"], "did you mean 'tracking.project'?"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(tiny_shards, scan, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(scan)
    np.save("small.npy", np.zeros((3, 4), int))
    SpectralCube.from_array(np.ones((4, 5, 64), np.uint16), SpectralAxis.linear(1, 2, 64, "keV")).save("other.h5")
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tiny_shards, tmp_path / "run", *WANDB, *more))
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) <= 2
    assert not (tmp_path / "run").exists()


def test_without_the_client_there_is_one_line(tiny_shards, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tracking_config, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tiny_shards, tmp_path / "run", *WANDB))
    assert "wandb is not installed: pip install wandb" in capsys.readouterr().err
