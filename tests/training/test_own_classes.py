"""Classes of other packages in a configuration: network, optimiser and scheduler, in real commands."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import adjusted_rand_score

import deepspec
from deepspec.errors import UserError
from deepspec.models import NetworkConfig, SpectralModel, build_network
from deepspec.models.spectral_model import read_checkpoint
from deepspec.segmentation import Segmentation
from deepspec.training.module import DeepClustering
from tests.conftest import planted_spectra
from tests.support.states import same_state
from tests.training.test_run import CONFIG

ROOT = Path(__file__).parents[2]

# A network from outside the package, all of it
CONV = """
import torch
from torch import nn

class ConvNet(nn.Module):
    def __init__(self, channels, latent, width=4, log_variance=False):
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(1, width, 5, padding=2), nn.ReLU(), nn.Flatten())
        self.mean = nn.Linear(width * channels, latent)
        self.log_variance = nn.Linear(width * channels, latent) if log_variance else None
        self.back = nn.Sequential(nn.Linear(latent, 32), nn.ReLU(), nn.Linear(32, channels))

    def encode(self, x):
        hidden = self.front(x[:, None])
        mean = self.mean(hidden)
        return mean if self.log_variance is None else (mean, self.log_variance(hidden))

    def decode(self, z):
        return self.back(z)

class Narrow(ConvNet):
    def encode(self, x):
        return super().encode(x)[:, :1]

class NoDecoder(nn.Module):
    def encode(self, x):
        return x

class Lion(torch.optim.SGD):
    pass

def called(**arguments):
    raise SystemExit("a function of the package was called")
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package beside the user's files, installed so that an entry point names its network."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "convs.py").write_text(CONV)
    info = folder / "convs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: convs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepspec.networks]\nconv = convs:ConvNet\nhalf = convs:NoDecoder\n")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("convs", None)


