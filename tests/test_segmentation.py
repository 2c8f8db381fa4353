import dataclasses
import hashlib
import re
from importlib.metadata import version

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, silhouette_score
from torch.testing import assert_close

from deepspec.data.axis import SpectralAxis
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.errors import UserError
from deepspec.functional import silhouette_score as differentiable_silhouette
from deepspec.models import NetworkConfig
from deepspec.segmentation import Segmentation, provenance, segment_cube, spectra
from deepspec.segmentation.structure import find_structure
from deepspec.segmentation.threads import in_threads
from deepspec.training.module import DeepClustering
from tests.planted import AXIS, LinearModel, planted_cube, planted_rates


def spoilt_cube():
    """The planted cube as float32 with a masked pixel, one of zeros, one with NaN, one with infinity, in this order."""
    cube, labels = planted_cube()
    x = cube.read_rows(0, 24).astype(np.float32)
    mask = np.ones(labels.shape, bool)
    mask[0, 0] = False
    x[0, 0] = 60_000  # would show in every mean
    x[3, 5] = 0
    x[7, 20, 11] = np.nan
    x[23, 29, 0] = np.inf
    return SpectralCube.from_array(x, AXIS, mask), labels, [(0, 0), (3, 5), (7, 20), (23, 29)]


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
    for name in ("centres", "mean_raw", "mean_input", "mean_reconstructed", "decoded_centre"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=rtol, atol=1e-3, err_msg=name)
    for name in ("total_raw", "total_reconstructed", "total_latent"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=rtol, atol=1e-3, err_msg=name)


# Labels, means, images


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


def test_spectra_and_images_match_numpy():
    cube, _, dead = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    found = segment_cube(cube, model, clusters="refit", k=(3, 6))
    expected, z = reference(cube, model, found.labels, found.k)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=2e-4, atol=2e-3, err_msg=name)
    # Each label is that of the nearest centre, and each centre the mean of its points.
    used = found.labels.ravel()[found.labels.ravel() >= 0]
    distance = np.linalg.norm(z[:, None] - found.centres, axis=2)
    np.testing.assert_array_equal(distance.argmin(1), used)
    means = np.stack([z[used == c].mean(0) for c in range(found.k)])
    np.testing.assert_allclose(found.centres, means, rtol=1e-4, atol=1e-3)
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


@pytest.mark.parametrize("mode", ["refit", "frozen"])
def test_block_and_piece_size_do_not_change_the_result(mode, monkeypatch):
    cube, _, _ = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    model.clusters.set(torch.tensor([[-8.0, 0, 0], [0, 6, 0], [0, 0, 3]]))
    whole = segment_cube(cube, model, clusters=mode, k=(3, 6), max_pixels_per_block=10**6)
    for pixels, values in ((1, 2**20), (100, 7 * 60), (720, 60)):
        monkeypatch.setattr(spectra, "PIECE_VALUES", values)
        parts = segment_cube(cube, model, clusters=mode, k=(3, 6), max_pixels_per_block=pixels)
        assert_same(whole, parts)
        assert whole.structure.refreshed == pytest.approx(parts.structure.refreshed, abs=1e-3)


def test_frozen_labels_are_those_of_the_nearest_centre_of_the_checkpoint():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    refit = segment_cube(cube, model, clusters="refit", k=(3, 6))
    # In another order and with one that no pixel is near to: numbers are the checkpoint's.
    centres = np.concatenate([refit.centres[[2, 0, 3]], [[500, 500, 500]], refit.centres[[1]]])
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


# Axes


def test_an_axis_of_other_channels_is_refused_by_name():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    other = SpectralCube.from_array(cube.read_rows(0, 24), SpectralAxis.linear(1.0, 0.26, 60, "keV"))
    with pytest.raises(UserError, match=r"60 channels, 1 to 15.75 keV, got 60 channels, 1 to 16.34 keV.*--rebin true"):
        segment_cube(other, model, clusters="refit")


