"""Views, components and noise fractions through the commands, on a real scene and on shards without neighbours."""

import json
import shutil

import numpy as np
import pytest
import torch

from deepspec.baseline import main as baseline
from deepspec.evaluate import main as evaluate
from deepspec.fit import main as fit
from deepspec.ingest import main as ingest
from deepspec.models import SpectralModel
from deepspec.segment import main as segment
from deepspec.segmentation import Segmentation
from tests.training.test_fit import arguments

LOG = "{step: log, quantile: 0.005}"
VIEWS = (
    "[{step: views, chains: [[minmax, {step: pca, components: 16}], "
    f"[{LOG}, {{step: pca, components: 16}}], [unit, {{step: pca, components: 16}}], "
    f"[{LOG}, {{step: pca, components: 64}}, {{step: mnf, components: 12, whiten: 0.5}}]]}}]"
)


def command(shards, run_dir, preprocess, *more):
    given = arguments(shards, run_dir, *more, epochs=2)
    given[given.index("--model.preprocess") + 1] = preprocess
    return given


@pytest.fixture(scope="module")
def scene(shared_data, tmp_path_factory):
    """SalinasA as shards, and the model of a short run on four views."""
    root = tmp_path_factory.mktemp("scene")
    cube = shared_data / "salinas_a" / "SalinasA_corrected.mat"
    ingest([str(cube), "--out", str(root / "shards"), "--split", "0.9", "0.1", "0"])
    fit(command(root / "shards", root / "run", VIEWS, "--model.optimizer.schedule", "cosine"))
    return cube, root


def test_a_real_scene_by_four_views(scene):
    cube, root = scene
    model = SpectralModel.load(root / "run" / "model.ckpt")
    assert model.preprocess.channels_out == 16 + 16 + 16 + 12
    assert model.decoded_axis.channels == 204
    assert model.preprocess.invertible_to == "counts"
    segment([str(cube), "--checkpoint", str(root / "run" / "model.ckpt"), "--out", str(root / "map")])
    found = Segmentation.load(root / "map" / "segmentation.h5")
    assert found.decoded_axis.difference(found.axis) is None
    assert found.mean_input.shape == found.mean_reconstructed.shape == (found.k, 204)
    # sixteen components and back: the mean spectra are those measured, but for a percent
    np.testing.assert_allclose(found.mean_input, found.mean_raw, rtol=0.05, atol=0.01 * found.mean_raw.max())
    exported = np.loadtxt(root / "map" / "spectra-decoded.csv", delimiter=",", skiprows=1)
    assert exported.shape[0] == 204
    evaluate([str(root / "map"), "--out", str(root / "evaluation")])


def test_the_statistics_are_those_of_the_training_spectra(scene):
    """The first view against scikit-learn, on what the shards hold."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import MinMaxScaler

    from deepspec.data.shards.manifest import ShardSet

    _, root = scene
    shards = ShardSet(root / "shards")
    x = shards.read("train", 0, shards.rows("train")).spectra
    scores = PCA(16, svd_solver="full").fit_transform(MinMaxScaler().fit_transform(x.astype(np.float64)))
    scores /= np.sqrt((scores**2).mean())
    model = SpectralModel.load(root / "run" / "model.ckpt")
    result = model.preprocess(torch.from_numpy(x))[:, :16].double().numpy()
    scores *= np.sign((scores * result).sum(0))
    np.testing.assert_allclose(result, scores, atol=1e-2)
    noise = model.preprocess(torch.from_numpy(shards.read_neighbours()))[:, 48:].double().numpy()
    # in noise fractions the noise is uncorrelated, and the better a fraction the less of it there is in its score
    half = np.cov((noise[::2] - noise[1::2]).T) / 2
    correlation = half / np.sqrt(np.outer(np.diag(half), np.diag(half)))
    assert np.abs(correlation - np.eye(12)).max() < 0.05
    assert (np.diff(np.diag(half)) > -1e-3).all()


@pytest.mark.slow
def test_a_baseline_and_its_evaluation_see_the_same_preprocessing(scene, tmp_path):
    """The noise too is measured on the same neighbours, which are drawn from the cube."""
    cube, _ = scene
    steps = f"[{{step: views, chains: [[minmax, pca], [{LOG}, {{step: pca, components: 64}}, mnf]]}}]"
    baseline(["raw", str(cube), "--preprocess", steps, "--k", "3", "4", "--out", str(tmp_path / "map")])
    found = Segmentation.load(tmp_path / "map" / "segmentation.h5")
    assert found.mean_input.shape == (found.k, 204)
    assert found.decoded_axis.difference(found.axis) is None
    evaluate([str(tmp_path / "map"), "--out", str(tmp_path / "evaluation")])
    written = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    # `raw` has the preprocessed spectra for latents
    again, latent = written["internal_input_space"], written["internal"]
    assert again["calinski_harabasz"] == pytest.approx(latent["calinski_harabasz"], rel=1e-6)
    assert again["davies_bouldin"] == pytest.approx(latent["davies_bouldin"], rel=1e-6)


def test_shards_without_neighbours_are_refused_before_anything_is_written(tiny_shards, tmp_path, capsys):
    older = shutil.copytree(tiny_shards, tmp_path / "older")
    state = json.loads((older / "manifest.json").read_text())
    state.pop("neighbours", None)
    state.pop("checksum", None)
    (older / "manifest.json").write_text(json.dumps(state))
    with pytest.raises(SystemExit, match="2"):
        fit(command(older, tmp_path / "run", "[sqrt, mnf]"))
    error = capsys.readouterr().err
    assert "no pairs of neighbouring pixels here, on which the preprocessing step mnf measures the noise" in error
    assert "ingest the cubes again" in error
    assert not (tmp_path / "run").exists()


def test_fewer_components_than_asked_for_are_said(tiny_shards, tmp_path):
    with pytest.warns(
        UserWarning, match="pca: 64 of 100 components, for the 1500 spectra of 64 channels vary in no more"
    ):
        fit(command(tiny_shards, tmp_path / "run", "[sqrt, {step: pca, components: 100}, standard]"))