def command(verb, *arguments, package=None):
    paths = [str(ROOT), *([str(package)] if package else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-m", f"deepspec.{verb}", *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip


def config(shards, run_dir, **model):
    return {
        "data": {"batch_size": 128, "root": str(shards)}, "run_dir": str(run_dir),
        "model": {"preprocess": ["sqrt", {"step": "standard"}], **model},
        "ikmeans": {"sample": 300}, "trainer": {"accelerator": "cpu", "max_epochs": 4},
    }  # fmt: skip


def test_a_network_of_another_package_is_trained_and_segments_a_scan(package, tiny_shards, tmp_path):
    given = config(tiny_shards, tmp_path / "run", network={"class_path": "convs.ConvNet", "init_args": {"width": 3}})
    (tmp_path / "conv.yaml").write_text(yaml.safe_dump(given))
    fitted = command("fit", "--config", tmp_path / "conv.yaml", "--model.network.latent", 2,
                     "--trainer.max_epochs", 12, package=package)  # fmt: skip
    assert fitted.returncode == 0, fitted.stderr
    checkpoint = tmp_path / "run" / "model.ckpt"
    read_checkpoint(checkpoint)  # plain types only
    loaded = SpectralModel.load(checkpoint)
    assert loaded.network.inner.front[0].out_channels == 3
    assert loaded.network.latent == 2
    spectra, materials = planted_spectra(600, seed=8)
    np.save(tmp_path / "scan.npy", spectra.reshape(30, 20, 64))
    words = [tmp_path / "scan.npy", "--checkpoint", checkpoint, "--axis", "0.5:32:keV"]
    mapped = command("segment", *words, "--out", tmp_path / "map", package=package)
    assert mapped.returncode == 0, mapped.stderr
    labels = Segmentation.load(tmp_path / "map" / "segmentation.h5").labels
    assert adjusted_rand_score(materials, np.asarray(labels).ravel()) > 0.9
    # Without the package: one line
    alone = command("segment", *words, "--out", tmp_path / "other")
    assert alone.returncode == 2
    assert len(alone.stderr.strip().splitlines()) == 1
    assert "model.ckpt: model.network.class_path: convs.ConvNet cannot be imported" in alone.stderr
    assert "install the package that has it" in alone.stderr


def test_a_network_by_entry_point_with_a_distribution(package, tiny_shards, tmp_path):
    given = config(
        tiny_shards, tmp_path / "run",
        network={"class_path": "conv", "variational": True, "init_args": {"log_variance": True}},
    )  # fmt: skip
    run = deepspec.train(given, **{"loss_schedule.beta": {"kind": "constant", "value": 0.01}, "trainer.max_epochs": 1})
    assert run.metrics["train/mmd"][0] > 0
    assert run.model.eval().sample(5, torch.Generator().manual_seed(0)).shape == (5, 64)
    torch.testing.assert_close(
        run.model.network.reparameterise(
            run.model.network.encode(torch.zeros(3, 64)), torch.Generator().manual_seed(1)
        ),
        run.model.network.inner.encode(torch.zeros(3, 64))[0]
        + (0.5 * run.model.network.inner.encode(torch.zeros(3, 64))[1]).exp()
        * torch.randn(3, 3, generator=torch.Generator().manual_seed(1)),
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"class_path": "nowhere.Net"}, r"nowhere.Net cannot be imported \(ModuleNotFoundError"),
        ({"class_path": "convs.Nothing"}, "the module convs has nothing of this name"),
        ({"class_path": "convs.called"}, "convs.called is no subclass of torch's Module"),
        ({"class_path": "os.system", "init_args": {"command": "true"}}, "os.system is no subclass"),
        ({"class_path": "convs.NoDecoder"}, "has no decode"),
        ({"class_path": "cnv"}, r"no network 'cnv' \(did you mean 'conv'\?\)"),
        ({"class_path": "half"}, r"'half' \(convs:NoDecoder, of the package convs\) cannot serve: .* has no decode"),
        ({"class_path": "convs.ConvNet", "init_args": {"depth": 2}}, "cannot be built from channels, latent, depth"),
        ({"class_path": "convs.Narrow"}, r"expected encode to give shape \(2, 3\) for 2 spectra .* got \(2, 1\)"),
        ({"class_path": "convs.ConvNet", "init_args": {"log_variance": True}}, "set network.variational true"),
        ({"class_path": "convs.ConvNet", "variational": True}, "encode gives means and logarithms of variances"),
        ({"class_path": "convs.ConvNet", "dropout": 0.1}, "network.dropout is of deepspec's own layers"),
        ({"class_path": "convs.ConvNet", "init_args": {"latent": 2}}, "init_args.latent: leave it out, it is network"),
        ({"init_args": {"width": 2}}, "network.init_args is of a class"),
    ],
)
def test_networks_that_are_refused_in_one_line(package, tiny_shards, tmp_path, network, message):
    with pytest.raises(UserError, match=message) as raised:
        deepspec.train(config(tiny_shards, tmp_path / "run", network=network))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_what_goes_with_our_own_networks_only(package, tiny_shards, tmp_path):
    network = {"class_path": "convs.ConvNet"}
    for more, message in (
        ({"compile": True}, "model.compile: expected a network of deepspec's own"),
        ({"deep_baseline": {"kind": "dcn", "clusters": 3, "weight": 1.0}}, "leave out model.network.class_path"),
    ):
        with pytest.raises(UserError, match=message):
            deepspec.train(config(tiny_shards, tmp_path / "run", network=network, **more))
        assert not (tmp_path / "run").exists()


def test_checkpoints_of_our_own_networks_are_as_before():
    assert not {"class_path", "init_args"} & set(NetworkConfig().plain())
    assert not build_network(20, NetworkConfig()).variational
    assert build_network(20, NetworkConfig(variational=True)).variational


class Killed(RuntimeError):
    pass


