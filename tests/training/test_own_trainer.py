"""A program's own Trainer: training with clusters and schedules, testing, predicting, saving and loading."""

import lightning
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from deepspec import DeepClustering, SpectraDataModule, SpectralCube, segment_cube
from deepspec.axis import SpectralAxis
from deepspec.clustering import ClustererConfig
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError
from deepspec.models import NetworkConfig, SpectralModel
from deepspec.models.spectral_model import read_checkpoint
from deepspec.schedules import Schedule
from deepspec.segment import main as segment
from deepspec.training.callbacks import IKMeansCallback, LossSchedule
from deepspec.training.deep_baselines import DeepBaselineConfig
from tests.conftest import planted_spectra

AXIS = SpectralAxis.linear(0.5, 0.5, 64, "keV")
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
         "num_sanity_val_steps": 0}  # fmt: skip
NETWORK = NetworkConfig(encoder=[32, 16], decoder=[32], output="linear")


def new_model(**more):
    torch.manual_seed(0)
    return DeepClustering(AXIS.to_dict(), NETWORK, ["sqrt", {"step": "standard"}], **more)


@pytest.fixture(scope="module")
def data(tiny_shards):
    return SpectraDataModule(str(tiny_shards), batch_size=128, residency="ram")


@pytest.fixture(scope="module")
def cube():
    spectra, materials = planted_spectra(30 * 20, seed=77)
    return SpectralCube.from_array(spectra.reshape(30, 20, 64), AXIS), materials, spectra


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A model, its Trainer and the checkpoint that the Trainer wrote by itself."""
    folder = tmp_path_factory.mktemp("own")
    model = new_model()
    trainer = lightning.Trainer(max_epochs=8, default_root_dir=folder, **QUIET)
    trainer.fit(model, datamodule=data)
    (checkpoint,) = folder.rglob("*.ckpt")
    return model, trainer, checkpoint


def test_a_bare_trainer_trains_with_clusters_and_schedules(trained):
    model, trainer, _ = trained
    logged = trainer.callback_metrics
    assert float(logged["gamma"]) == pytest.approx(0.01)
    assert 0 < float(logged["train/silhouette"]) < 1
    assert float(logged["train/total"]) > float(logged["train/reconstruction"])
    assert float(logged["ikmeans/k"]) == int(model.clusters.count)
    assert model.clusters.record is not None


def test_its_checkpoint_segments_a_cube(trained, cube, tmp_path):
    scan, materials, spectra = cube
    model, _, checkpoint = trained
    loaded = DeepClustering.load_from_checkpoint(checkpoint)
    segmentation = segment_cube(scan, loaded)
    assert adjusted_rand_score(materials, segmentation.labels.ravel()) > 0.95
    # In the final order: the largest cluster of the training sample first
    assert loaded.clusters.record.counts_K.isfinite().all()
    for load in (DeepClustering.load, SpectralModel.load):
        other = load(checkpoint)
        assert torch.equal(other.clusters.used, model.clusters.used.cpu())
        assert other.k_range == (3, 10)
        assert other.clusterer == ClustererConfig()
    config = yaml.safe_load(loaded.run_config)
    assert config["loss_schedule"]["gamma"]["value"] == 0.01
    assert config["model"]["network"]["encoder"] == [32, 16]
    # By the command too
    np.save(tmp_path / "scan.npy", spectra.reshape(30, 20, 64))
    segment([str(tmp_path / "scan.npy"), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "map"),
             "--axis", "0.5:32:keV"])  # fmt: skip
    assert (tmp_path / "map" / "segmentation.h5").is_file()


def test_save_and_load(trained, tmp_path, cube):
    model, _, _ = trained
    path = tmp_path / "new" / "model.ckpt"
    model.save(path)
    content = read_checkpoint(path)  # weights_only, and every checksum
    assert "optimizer_states" not in content
    spectra = torch.from_numpy(cube[2])
    for loaded in (DeepClustering.load(path), DeepClustering.load_from_checkpoint(path, map_location="cpu")):
        assert torch.equal(loaded.encode(spectra), model.eval().encode(spectra))
        assert torch.equal(loaded.clusters.used, model.clusters.used)
        assert loaded.final_weights.gamma == 0.01
        assert not loaded.training
    with pytest.raises(UserError, match="the checkpoint holds all settings; leave out max_clusters=3"):
        DeepClustering.load_from_checkpoint(path, max_clusters=3)


def test_what_is_not_fitted_is_neither_saved_nor_used(data, tmp_path):
    model = new_model()
    trainer = lightning.Trainer(**QUIET)
    with pytest.raises(UserError, match="statistics of the preprocessing are not there yet"):
        model.save(tmp_path / "model.ckpt")
    assert not (tmp_path / "model.ckpt").exists()
    for use in (trainer.predict, trainer.validate):
        with pytest.raises(UserError, match=rf"trainer\.{use.__name__}: the statistics of the preprocessing"):
            use(model, datamodule=data)


def test_forward_is_encode_with_gradient(trained):
    model = trained[0].eval()
    spectra = torch.from_numpy(planted_spectra(20, seed=9)[0])
    z = model(spectra)
    assert torch.equal(z.detach(), model.encode(spectra))
    z.sum().backward()
    assert float(model.network.mean.weight.grad.abs().sum()) > 0
    model.zero_grad()


def test_predict_gives_latents_and_labels(trained, data):
    loaded = DeepClustering.load_from_checkpoint(trained[2])
    found = lightning.Trainer(**QUIET).predict(loaded, datamodule=data)
    for split, batches in zip(data.shards.splits, found, strict=True):
        rows = data.shards.read(split, 0, data.rows(split)).spectra
        latents = torch.cat([batch["latents"] for batch in batches])
        assert latents.shape == (data.rows(split), 3)
        expected = loaded.encode(torch.from_numpy(rows))
        torch.testing.assert_close(latents, expected, rtol=1e-5, atol=1e-5)
        labels = torch.cat([batch["labels"] for batch in batches])
        nearest = torch.cdist(latents, loaded.clusters.used).argmin(1)
        assert torch.equal(labels, nearest)
    # From a loader of spectra alone, without clusters
    loaded.clusters.count.zero_()
    spectra = torch.from_numpy(planted_spectra(50, seed=4)[0].astype(np.float32))
    (only,) = lightning.Trainer(**QUIET).predict(loaded, torch.utils.data.DataLoader(spectra, batch_size=50))
    assert set(only) == {"latents"}
    assert torch.equal(only["latents"], loaded.encode(spectra))


def test_test_gives_the_loss_with_the_final_weights(trained, tmp_path):
    spectra, _ = planted_spectra(96, seed=31)
    with ShardWriter(tmp_path / "shards", AXIS, "uint16", seed=0) as writer:
        for split in ("train", "test"):
            writer.write(split, spectra, np.zeros((96, 3), dtype=np.int32))
    data = SpectraDataModule(str(tmp_path / "shards"), batch_size=128)
    loaded = DeepClustering.load_from_checkpoint(trained[2])
    (found,) = lightning.Trainer(**QUIET).test(loaded, datamodule=data, verbose=False)
    stored = torch.from_numpy(data.shards.read("test", 0, 96).spectra)
    seen = loaded.preprocess(stored)
    z = loaded.encode(stored)
    with torch.no_grad():
        error = (loaded.network.decode(z) - seen).square().mean()
    assert found["test/reconstruction"] == pytest.approx(float(error), rel=1e-5)
    assert found["test/target"] == pytest.approx(float(error) + 0.01 * found["test/silhouette"], rel=1e-5)
    labels = KMeans(int(found["test/k"]), n_init=10).fit_predict(z)
    assert found["test/silhouette"] == pytest.approx((1 - silhouette_score(z, labels)) / 2, abs=0.03)


class Watch(Callback):
    def __init__(self):
        self.gammas = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.gammas.append(pl_module.weights.gamma)
        self.kinds = [type(callback) for callback in trainer.callbacks]


def test_callbacks_that_the_trainer_has_are_used(data, tmp_path):
    watch = Watch()
    clustering = IKMeansCallback(k_min=2, k_max=5, sample=200, clusterer=ClustererConfig("gmm"))
    schedule = LossSchedule(gamma={"kind": "step", "value": 0.05, "start": 1}, beta=Schedule("constant", 0.02))
    best = ModelCheckpoint(tmp_path, monitor="val/target", save_weights_only=True)
    model = new_model()
    trainer = lightning.Trainer(max_epochs=2, callbacks=[watch, schedule, clustering, best], **QUIET)
    trainer.fit(model, datamodule=data)
    assert watch.gammas == [0.0, 0.05]
    assert watch.kinds.count(IKMeansCallback) == watch.kinds.count(LossSchedule) == 1
    loaded = SpectralModel.load(best.best_model_path)
    assert loaded.k_range == (2, 5)
    assert loaded.clusterer.kind == "gmm"
    assert int(loaded.clusters.count) >= 1
    assert model.final_weights.beta == 0.02


def test_a_loaded_model_trains_on_in_training_mode(trained, data):
    loaded = DeepClustering.load(trained[2])
    before = loaded.network.mean.weight.clone()
    modes = []

    class Mode(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            modes.append(pl_module.network.training)

    lightning.Trainer(max_steps=2, callbacks=[Mode()], enable_checkpointing=False, **QUIET).fit(loaded, datamodule=data)
    assert modes == [True, True]
    assert not torch.equal(before, loaded.network.mean.weight)


def test_what_is_missing_is_said_in_one_line(data, tmp_path):
    trainer = lightning.Trainer(max_epochs=1, enable_checkpointing=False, **QUIET)
    loader = torch.utils.data.DataLoader(torch.zeros(8, 64))
    with pytest.raises(UserError, match="datamodule=SpectraDataModule") as raised:
        trainer.fit(new_model(), loader, loader)
    assert "\n" not in str(raised.value)
    other = DeepClustering(SpectralAxis.linear(0.5, 0.5, 32, "keV").to_dict(), NETWORK)
    with pytest.raises(UserError, match=r"not on the channels of the model: .* 32 channels against 64"):
        trainer.fit(other, datamodule=data)


def test_a_deep_baseline_gets_no_silhouette_beside_it(data):
    baseline = DeepBaselineConfig("dcn", clusters=4, weight=0.01, pretrain=1)
    model = new_model(deep_baseline=baseline)
    trainer = lightning.Trainer(max_epochs=2, enable_checkpointing=False, **QUIET)
    trainer.fit(model, datamodule=data)
    assert float(trainer.callback_metrics["gamma"]) == 0
    assert float(trainer.callback_metrics["val/clustering"]) > 0
    with pytest.raises(UserError, match=r"dcn brings its own loss, expected loss_schedule\.gamma.value 0"):
        lightning.Trainer(max_epochs=2, callbacks=[LossSchedule()], enable_checkpointing=False, **QUIET).fit(
            new_model(deep_baseline=baseline), datamodule=data
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"gamma": {"kind": "step", "valeu": 1}},
            r"loss_schedule.gamma: a schedule has no 'valeu' \(did",
        ),
        ({"gamma": {"kind": "step"}}, "loss_schedule.gamma: expected at least kind and value, got kind"),
        ({"beta": {"kind": "linear", "value": 1}}, "loss_schedule.beta: a linear schedule needs an end"),
        ({"beta": 0.1}, "loss_schedule.beta: expected a schedule or a mapping of its keys, got a value of type float"),
        ({"terms": {"smooth": {"kind": "constant", "value": 1}}}, "loss_schedule.terms.smooth: no such loss term"),
        ({"terms": {"mmd": {"kind": "constant", "value": 1}}}, "this weight is loss_schedule.beta"),
    ],
)
def test_bad_schedules_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        LossSchedule(**given)


def test_the_first_checkpoint_after_a_validation_within_an_epoch_has_clusters(data, tmp_path):
    keep = ModelCheckpoint(tmp_path, monitor="val/target", save_top_k=-1, filename="{step}")
    trainer = lightning.Trainer(max_epochs=2, val_check_interval=0.25, callbacks=[keep], **QUIET)
    trainer.fit(new_model(), datamodule=data)
    files = sorted(tmp_path.glob("*.ckpt"), key=lambda file: int(file.stem.partition("=")[2].partition("-")[0]))
    assert len(files) >= 4
    first = DeepClustering.load(files[0])
    assert int(files[0].stem.partition("=")[2]) < trainer.num_training_batches  # within the first epoch
    assert all(int(DeepClustering.load(file).clusters.count) >= 2 for file in files)
    assert len(first.clusters.assign(first.encode(data.sample("val", 50, seed=0)))) == 50