def test_rebinned_cube_keeps_counts_and_labels():
    cube, truth = planted_cube()
    model = LinearModel(cube)
    # The same spectra in 120 half as wide channels, each count on one side at random, and falling.
    fine = np.zeros((24, 30, 120), np.uint16)
    fine[..., ::2] = np.random.default_rng(1).binomial(cube.read_rows(0, 24), 0.5)
    fine[..., 1::2] = cube.read_rows(0, 24) - fine[..., ::2]
    axis = SpectralAxis.linear(1.0 - 0.0625, 0.125, 120, "keV")
    falling = SpectralCube.from_array(fine[..., ::-1], SpectralAxis(axis.values[::-1], "keV"))
    found = segment_cube(falling, model, clusters="refit", k=(3, 6), rebin=True)
    plain = segment_cube(cube, model, clusters="refit", k=(3, 6))
    np.testing.assert_array_equal(found.labels, 3 - truth)
    np.testing.assert_allclose(found.mean_input, plain.mean_input, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.mean_raw[:, ::-1].reshape(4, 60, 2).sum(2), plain.mean_raw, rtol=1e-4)
    assert found.axis.channels == 120
    np.testing.assert_allclose(found.decoded_axis.values, AXIS.values)
    assert "rebinned from 120 channels" in found.notes[0]
    assert "keeping counts" in found.notes[0]


def test_channels_outside_the_cubes_range_are_zero_and_that_is_said():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    part = SpectralCube.from_array(cube.read_rows(0, 24)[..., 10:50], AXIS.slice(10, 50))
    found = segment_cube(part, model, clusters="refit", k=(3, 6), rebin=True)
    assert "20 of the checkpoint's 60 channels lie outside the cube's range: set to zero" in found.notes[1]
    assert (found.mean_input[:, :10] == 0).all()
    assert (found.mean_input[:, 50:] == 0).all()
    np.testing.assert_allclose(found.mean_input[:, 10:50], found.mean_raw, rtol=1e-4)


def test_rebin_does_not_join_what_has_nothing_in_common():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    x = cube.read_rows(0, 24)
    for axis, message in (
        (SpectralAxis.linear(400, 5, 60, "nm"), "measure different things"),
        (SpectralAxis.linear(40, 1, 60, "keV"), "do not overlap"),
        (SpectralAxis.linear(0, 1, 50, "channel"), "--axis FIRST:LAST:UNIT"),
    ):
        other = SpectralCube.from_array(x[..., : axis.channels], axis)
        with pytest.raises(UserError, match=message):
            segment_cube(other, model, rebin=True, clusters="refit")


def test_a_cube_without_calibration_matches_by_its_number_of_channels():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    found = segment_cube(SpectralCube.from_array(cube.read_rows(0, 24)), model, clusters="refit", k=(3, 6))
    assert found.axis.unit == found.decoded_axis.unit == "keV"
    assert "number of channels alone" in found.notes[0]
    uncalibrated = LinearModel(cube, axis=SpectralAxis.linear(0, 1, 60, "channel"))
    assert segment_cube(cube, uncalibrated, clusters="refit", k=(3, 6)).decoded_axis.unit == "keV"


# Impossible requests


def test_impossible_requests_are_explained():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    with pytest.raises(UserError, match=r"no clusters.*--clusters refit"):
        segment_cube(cube, model)
    with pytest.raises(UserError, match="2 <= fewest <= most clusters, got 5 and 3"):
        segment_cube(cube, model, clusters="refit", k=(5, 3))
    with pytest.raises(UserError, match="at least 1 of each"):
        segment_cube(cube, model, clusters="refit", restarts=0)
    few = SpectralCube.from_array(cube.read_rows(0, 1)[:, :8], AXIS)
    with pytest.raises(UserError, match=r"8 usable pixels cannot be divided into 3 to 10 clusters.*--k"):
        segment_cube(few, model, clusters="refit")


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


# Structure


def one_material(n, channels=60, counts=300.0, seed=0):
    return np.random.default_rng(seed).poisson(planted_rates(1, channels, counts), (n, channels)).astype(np.float32)


