import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, silhouette_score
from torch.testing import assert_close

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube
from deepspec.errors import UserError
from deepspec.functional import silhouette_score as differentiable_silhouette
from deepspec.models.autoencoder import Latent
from deepspec.segmentation import segment_cube, spectra
from tests.support.planted import AXIS, LinearModel, planted_cube, spoilt_cube, train_by_heart


def reference(cube, model, labels, k):
    """What the spectra of clusters are, by numpy and pixel by pixel, from labels that are taken as given."""
    x = cube.read_rows(0, cube.shape[0]).reshape(-1, cube.shape[2]).astype(np.float64)
    mean, axes = model.network.mean_D.double().numpy(), model.network.axes_LD.double().numpy()
    used = labels.reshape(-1) >= 0
    z = np.full((len(x), len(axes)), np.nan)
    z[used] = (np.sqrt(x[used]) - mean) @ axes.T
    decoded = np.full(x.shape, np.nan)
    decoded[used] = np.clip(z[used] @ axes + mean, 0, None) ** 2
    members = [labels.reshape(-1) == c for c in range(k)]
    return {
        "mean_raw": np.stack([x[m].mean(0) for m in members]),
        "mean_input": np.stack([x[m].mean(0) for m in members]),
        "mean_reconstructed": np.stack([decoded[m].mean(0) for m in members]),
        "decoded_centre": np.stack([np.clip(z[m].mean(0) @ axes + mean, 0, None) ** 2 for m in members]),
        "total_raw": np.where(used, x.sum(1), np.nan).reshape(labels.shape),
        "total_reconstructed": decoded.sum(1).reshape(labels.shape),
        "total_latent": z.sum(1).reshape(labels.shape),
    }, z[used]


def assert_same(left, right, rtol=1e-4):
    """Two segmentations that differ by rounding only."""
    np.testing.assert_array_equal(left.labels, right.labels)
    for name in ("cluster_centers", "mean_raw", "mean_input", "mean_reconstructed", "decoded_centre"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=rtol, atol=1e-3, err_msg=name)
    for name in ("total_raw", "total_reconstructed", "total_latent"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=rtol, atol=1e-3, err_msg=name)


def test_refit_finds_planted_materials_largest_first():
    cube, truth = planted_cube()
    found = segment_cube(cube, LinearModel(cube), clusters="refit", k=(2, 8))
    assert found.k == 4
    assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) == 1
    # Band 3 is the widest.
    np.testing.assert_array_equal(found.labels, 3 - truth)
    np.testing.assert_array_equal(found.sizes, np.bincount(3 - truth.ravel()))
    assert set(found.scores) == set(found.inertias) == set(range(2, 9))
    assert max(found.scores, key=found.scores.get) == 4


def test_refit_looks_for_as_many_clusters_as_the_training_did():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    assert list(segment_cube(cube, model, clusters="refit").scores) == [*range(3, 11)]
    model.k_range = (5, 7)
    assert list(segment_cube(cube, model, clusters="refit").scores) == [5, 6, 7]
    assert list(segment_cube(cube, model, clusters="refit", k=(2, 4)).scores) == [2, 3, 4]


def test_spectra_and_images_match_numpy():
    cube, _, dead = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    found = segment_cube(cube, model, clusters="refit", k=(3, 6))
    expected, z = reference(cube, model, found.labels, found.k)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=2e-4, atol=2e-3, err_msg=name)
    # Each label is that of the nearest centre, and each centre the mean of its points.
    used = found.labels.ravel()[found.labels.ravel() >= 0]
    distance = np.linalg.norm(z[:, None] - found.cluster_centers, axis=2)
    np.testing.assert_array_equal(distance.argmin(1), used)
    means = np.stack([z[used == c].mean(0) for c in range(found.k)])
    np.testing.assert_allclose(found.cluster_centers, means, rtol=1e-4, atol=1e-3)
    assert found.quantity == "counts"
    assert found.mean_raw.dtype == np.float64
    assert len(dead) == (found.labels < 0).sum()


def test_masked_dead_and_infinite_pixels_have_no_label():
    cube, truth, dead = spoilt_cube()
    found = segment_cube(cube, LinearModel(planted_cube()[0]), clusters="refit", k=(3, 6))
    assert found.labels.dtype == np.int16
    assert [tuple(pixel) for pixel in np.argwhere(found.labels < 0)] == dead
    good = found.labels >= 0
    np.testing.assert_array_equal(found.labels[good], (3 - truth)[good])
    assert found.sizes.sum() == good.sum()
    assert found.notes == ("left out 1 masked and 3 dead (empty or NaN) of 720 pixels",)
    for image in (found.total_raw, found.total_reconstructed, found.total_latent):
        np.testing.assert_array_equal(np.isfinite(image), good)


def test_infinite_spectra_are_dead_even_to_an_encoder_that_saturates():
    cube, _, dead = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    encode = model.network.encode
    model.network.encode = lambda x_nd: Latent(torch.nan_to_num(encode(x_nd).mean_NL), None)
    found = segment_cube(cube, model, clusters="refit", k=(3, 6))
    assert [tuple(pixel) for pixel in np.argwhere(found.labels < 0)] == dead
    assert np.isfinite(found.mean_raw).all()