SCHEDULERS = {
    "by steps": {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "interval": "step",
                 "init_args": {"max_lr": 0.01, "total_steps": 60}},
    "by epochs": {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1, "gamma": 0.5}},
    "by the target": {"class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                      "init_args": {"patience": 0, "threshold": 10.0, "factor": 0.5}},
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULERS)
def test_optimiser_and_scheduler_of_a_class_and_an_exact_resume(package, tiny_shards, tmp_path, monkeypatch, name):
    optimiser = {"class_path": "convs.Lion", "lr": 0.01, "init_args": {"momentum": 0.9}}
    more = {"optimizer": optimiser, "scheduler": SCHEDULERS[name], "network": CONFIG["model"]["network"]}
    whole = deepspec.train(config(tiny_shards, tmp_path / "whole", **more))
    # The rates are torch's own
    parameter = torch.nn.Parameter(torch.zeros(1))
    plain = torch.optim.SGD([parameter], lr=0.01, momentum=0.9)
    kind = getattr(torch.optim.lr_scheduler, SCHEDULERS[name]["class_path"].rpartition(".")[2])
    schedule = kind(plain, **SCHEDULERS[name]["init_args"])
    expected = []
    for epoch in range(4):
        for _ in range(11):
            plain.step()
            if name == "by steps":
                schedule.step()
        if name != "by steps":
            schedule.step(*([whole.metrics["val/target"][epoch]] if name == "by the target" else []))
        expected.append(plain.param_groups[0]["lr"])
    np.testing.assert_allclose(whole.metrics["lr"], expected, rtol=1e-6)  # metrics.csv has float32
    # Killed in the third epoch, and continued
    with monkeypatch.context() as patch:
        step = DeepClustering.training_step

        def killed(self, batch, number):
            if self.current_epoch == 2 and number == 3:
                raise Killed
            return step(self, batch, number)

        patch.setattr(DeepClustering, "training_step", killed)
        with pytest.raises(Killed):
            deepspec.train(config(tiny_shards, tmp_path / "parts", **more))
    parts = deepspec.train(config(tiny_shards, tmp_path / "parts", **more), ckpt_path="last")
    assert parts.metrics["lr"] == whole.metrics["lr"]
    assert same_state(parts.model.state_dict(), whole.model.state_dict())
    loaded = DeepClustering.load(tmp_path / "parts")
    assert loaded.optimizer.class_path == "convs.Lion"
    assert loaded.scheduler.interval == SCHEDULERS[name].get("interval", "epoch")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"optimizer": {"class_path": "torch.nn.Linear"}}, "torch.nn.Linear is no subclass of torch's Optimizer"),
        ({"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"betas": 1}}}, "cannot be built from lr, betas"),
        ({"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1}}}, "init_args.lr: leave it out"),
        ({"optimizer": {"class_path": "SGD"}}, "expected the full name of a class"),
        ({"optimizer": {"init_args": {"momentum": 1}}}, "optimizer.init_args is of a class"),
        (
            {"optimizer": {"class_path": "torch.optim.SGD"}, "network": {"ensemble": 2}},
            "the 2 networks of an ensemble are trained by ADAM",
        ),
        ({"scheduler": {"class_path": "torch.optim.SGD"}}, "torch.optim.SGD is no subclass of torch's LRScheduler"),
        ({"scheduler": {"class_path": "torch.optim.lr_scheduler.StepLR"}}, "cannot be built from no arguments"),
        ({"scheduler": {"interval": "step"}}, "scheduler.init_args and interval are of a class"),
        (
            {"scheduler": SCHEDULERS["by epochs"], "optimizer": {"schedule": "cosine"}},
            "expected one schedule, got torch.optim.lr_scheduler.StepLR and optimizer.schedule cosine",
        ),
    ],
)
def test_optimisers_and_schedulers_that_are_refused_in_one_line(tiny_shards, tmp_path, more, message):
    with pytest.raises(UserError, match=message) as raised:
        deepspec.train(config(tiny_shards, tmp_path / "run", **more))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()
