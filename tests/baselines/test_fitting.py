import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from deepspec.axis import SpectralAxis
from deepspec.baselines import BaselineOptions, fit_baseline, fitting, segment_by_baseline
from deepspec.baselines.fitting import sample_cube, suitable_chain
from deepspec.data.cube import SpectralCube
from deepspec.errors import UserError
from tests.support.planted import AXIS, planted_cube, spoilt_cube


def spectra_of(cube):
    return cube.read_rows(0, cube.shape[0]).reshape(-1, cube.shape[2]).astype(np.float32)


@pytest.mark.parametrize("method", ["raw", "pca", "nmf"])
def test_planted_materials_are_found(method):
    cube, truth = planted_cube()
    found = segment_by_baseline(cube, method, k=(2, 8))
    assert found.k == 4
    assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) == 1
    assert found.notes[0].startswith(f"baseline {method}: ")
    assert found.provenance.checkpoint == ""
    # The decoder gives back what the pixels are, in counts.
    for cluster in range(4):
        mean = spectra_of(cube)[found.labels.ravel() == cluster].mean(0)
        np.testing.assert_allclose(found.mean_raw[cluster], mean, rtol=1e-4)
        assert np.linalg.norm(found.mean_reconstructed[cluster] - mean) < 0.1 * np.linalg.norm(mean)


def test_labels_are_those_of_scikit_learn():
    """At three clusters for four materials, where K-means has something to decide."""
    cube, _ = planted_cube(counts=60)
    x = np.sqrt(spectra_of(cube))
    raw = segment_by_baseline(cube, "raw", BaselineOptions(preprocess=["sqrt"]), k=(3, 3))
    theirs = KMeans(3, n_init=10, random_state=0).fit(x)
    assert adjusted_rand_score(theirs.labels_, raw.labels.ravel()) > 0.99
    pca = segment_by_baseline(cube, "pca", BaselineOptions(preprocess=["sqrt"], components=3), k=(3, 3))
    scores = PCA(3).fit_transform(x)
    assert adjusted_rand_score(KMeans(3, n_init=10, random_state=0).fit_predict(scores), pca.labels.ravel()) > 0.99
    assert pca.latents.shape == (24, 30, 3)
    np.testing.assert_allclose(np.abs(pca.latents.reshape(-1, 3)), np.abs(scores), atol=1e-3)
    assert raw.latents.shape == (24, 30, 60)


def test_masked_and_dead_pixels_count_nowhere():
    cube, truth, spoilt = spoilt_cube()
    found = segment_by_baseline(cube, "pca", k=(3, 6))
    assert [tuple(pixel) for pixel in np.argwhere(found.labels < 0)] == spoilt
    good = found.labels >= 0
    assert adjusted_rand_score(truth[good], found.labels[good]) == 1


def test_colours_of_a_picture_are_clustered_and_the_spectra_are_averaged(tmp_path):
    cube, _ = planted_cube()
    rng = np.random.default_rng(0)
    bands = np.repeat(np.arange(3), 8)[:, None] * np.ones((1, 30), int)  # across the materials
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]])[bands] + rng.integers(-9, 9, (24, 30, 3))
    Image.fromarray(colours.astype(np.uint8)).save(tmp_path / "p.png")
    cube.mask[0, :3] = False
    found = segment_by_baseline(cube, "rgb", BaselineOptions(image=str(tmp_path / "p.png")), k=(2, 6))
    assert found.k == 3
    assert adjusted_rand_score(bands[cube.mask], found.labels[cube.mask]) == 1
    assert (found.labels[0, :3] == -1).all()
    np.testing.assert_allclose(found.latents[5, 5], colours[5, 5] / 255, atol=1e-6)
    own = found.labels[12, 0]
    np.testing.assert_allclose(found.mean_raw[own], spectra_of(cube)[bands.ravel() == 1].mean(0), rtol=1e-4)
    assert found.structure.refreshed > 0.9 > 0.7 > found.structure.null_mean  # of the colours, not of the spectra
    # Ten neighbours of random materials: the mean is that of the picture's stripe, but for their choice.
    np.testing.assert_allclose(found.mean_reconstructed[own].sum(), found.mean_raw[own].sum(), rtol=0.05)


def test_the_sample_is_bounded_and_does_not_depend_on_blocks(monkeypatch):
    cube, _, spoilt = spoilt_cube()
    pixels, x = sample_cube(cube, 100, seed=3)
    assert len(pixels) == len(set(pixels.tolist())) == 100
    assert not {30 * row + column for row, column in spoilt} & set(pixels.tolist())
    np.testing.assert_array_equal(x, spectra_of(cube)[pixels])
    monkeypatch.setattr("deepspec.data.cube._BLOCK_BYTES", 4 * 60 * 30)  # a row at a time
    again, _ = sample_cube(cube, 100, seed=3)
    np.testing.assert_array_equal(np.sort(again), np.sort(pixels))
    assert len(sample_cube(cube, 10_000, seed=0)[0]) == 24 * 30 - 4
    monkeypatch.setattr("deepspec.baselines.fitting.SAMPLE_VALUES", 60 * 50)
    assert len(sample_cube(cube, 100, seed=3)[0]) == 50


