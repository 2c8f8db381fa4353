"""An ensemble through the real commands: one checkpoint, labels by consensus, and where the networks disagree."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from deepspec import DeepClustering, SpectralCube
from deepspec.axis import SpectralAxis
from deepspec.clustering import Consensus
from deepspec.data.hdf5_file import seal
from deepspec.evaluate import main as evaluate
from deepspec.fit import main as fit
from deepspec.models import EnsembleAutoencoder, SpectralModel
from deepspec.segment import main as segment
from deepspec.segmentation import Segmentation, segment_cube
from tests.conftest import planted_spectra
from tests.training.test_fit import arguments

pytestmark = pytest.mark.usefixtures("few_clouds")

AXIS = SpectralAxis.linear(0.5, 0.5, 64, "keV")


@pytest.fixture(scope="module")
def scan(tmp_path_factory, tiny_shards):
    """A folder with a run of three networks and a cube of the materials it was trained on, and their map."""
    folder = tmp_path_factory.mktemp("ensemble")
    fit(arguments(tiny_shards, folder / "run", "--model.network.ensemble", "3", "--loss_schedule.gamma",
                  "{kind: constant, value: 0}", epochs=6))  # fmt: skip
    spectra, materials = planted_spectra(600, seed=7)
    SpectralCube.from_array(spectra.reshape(20, 30, 64), AXIS).save(folder / "scan.h5")
    return folder, materials.reshape(20, 30)


def test_one_checkpoint_holds_all_networks_and_their_consensus(scan):
    folder, _ = scan
    model, plain = (kind.load(folder / "run" / "model.ckpt") for kind in (DeepClustering, SpectralModel))
    assert isinstance(model.network, EnsembleAutoencoder)
    assert model.network.encoder[0].weight.shape == (3, 32, 64)
    partition = model.clusters.partition
    assert isinstance(partition, Consensus)
    assert partition.centres.shape == (4, 9)
    x_NC = torch.from_numpy(planted_spectra(50, seed=8)[0])
    assert torch.equal(model.encode(x_NC), plain.encode(x_NC))
    assert model.decode(model.encode(x_NC)).shape == (50, 64)
    assert torch.equal(plain.clusters.assign(plain.encode(x_NC)), partition.assign(model.encode(x_NC)))


@pytest.mark.parametrize("clusters", ["frozen", "refit"])
def test_segment_and_evaluate(scan, tmp_path, capsys, clusters):
    folder, materials = scan
    segment([str(folder / "scan.h5"), "--checkpoint", str(folder / "run" / "model.ckpt"), "--clusters", clusters,
             "--out", str(tmp_path / "map")])  # fmt: skip
    printed = capsys.readouterr().out
    found = Segmentation.load(tmp_path / "map" / "segmentation.h5")
    assert found.k == 4
    assert adjusted_rand_score(found.labels.ravel(), materials.ravel()) > 0.95
    assert found.clustering.partition == "consensus"
    assert found.clustering.members == 3
    assert found.latents.shape == (20, 30, 9)
    assert found.disagreement.shape == (20, 30)
    assert set((3 * found.disagreement).round(4).ravel().tolist()) <= {0, 1, 2, 3}
    line = found.retraining
    assert line.startswith("stability under retraining: 3 networks trained from different initial weights")
    assert f"mean disagreement {found.disagreement.mean():.3f}" in line
    assert line in printed
    assert line[1:] in (tmp_path / "map" / "report.html").read_text()
    assert (tmp_path / "map" / "disagreement.png").stat().st_size > 1000
    with Image.open(tmp_path / "map" / "disagreement.tif") as image:
        assert image.mode == "F"
        np.testing.assert_array_equal(np.asarray(image), found.disagreement)
    evaluate([str(tmp_path / "map" / "segmentation.h5"), "--out", str(tmp_path / "evaluation"), "--refits", "3"])
    printed = capsys.readouterr().out
    assert line in printed
    assert "resampling alone: 3 refits on resampled pixels" in printed


def test_the_map_of_disagreement_counts_the_votes_of_the_networks(scan):
    folder, _ = scan
    spectra = planted_spectra(600, seed=7)[0].reshape(20, 30, 64).astype(np.float32)
    spectra[3, 4] = 0  # dead
    spectra[5, :15] = spectra[6, :15] / 2 + spectra[7, :15] / 2  # mixtures, on which networks may differ
    model = SpectralModel.load(folder / "run" / "model.ckpt")
    found = segment_cube(SpectralCube.from_array(spectra, AXIS), model)
    usable = found.labels >= 0
    assert np.isnan(found.disagreement[3, 4])
    assert np.isfinite(found.disagreement[usable]).all()
    z = torch.from_numpy(found.latents[usable])
    partition = model.clusters.partition
    votes = [torch.cdist(z[:, 3 * s : 3 * s + 3], partition.member_centres[:, s]).argmin(1).numpy() for s in range(3)]
    expected = np.mean([vote != found.labels[usable] for vote in votes], 0)
    np.testing.assert_allclose(found.disagreement[usable], expected, atol=1e-6)


def test_files_of_single_networks_and_of_earlier_versions_have_no_disagreement(scan, tmp_path):
    folder, _ = scan
    model = SpectralModel.load(folder / "run" / "model.ckpt")
    spectra = planted_spectra(600, seed=7)[0].reshape(20, 30, 64)
    found = segment_cube(SpectralCube.from_array(spectra, AXIS), model)
    found.save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["disagreement"], file["clustering"].attrs["members"]
    seal(tmp_path / "a.h5")
    old = Segmentation.load(tmp_path / "a.h5")
    assert old.disagreement is None
    assert old.clustering.members == 1
    assert old.retraining == dataclasses.replace(found, disagreement=None).retraining == ""


def test_valleys_work_on_the_latents_of_all_networks(scan):
    folder, materials = scan
    model = SpectralModel.load(folder / "run" / "model.ckpt")
    cube = SpectralCube.from_array(planted_spectra(600, seed=7)[0].reshape(20, 30, 64), AXIS)
    found = segment_cube(cube, model, clusters="refit", clusterer="valleys")
    assert found.clustering.partition == "counts"
    assert found.k == 4
    assert adjusted_rand_score(found.labels.ravel(), materials.ravel()) > 0.95
    assert found.disagreement.shape == found.labels.shape
    assert np.nanmean(found.disagreement) < 0.05
    assert found.retraining.startswith("stability under retraining: 3 networks")
    assert found.cut(2).disagreement is None  # of other clusters than those that the networks were asked about


def test_a_run_that_was_interrupted_goes_on_as_it_would_have(tiny_shards, tmp_path):
    options = ["--model.network.ensemble", "2"]
    fit(arguments(tiny_shards, tmp_path / "whole", *options, epochs=3))
    fit(arguments(tiny_shards, tmp_path / "part", *options, epochs=2))
    fit(arguments(tiny_shards, tmp_path / "part", *options, "--ckpt_path", "last", epochs=3))
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "part")
    ]
    for key, value in states[0].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, states[1][key]), key
    assert states[0]["network.mean.weight"].shape == (2, 3, 16)