def test_spectra_that_cancel_out_are_not_dead():
    cube, _ = planted_cube()
    x = cube.read_rows(0, 24).astype(np.float32) - 15
    x[0, 0] = 0
    x[0, 0, :2] = 50, -50
    x[0, 1] = 0
    shifted = SpectralCube.from_array(x, AXIS)
    found = segment_cube(shifted, LinearModel(shifted, steps=()), clusters="refit", k=(3, 6))
    assert found.labels[0, 0] >= 0
    assert found.labels[0, 1] == -1


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_cluster_comes_first_whatever_the_seeds(seed):
    cube, _ = planted_cube()
    found = segment_cube(cube, LinearModel(cube), clusters="refit", k=(5, 5), n_init=1, sample=60, seed=seed)
    assert (np.diff(found.sizes) <= 0).all()


def test_the_decoded_centre_is_that_of_the_pixels_not_of_the_checkpoint():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    refit = segment_cube(cube, model, clusters="refit", k=(3, 6))
    model.clusters.set(1.2 * torch.from_numpy(refit.cluster_centers))
    frozen = segment_cube(cube, model)
    np.testing.assert_array_equal(frozen.labels, refit.labels)
    np.testing.assert_allclose(frozen.cluster_centers, 1.2 * refit.cluster_centers, rtol=1e-6)
    np.testing.assert_allclose(frozen.decoded_centre, refit.decoded_centre, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "i4", "u8", "i8", "f4", "f8", ">u2"])
def test_every_type_of_counts_is_read(kind):
    cube, truth = planted_cube(counts=400)
    stored = SpectralCube.from_array(cube.read_rows(0, 24).astype(kind), AXIS)
    found = segment_cube(stored, LinearModel(cube), clusters="refit", k=(4, 4))
    np.testing.assert_array_equal(found.labels, 3 - truth)
    np.testing.assert_allclose(found.mean_raw[0], cube.read_rows(0, 24)[truth == 3].mean(0), rtol=1e-5)


@pytest.mark.parametrize("mode", ["refit", "frozen"])
def test_block_and_piece_size_do_not_change_the_result(mode, monkeypatch):
    cube, _, _ = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    model.clusters.set(torch.tensor([[-8.0, 0, 0], [0, 6, 0], [0, 0, 3]]))
    whole = segment_cube(cube, model, clusters=mode, k=(3, 6), max_pixels_per_block=10**6)
    for pixels, values in ((1, 2**20), (100, 17 * 60), (720, 7 * 60)):
        monkeypatch.setattr(spectra, "PIECE_VALUES", values)
        parts = segment_cube(cube, model, clusters=mode, k=(3, 6), max_pixels_per_block=pixels)
        assert_same(whole, parts)
        assert whole.structure.refreshed == pytest.approx(parts.structure.refreshed, abs=1e-3)


def test_frozen_labels_are_those_of_the_nearest_centre_of_the_checkpoint():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    refit = segment_cube(cube, model, clusters="refit", k=(3, 6))
    # In another order and with one that no pixel is near to: numbers are the checkpoint's.
    centres = np.concatenate([refit.cluster_centers[[2, 0, 3]], [[500, 500, 500]], refit.cluster_centers[[1]]])
    model.clusters.set(torch.from_numpy(centres.astype(np.float32)))
    frozen = segment_cube(cube, model)
    np.testing.assert_array_equal(np.array([2, 0, 3, -9, 1])[frozen.labels], refit.labels)
    np.testing.assert_allclose(frozen.mean_raw[0], refit.mean_raw[2])
    assert frozen.k == 5
    assert frozen.sizes[3] == 0
    assert frozen.shares[3] == 0
    assert np.isnan(frozen.mean_raw[3]).all()
    assert np.isnan(frozen.mean_reconstructed[3]).all()
    assert_close(torch.from_numpy(frozen.decoded_centre[3]).float(), model.decode(model.clusters.used[3:4])[0])
    assert frozen.scores == frozen.inertias == {}
    assert frozen.provenance.clusters == "frozen"


def test_silhouette_is_that_of_scikit_learn():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    found = segment_cube(cube, model, clusters="refit", k=(3, 6))
    _, z = reference(cube, model, found.labels, found.k)
    assert found.silhouette.score == pytest.approx(silhouette_score(z, found.labels.ravel()), abs=1e-4)
    assert found.silhouette.standard_error == 0
    assert found.silhouette.anchors == 720


def test_a_single_cluster_has_no_silhouette():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    model.clusters.set(torch.zeros(1, 3))
    found = segment_cube(cube, model)
    assert np.isnan(found.silhouette.score)
    assert (found.labels == 0).all()


def test_a_subsample_still_gives_the_means_of_all_pixels():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    assert_same(
        segment_cube(cube, model, clusters="refit", k=(4, 4)),
        segment_cube(cube, model, clusters="refit", k=(4, 4), sample=40),
    )


