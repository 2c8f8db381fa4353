import dataclasses

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from deepspec.axis import SpectralAxis
from deepspec.clustering import Clusters, IKMeans, Valleys
from deepspec.data.cube import SpectralCube
from deepspec.segmentation import Segmentation, segment_cube
from deepspec.segmentation.drift import judged, record_training
from deepspec.segmentation.response import noise_of
from tests.support.planted import LinearModel

ENERGY = np.linspace(0.6, 38, 256)
LINES = ([3.7, 6.4], [3.7, 8.0, 8.9], [3.7, 10.5, 12.6], [6.4, 11.9, 13.8])
OTHERS = ([5.4, 5.9], [4.5, 9.6], [7.5, 14.2], [2.3, 17.4])


def materials(lines=LINES, sigma=0.12):
    """(K, C) probabilities: lines, some shared, over a background."""
    peaks = np.array([sum(np.exp(-(((ENERGY - e) / sigma) ** 2) / 2) for e in own) / sigma for own in lines])
    spectra = 0.6 * np.exp(-ENERGY / 8) + 0.3 * peaks
    return spectra / spectra.sum(1, keepdims=True)


def bands(shares=(1, 2, 3, 4), height=40, width=50):
    """Labels in vertical bands of such shares."""
    edges = np.cumsum(shares) / sum(shares)
    return np.broadcast_to(np.searchsorted(edges, (np.arange(width) + 0.5) / width), (height, width)).copy()


def cube_of(counts):
    return SpectralCube.from_array(counts, SpectralAxis(ENERGY, "keV"))


def scan(spectra, labels, counts=300.0, seed=0):
    return np.random.default_rng(seed).poisson(counts * spectra[labels]).astype(np.float32)


def fitted(clusterer, seed=0):
    """A model with clusters and the record of its training, its counts and its labels."""
    labels = bands()
    counts = scan(materials(), labels, seed=seed)
    model = LinearModel(cube_of(counts))
    x_NC = torch.from_numpy(counts).reshape(-1, len(ENERGY))
    z_NL = model.network.encode(model.preprocess(x_NC)).mean_NL.float()
    k = (2, 8) if isinstance(clusterer, IKMeans) else None
    partition = clusterer.fit(z_NL, k, torch.Generator().manual_seed(0), x_NC)
    model.clusters.set(partition)
    assert model.clusters.partition.k == 4
    model.clusters.record = record_training(model, x_NC)
    return model, counts, labels


@pytest.fixture(scope="module")
def by_counts():
    return fitted(Valleys())


@pytest.fixture(scope="module")
def by_latents():
    return fitted(IKMeans())


def ari(found, truth):
    ok = found.labels >= 0
    return adjusted_rand_score(found.labels[ok], truth[ok])


def test_the_record_is_that_of_numpy(by_counts):
    model, counts, labels = by_counts
    record = model.clusters.record
    flat = counts.reshape(-1, len(ENERGY)).astype(np.float64)
    np.testing.assert_allclose(record.spectrum_C, flat.mean(0), rtol=1e-5)
    order = [int(np.bincount(segment_cube(cube_of(counts), model).labels[labels == c]).argmax()) for c in range(4)]
    z = model.network.encode(model.preprocess(torch.from_numpy(flat).float())).mean_NL.double().numpy()
    for material, cluster in enumerate(order):
        own = labels.reshape(-1) == material
        assert record.log_totals_K[cluster] == pytest.approx(np.log(flat[own].sum(1)).mean(), rel=1e-4)
        np.testing.assert_allclose(record.latents_KL[cluster], z[own].mean(0), atol=0.02)
        spread = np.sqrt(((z[own] - z[own].mean(0)) ** 2).sum(1).mean())
        assert record.spreads_K[cluster] == pytest.approx(spread, rel=0.02)
    assert record.noise == pytest.approx(1, abs=0.1)
    assert record.unassigned < 0.01