def test_structure_is_clear_in_a_planted_cube_and_absent_from_one_material():
    cube, _ = planted_cube(k=3)
    found = segment_cube(cube, LinearModel(cube), clusters="refit").structure
    assert found.verdict == "clear"
    assert found.p == pytest.approx(1 / 21)
    assert found.refreshed == pytest.approx(found.observed, abs=0.05)
    assert "clear evidence" in found.sentence
    plain = SpectralCube.from_array(one_material(720).reshape(24, 30, 60), AXIS)
    nothing = segment_cube(plain, LinearModel(plain), clusters="refit").structure
    assert nothing.verdict == "none"
    assert "no evidence for more than one material" in nothing.sentence


def test_two_materials_are_clear_though_k_starts_at_three():
    cube, _ = planted_cube(k=2)
    assert segment_cube(cube, LinearModel(cube), clusters="refit", k=(3, 6)).structure.verdict == "clear"


def test_a_continuous_mixture_is_not_clear():
    share = np.random.default_rng(0).uniform(size=(24, 30, 1))
    rates = planted_rates(2)
    counts = np.random.default_rng(1).poisson(share * rates[0] + (1 - share) * rates[1])
    cube = SpectralCube.from_array(counts.astype(np.uint16), AXIS)
    assert segment_cube(cube, LinearModel(cube), clusters="refit").structure.verdict in ("weak", "none")


def test_few_spectra_are_not_tested():
    found = find_structure(torch.rand(11, 5), lambda y: y[:, :2], (2, 10), torch.Generator())
    assert found.verdict == "untested"
    assert "11 usable spectra are too few" in found.sentence


def test_a_collapsed_latent_space_has_no_structure():
    found = find_structure(torch.rand(100, 5), lambda y: torch.zeros(len(y), 2), (2, 10), torch.Generator())
    assert found.verdict == "none"


def train_by_heart(x, steps, output, epochs):
    """A network trained with a strong silhouette term on a few spectra, which it can tell apart by their noise."""
    from deepspec.training.objective import Objective, ObjectiveConfig, Weights

    torch.manual_seed(0)
    axis = SpectralAxis.linear(0, 1, x.shape[1], "channel")
    model = DeepClustering(
        axis.to_dict(), NetworkConfig(encoder=[128, 32], decoder=[32, 128], output=output), list(steps)
    )
    model.preprocess.fit(x)
    y = model.preprocess(x)
    objective, weights = Objective(ObjectiveConfig()), Weights(gamma=0.1)
    optimiser = torch.optim.Adam(model.network.parameters(), 2e-3)
    for _ in range(epochs):
        z = model.network.encode(y).mean_NL
        parts = objective(y, model.network.decode(z), z, z, weights, weights)
        optimiser.zero_grad()
        parts.total.backward()
        optimiser.step()
    return model.eval()


STEPS = [({"step": "rebin", "bins": 250}, "max"), ({"step": "rebin", "bins": 250}, "sqrt", {"step": "standard"})]


@pytest.mark.parametrize(("steps", "output"), list(zip(STEPS, ["sigmoid", "linear"], strict=True)))
def test_noise_learnt_by_heart_is_no_structure(shared_data, steps, output):
    """XRF map of a uniform film, 121 pixels: one material, whatever silhouette a network reaches on it."""
    with np.load(shared_data / "aps_xrf" / "aps_axo_std_counts.npz") as file:
        counts = file["counts"].sum(2, dtype=np.float32)
    cube = SpectralCube.from_array(counts)
    model = train_by_heart(torch.from_numpy(counts.reshape(121, -1)), steps, output, epochs=150)
    found = segment_cube(cube, model, clusters="refit")
    assert found.silhouette.score > 0.7
    assert found.structure.verdict != "clear"
    assert "learnt by heart" in found.structure.sentence


def test_materials_learnt_from_as_few_spectra_are_structure():
    cube, truth = planted_cube(11, 11, k=3, counts=300.0)
    x = torch.from_numpy(cube.read_rows(0, 11).reshape(121, -1).astype(np.float32))
    model = train_by_heart(x, ["sqrt", {"step": "standard"}], "linear", epochs=150)
    found = segment_cube(cube, model, clusters="refit")
    assert found.structure.verdict == "clear"
    assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) > 0.9


# Files