def test_same_seed_same_result():
    cube, _ = planted_cube(counts=60.0)
    model = LinearModel(cube)
    first, second = (segment_cube(cube, model, clusters="refit", seed=3) for _ in range(2))
    assert_same(first, second, rtol=0)
    assert first.scores == second.scores
    assert first.structure == second.structure


def test_dropout_is_off_and_the_mode_is_given_back():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    evaluated = segment_cube(cube, model, clusters="refit", k=(4, 4))
    model.train()
    trained = segment_cube(cube, model, clusters="refit", k=(4, 4))
    assert model.training
    assert_same(evaluated, trained)
    np.testing.assert_array_equal(evaluated.total_latent, trained.total_latent)


def test_progress_reaches_the_end_of_each_pass():
    cube, _ = planted_cube()
    calls = []
    segment_cube(
        cube, LinearModel(cube), clusters="refit", max_pixels_per_block=90, progress=lambda *call: calls.append(call)
    )
    assert calls == [(name, done, 720) for name in ("encoding", "averaging") for done in range(90, 721, 90)]


def test_impossible_requests_are_explained():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    with pytest.raises(UserError, match=r"no clusters.*--clusters refit"):
        segment_cube(cube, model)
    with pytest.raises(UserError, match="1 <= fewest <= most clusters, got 5 and 3"):
        segment_cube(cube, model, clusters="refit", k=(5, 3))
    with pytest.raises(UserError, match="at least 1 of each"):
        segment_cube(cube, model, clusters="refit", n_init=0)
    few = SpectralCube.from_array(cube.read_rows(0, 1)[:, :8], AXIS)
    with pytest.raises(UserError, match=r"8 usable pixels cannot be divided into 3 to 10 clusters.*--k"):
        segment_cube(few, model, clusters="refit", k=(3, 10))


def test_equal_spectra_are_explained():
    cube = SpectralCube.from_array(np.full((9, 9, 60), 4, np.uint16), AXIS)
    with pytest.raises(UserError, match="fewer than 3 different latent points"):
        segment_cube(cube, LinearModel(planted_cube()[0]), clusters="refit")


def test_cubes_without_a_usable_spectrum_are_explained():
    model = LinearModel(planted_cube()[0])
    with pytest.raises(UserError, match="no pixel has a usable spectrum"):
        segment_cube(SpectralCube.from_array(np.zeros((5, 5, 60)), AXIS), model, clusters="refit")
    with pytest.raises(UserError, match="preprocessing gives NaN for every spectrum"):
        segment_cube(SpectralCube.from_array(np.full((5, 5, 60), -1.0), AXIS), model, clusters="refit")


def test_the_latents_of_a_lightning_model_are_those_it_encodes():
    """The real model and not the linear one: encode, decode, and their order in the pipeline."""
    cube, _ = planted_cube()
    x = torch.from_numpy(cube.read_rows(0, 24).reshape(720, 60).astype(np.float32))
    model = train_by_heart(x[::6], ["sqrt", {"step": "rebin", "bins": 30}, "max"], "sigmoid", epochs=30)
    model.axis = AXIS
    found = segment_cube(cube, model, clusters="refit", k=(3, 5))
    z = model.encode(x)
    labels = torch.from_numpy(found.labels.reshape(-1).astype(np.int64))
    np.testing.assert_allclose(found.total_latent.ravel(), z.sum(1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.total_reconstructed.ravel(), model.decode(z).sum(1), rtol=1e-3)
    np.testing.assert_allclose(found.mean_reconstructed[0], model.decode(z[labels == 0]).mean(0), rtol=1e-3, atol=1e-5)
    assert found.silhouette.score == pytest.approx(float(differentiable_silhouette(z, labels)), abs=1e-4)
    assert found.quantity == "relative intensity"
    assert found.decoded_axis.channels == 30
    np.testing.assert_allclose(found.decoded_axis.values, AXIS.values.reshape(30, 2).mean(1))


def test_a_model_of_the_first_channels_takes_the_whole_cube():
    """`ingest` leaves out the tube's scattered lines; a cube that is opened in Python still has them."""
    cube, _ = planted_cube()
    counts = cube.read_rows(0, cube.shape[0])
    more = np.concatenate([counts, np.full((*counts.shape[:2], 20), 7, counts.dtype)], 2)
    whole = SpectralCube.from_array(more, SpectralAxis.linear(1.0, 0.25, 80, "keV"))
    model = LinearModel(cube)
    found, expected = (segment_cube(given, model, clusters="refit", k=4) for given in (whole, cube))
    assert_same(found, expected)
    assert "the model takes the first 60 of 80 channels" in found.notes
    assert whole.shape[2] == 80, "the cube of the caller is as it was"
    other = SpectralCube.from_array(more, SpectralAxis.linear(1.0, 0.26, 80, "keV"))
    with pytest.raises(UserError, match="expected the checkpoint's axis"):
        segment_cube(other, model, clusters="refit", k=4)