def test_the_very_scan_is_the_same(by_counts, by_latents):
    for model, counts, labels in (by_counts, by_latents):
        found = segment_cube(cube_of(counts), model)
        drift = found.drift
        assert drift.verdict == "same"
        assert drift.reasons == ""
        assert (drift.response_lowest, drift.response_highest, drift.blur) == (1, 1, 0)
        assert drift.error == pytest.approx(1, abs=0.1)
        assert drift.counts == pytest.approx(1, abs=0.02)
        assert drift.latents < 0.05
        assert ari(found, labels) > 0.98
        assert found.notes[0] == drift.sentence
        assert "mean the same materials" in drift.sentence


@pytest.mark.parametrize("factor", [0.5, 1.37, 2, 3])
def test_exposure_does_not_change_the_map(by_counts, factor):
    model, counts, _ = by_counts
    own = segment_cube(cube_of(counts), model)
    found = segment_cube(cube_of((counts * factor).astype(np.float32)), model)
    assert (found.labels == own.labels).mean() > 0.998
    assert found.drift.verdict == "shifted"
    assert found.drift.counts == pytest.approx(factor, rel=0.02)
    assert found.drift.noise == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.7])
def test_thinned_counts_give_the_same_map(by_counts, share):
    model, counts, _ = by_counts
    own = segment_cube(cube_of(counts), model)
    thin = np.random.default_rng(3).binomial(counts.astype(int), share).astype(np.float32)
    found = segment_cube(cube_of(thin), model)
    assert adjusted_rand_score(own.labels.ravel(), found.labels.ravel()) > 0.95
    assert found.drift.verdict == "shifted"
    assert found.drift.counts == pytest.approx(share, rel=0.05)
    assert found.drift.noise == pytest.approx(1, abs=0.1)


def response():
    u = np.log(ENERGY / 6)
    return np.exp(0.5 * u - 0.15 * u**2 - 0.6 * (2 / np.maximum(ENERGY, 1.5)) ** 3)


@pytest.mark.parametrize("sigma", [0.1, 0.12, 0.17])
@pytest.mark.parametrize("shares", [(1, 2, 3, 4), (4, 3, 1, 0.5), (0, 5, 1, 0)])
def test_another_detector_is_corrected_whatever_the_shares_of_the_materials(by_counts, sigma, shares):
    model, _, _ = by_counts
    truth = bands(shares)
    seen = materials(sigma=sigma) * response()
    found = segment_cube(cube_of(scan(seen, truth, counts=500, seed=5)), model)
    drift = found.drift
    assert ari(found, truth) > 0.95
    assert drift.verdict == "shifted"
    assert drift.response_highest / drift.response_lowest > 1.5
    assert "response corrected" in drift.reasons
    # Half the difference of the variances, in channels: that of the Gaussians the lines are.
    assert drift.blur == pytest.approx((sigma**2 - 0.12**2) / (ENERGY[1] - ENERGY[0]) ** 2 / 2, abs=0.07)


def test_without_the_record_a_detector_goes_wrong_as_before(by_counts):
    model, _, _ = by_counts
    truth = bands()
    seen = cube_of(scan(materials(sigma=0.17) * response() ** 2, truth, counts=500, seed=5))
    record, model.clusters.record = model.clusters.record, None
    try:
        plain = segment_cube(seen, model)
    finally:
        model.clusters.record = record
    assert plain.drift is None
    assert not [note for note in plain.notes if "drift" in note]
    corrected = segment_cube(seen, model)
    assert (corrected.labels == -1).mean() + 0.3 < (plain.labels == -1).mean() or ari(corrected, truth) > ari(
        plain, truth
    )


@pytest.mark.parametrize("kind", ["counts", "latents"])
def test_other_materials_are_said_to_be_others(by_counts, by_latents, kind):
    model, _, _ = by_counts if kind == "counts" else by_latents
    found = segment_cube(cube_of(scan(materials(OTHERS), bands(), seed=9)), model)
    assert found.drift.verdict == "other"
    assert found.drift.strain > 0.2 or found.drift.unassigned > 0.1
    assert "--clusters refit" in found.notes[0]


def test_a_patch_of_a_new_material_is_unassigned_and_counted(by_counts):
    model, _, _ = by_counts
    truth = bands()
    counts = scan(materials(), truth, seed=4)
    counts[:12] = scan(materials(OTHERS)[3:], np.zeros((12, 50), int), seed=4)
    found = segment_cube(cube_of(counts), model)
    assert (found.labels[:12] == -1).mean() > 0.9
    assert found.drift.unassigned == pytest.approx(0.3, abs=0.03)
    assert found.drift.verdict == "other"
    assert "30% of the pixels are like no cluster" in found.drift.reasons