def test_a_saved_segmentation_comes_back_as_it_was(tmp_path):
    cube, _, _ = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    model.clusters.set(torch.tensor([[-8.0, 0, 0], [0, 6, 0], [500, 0, 3]]))
    for mode in ("refit", "frozen"):
        found = segment_cube(cube, model, clusters=mode)
        found.save(tmp_path / "a.h5")
        loaded = Segmentation.load(tmp_path / "a.h5")
        for field in dataclasses.fields(Segmentation):
            before, after = getattr(found, field.name), getattr(loaded, field.name)
            if isinstance(before, SpectralAxis):
                assert before.to_dict() == after.to_dict()
            elif isinstance(before, np.ndarray):
                np.testing.assert_array_equal(before, after, err_msg=field.name)
                assert before.dtype == after.dtype
            else:
                assert before == after, field.name
        with h5py.File(tmp_path / "a.h5") as file:
            assert file.attrs["format"] == "deepspec-segmentation"
            assert file["axis"].attrs["unit"] == "keV"
            assert file["structure"].attrs["sentence"] == found.structure.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"none.h5: no such segmentation"):
        Segmentation.load(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("labels")
    with pytest.raises(UserError, match=r"text.h5: expected a segmentation .* damaged or of another kind"):
        Segmentation.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "shard.h5", "w") as file:
        file.attrs["format"] = "deepspec-shard"
    with pytest.raises(UserError, match=r"shard.h5: expected .*, got a file of format 'deepspec-shard'"):
        Segmentation.load(tmp_path / "shard.h5")
    with h5py.File(tmp_path / "later.h5", "w") as file:
        file.attrs.update(format="deepspec-segmentation", version=2)
    with pytest.raises(UserError, match="expected version 1 of the segmentation file, got 2"):
        Segmentation.load(tmp_path / "later.h5")
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file.attrs.update(format="deepspec-segmentation", version=1)
    with pytest.raises(UserError, match="damaged"):
        Segmentation.load(tmp_path / "part.h5")


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    cube, _ = planted_cube()
    found = segment_cube(cube, LinearModel(cube), clusters="refit", k=(4, 4))
    found.save(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    broken = dataclasses.replace(found, total_latent=np.array([object()]))
    with pytest.raises(TypeError):
        broken.save(tmp_path / "a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == before


def test_provenance_names_and_hashes_the_files(tmp_path, monkeypatch):
    cube, _ = planted_cube()
    path, checkpoint = tmp_path / "cube.npy", tmp_path / "model.ckpt"
    np.save(path, cube.read_rows(0, 24))
    checkpoint.write_bytes(b"weights")
    with read_cube(path, axis="1:15.75:keV") as stored:
        found = segment_cube(stored, LinearModel(cube), clusters="refit", k=(4, 4), seed=5, checkpoint=checkpoint)
        monkeypatch.setattr(provenance, "HASHED_BYTES", 100)
        unhashed = segment_cube(stored, LinearModel(cube), clusters="refit", k=(4, 4), checkpoint=checkpoint)
    record = found.provenance
    assert (record.cube, record.checkpoint) == (str(path), str(checkpoint))
    assert record.cube_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record.checkpoint_sha256 == hashlib.sha256(b"weights").hexdigest()
    assert (record.seed, record.clusters) == (5, "refit")
    assert (record.torch, record.numpy) == (version("torch"), np.__version__)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record.created)
    assert found.notes == ()
    assert unhashed.provenance.cube_sha256 == ""
    assert unhashed.provenance.checkpoint_sha256 != ""
    assert "cube.npy was not hashed: it is larger than" in unhashed.notes[0]


# Threads


def test_threads_keep_order_and_pass_errors_on():
    threads = torch.get_num_threads()
    assert list(in_threads(lambda i: i * i, range(100))) == [i * i for i in range(100)]
    assert list(in_threads(lambda _: torch.get_num_threads(), range(3))) == [1, 1, 1]
    assert list(in_threads(lambda _: torch.is_grad_enabled(), range(2))) == [False, False]

    def fail(i):
        raise RuntimeError(f"item {i}")

    with pytest.raises(RuntimeError, match="item 0"):
        list(in_threads(fail, range(9)))
    assert torch.get_num_threads() == threads


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