def test_the_preprocessing_suits_the_cube():
    counts = torch.from_numpy(np.random.default_rng(0).poisson(1.0, (50, 8)).astype(np.float32))
    channel, energy, wavelength = (SpectralAxis.linear(1, 1, 8, unit) for unit in ("channel", "keV", "nm"))
    for axis in (channel, energy):
        assert suitable_chain(counts, axis, non_negative=False).steps == [
            "sqrt",
            {"step": "standard", "scale": "global"},
        ]
        assert suitable_chain(counts, axis, non_negative=True).steps == ["sqrt"]
    assert suitable_chain(counts, wavelength, non_negative=False).steps == ["minmax"]
    for others in (counts + 0.5, counts + 1, counts - 1):  # fractions, never 0, negative
        assert suitable_chain(others, channel, non_negative=False).steps == ["minmax"]


def test_default_components_are_fewer_for_few_channels():
    cube, _ = planted_cube()
    few = SpectralCube.from_array(cube.read_rows(0, 24)[..., :5])
    assert fit_baseline(few, "pca").model.network.latent == 5
    assert fit_baseline(cube, "pca").model.network.latent == 8


def test_mistakes_are_explained(monkeypatch, tmp_path):
    cube, _ = planted_cube()

    def refused(match, method, cube=cube, **options):
        with pytest.raises(UserError, match=match):
            fit_baseline(cube, method, BaselineOptions(**options))

    refused("unknown baseline 'tsne': expected one of pca", "tsne")
    refused("rgb needs --image", "rgb")
    refused("--image is for rgb alone", "pca", image="x.png")
    refused("--components is for pca, nmf, umap; raw", "raw", components=3)
    refused("at least 1, got 0", "pca", components=0)
    refused("at most 60, for 720 spectra of 60 preprocessed channels, got 61", "pca", components=61)
    refused("go down to -.*without centring, by .minmax.", "nmf", preprocess=["sqrt", {"step": "standard"}])
    refused("no preprocessing step 'srt' .did you mean 'sqrt'", "pca", preprocess=["srt"])
    refused("put clip before it", "raw", SpectralCube.from_array(spectra_of(cube).reshape(24, 30, 60) - 9.0, AXIS),
            preprocess=["sqrt"])  # fmt: skip
    refused("cannot be read as an image", "rgb", image=str(tmp_path / "none.png"))
    one = SpectralCube.from_array(spectra_of(cube)[:1].reshape(1, 1, 60))
    refused("at least 2 usable spectra to fit on, got 1", "pca", one)
    refused("no pixel has a usable spectrum", "raw", SpectralCube.from_array(np.zeros((3, 3, 4))))
    monkeypatch.setitem(sys.modules, "umap", None)
    refused("umap-learn, which is not installed", "umap")
    refused("neighbours of at least 2", "umap", neighbours=1)
    monkeypatch.setattr(fitting, "MOST_LATENTS", 720 * 20)
    refused("raw with 60 dimensions needs .* rebin, bins: 20", "raw")


def test_too_few_colours_are_told(tmp_path):
    cube, _ = planted_cube()
    colours = np.zeros((24, 30, 3), np.uint8)
    colours[:9] = 255
    Image.fromarray(colours).save(tmp_path / "p.png")
    options = BaselineOptions(image=str(tmp_path / "p.png"))
    with pytest.raises(UserError, match=r"p\.png has 2 different colours, too few for 3 clusters: lower --k"):
        segment_by_baseline(cube, "rgb", options)
    assert segment_by_baseline(cube, "rgb", options, k=(2, 4)).k == 2


def test_too_few_pixels_for_umap_are_told_before_it_starts(monkeypatch):
    monkeypatch.setattr(fitting, "check_installed", lambda: None)
    cube, _ = planted_cube(height=1, width=10)
    with pytest.raises(UserError, match="umap needs at least 17 usable spectra to fit on, got 10"):
        fit_baseline(cube, "umap")


def test_inputs_of_another_size_are_refused():
    from deepspec.segmentation import segment_cube

    cube, _ = planted_cube()
    with pytest.raises(UserError, match=r"inputs: expected shape \(24, 30, 'Q'\), got \(30, 24, 3\)"):
        segment_cube(cube, fit_baseline(cube, "pca").model, clusters="refit", inputs=np.zeros((30, 24, 3), np.float32))