def test_few_pixels_are_no_evidence_of_another_response(by_counts, by_latents):
    for model, counts, _ in (by_counts, by_latents):
        for pixels in (1, 5):
            drift = segment_cube(cube_of(counts[:1, :pixels]), model).drift
            assert (drift.response_lowest, drift.response_highest) == (1, 1)
            assert drift.verdict in ("same", "shifted")


@pytest.mark.parametrize("factor", [0.5, 1, 2.5])
def test_noise_is_that_of_scaled_poisson_counts(factor):
    spectra, labels = materials(), bands()
    x_NC = torch.from_numpy(scan(spectra, labels, seed=2)).reshape(-1, len(ENERGY)) * factor
    noise = noise_of(x_NC, torch.from_numpy(labels.reshape(-1)), 4)
    assert noise == pytest.approx(factor, rel=0.06)


def test_noise_without_pixels_is_not_defined():
    assert np.isnan(noise_of(torch.ones(3, 8), torch.tensor([0, 1, 2]), 3))


def test_the_verdict_of_each_threshold(by_counts):
    model, counts, _ = by_counts
    same = segment_cube(cube_of(counts), model).drift
    for change, verdict in (
        ({"unassigned": same.unassigned_in_training + 0.05}, "shifted"),
        ({"unassigned": same.unassigned_in_training + 0.11}, "other"),
        ({"strain": 0.15}, "shifted"),
        ({"strain": 0.25}, "other"),
        ({"strain": float("nan")}, "other"),
        ({"certainty": same.certainty_in_training - 0.2}, "other"),
        ({"counts": 1.5}, "shifted"),
        ({"counts": float("nan")}, "same"),
        ({"blur": -0.1}, "shifted"),
        ({"response_highest": 1.2}, "shifted"),
    ):
        found = judged(dataclasses.replace(same, **change), by_counts=True)
        assert found.verdict == verdict, change
        assert (found.reasons == "") == (verdict == "same")
        # Clusters of latent points are not corrected for a shift: what it does to their labels is not known.
        latent = judged(dataclasses.replace(same, **change), by_counts=False)
        assert latent.verdict == ("same" if verdict == "same" else "other"), change
    assert judged(dataclasses.replace(same, error=2.0), by_counts=True).verdict == "same"
    assert judged(dataclasses.replace(same, error=2.0), by_counts=False).verdict == "other"


def test_clusters_of_latent_points_say_so_when_the_exposure_is_another(by_latents):
    model, counts, _ = by_latents
    found = segment_cube(cube_of((counts * 1.6).astype(np.float32)), model)
    assert found.drift.verdict == "other"
    assert "1.60 times the training's counts" in found.drift.reasons


def test_the_file_keeps_it_and_older_files_are_read(by_counts, tmp_path):
    model, counts, _ = by_counts
    found = segment_cube(cube_of(counts * 2), model)
    found.save(tmp_path / "a.h5")
    assert Segmentation.load(tmp_path / "a.h5").drift == found.drift
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["drift"].attrs["verdict"] == "shifted"
        assert file["drift"].attrs["sentence"] == found.drift.sentence
    dataclasses.replace(found, drift=None).save(tmp_path / "older.h5")
    with h5py.File(tmp_path / "older.h5") as file:
        assert "drift" not in file  # as in files of earlier versions
    assert Segmentation.load(tmp_path / "older.h5").drift is None
    assert segment_cube(cube_of(counts), model, clusters="refit").drift is None


def test_a_checkpoint_keeps_the_record_and_older_ones_are_read(by_counts):
    clusters = by_counts[0].clusters
    state = clusters.state_dict()
    copy = Clusters(3, 16)
    copy.load_state_dict(state)
    for name, value in vars(clusters.record).items():
        other = getattr(copy.record, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name
    older = {name: value for name, value in state.items() if not name.endswith("training_record")}
    copy.load_state_dict(older)
    assert copy.record is None
    copy.load_state_dict(state)
    copy.set(torch.zeros(2, 3))
    assert copy.record is None
