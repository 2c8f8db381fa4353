"""DeepSpectralClustering against scikit-learn's own checks, planted spectra, and numpy."""

import pickle
import random

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import deepspec
from deepspec import DeepSpectralClustering
from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from tests.conftest import planted_spectra


@parametrize_with_checks([DeepSpectralClustering(max_iter=200)])
@pytest.mark.filterwarnings("ignore:SCIPY_ARRAY_API")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def planted():
    return planted_spectra(1200)


@pytest.fixture(scope="module")
def fitted(planted):
    return DeepSpectralClustering(axis="0.5:32:keV", random_state=0).fit(planted[0])


def test_planted_counts_are_found_with_their_number(planted, fitted):
    x, labels = planted
    assert fitted.n_clusters_ == 4
    assert fitted.labels_.dtype == np.int64
    assert adjusted_rand_score(labels, fitted.labels_) > 0.99
    assert "taken for counts (counts over energy)" in fitted.experiment_
    new, theirs = planted_spectra(500, seed=7)
    assert adjusted_rand_score(theirs, fitted.predict(new)) > 0.99
    np.testing.assert_array_equal(fitted.predict(x), fitted.labels_)
    for cluster, centre in enumerate(fitted.cluster_centers_):
        np.testing.assert_allclose(centre, x[fitted.labels_ == cluster].mean(axis=0))
    assert fitted.score(x) == pytest.approx(silhouette_score(x.astype(float), fitted.labels_))


def test_latents_decode_to_the_means_of_their_materials(planted, fitted):
    z = fitted.transform(planted[0])
    assert z.shape == (1200, 3)
    assert z.dtype == np.float32
    assert list(fitted.get_feature_names_out()) == [f"deepspectralclustering{i}" for i in range(3)]
    decoded = fitted.inverse_transform(z)
    assert decoded.shape == planted[0].shape
    for cluster in range(4):
        own = fitted.labels_ == cluster
        mean, found = planted[0][own].mean(axis=0), decoded[own].mean(axis=0)
        assert np.corrcoef(mean, found)[0, 1] > 0.99
        assert found.sum() == pytest.approx(mean.sum(), rel=0.1)


def states():
    """Of the random generators that belong to the process."""
    return torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002


def test_a_seed_decides_and_the_process_keeps_its_states(planted):
    x = planted[0][:400]
    before = states()
    make = DeepSpectralClustering(4, max_iter=40, random_state=5)
    first, second = clone(make).fit(x), clone(make).fit(x)
    np.testing.assert_array_equal(first.transform(x), second.transform(x))
    other = clone(make).set_params(random_state=6).fit(x)
    assert not np.array_equal(first.transform(x), other.transform(x))
    after = states()
    assert torch.equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2] == after[2]
    again = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(again.predict(x), first.labels_)


def test_in_a_pipeline_and_a_search(planted):
    x, labels = planted
    pipe = make_pipeline(StandardScaler(), DeepSpectralClustering(4, random_state=0, max_iter=200))
    assert adjusted_rand_score(labels, pipe.fit_predict(x)) > 0.95
    assert pipe.transform(x).shape == (len(x), 27)  # nine networks side by side
    blobs, _ = make_blobs(300, 12, centers=4, random_state=3)
    search = GridSearchCV(DeepSpectralClustering(random_state=0, max_iter=200), {"n_clusters": [2, 4, 9]}, cv=2)
    search.fit(blobs - blobs.min() + 1)
    assert search.best_params_ == {"n_clusters": 4}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_number_of_clusters_of_values_that_are_no_counts_is_looked_for():
    blobs, labels = make_blobs(400, 20, centers=5, random_state=0)
    for x, said in ((blobs - blobs.min() + 1, "reflectance"), (blobs, "not intensities")):
        found = DeepSpectralClustering(random_state=0).fit(x)
        assert said in found.experiment_
        assert found.n_clusters_ == 5
        assert adjusted_rand_score(labels, found.labels_) > 0.99
    ranged = DeepSpectralClustering((2, 3), random_state=0, max_iter=100).fit(blobs)
    assert ranged.n_clusters_ in (2, 3)


def test_what_was_trained_is_a_model_like_any_other(planted, fitted, tmp_path):
    fitted.model_.save(tmp_path / "model.ckpt")
    model = deepspec.DeepClustering.load(tmp_path / "model.ckpt")
    x = torch.from_numpy(planted[0])
    np.testing.assert_allclose(model.encode(x).numpy(), fitted.transform(planted[0]), atol=1e-5)
    cube = deepspec.SpectralCube.from_array(planted[0].reshape(30, 40, 64), SpectralAxis.linear(0.5, 0.5, 64, "keV"))
    found = deepspec.segment_cube(cube, model, clusters="refit", spatial=0.0)
    assert adjusted_rand_score(found.labels.ravel(), fitted.labels_) > 0.99


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 0}, "n_clusters: expected a number of 1 or more"),
        ({"n_clusters": (4, 2)}, "n_clusters: expected"),
        ({"n_clusters": 1000}, "lower --k"),
        ({"max_iter": 0}, "max_iter: expected a whole number"),
        ({"axis": 5}, "axis: expected a SpectralAxis"),
        ({"axis": SpectralAxis.linear(0, 1, 3, "nm")}, "the axis has 3 channels, the spectra have 64"),
        ({"clusterer": 3}, "clusterer: expected a name"),
        ({"clusterer": "kmean"}, "kmean"),
        ({"experiment": "xfr"}, "did you mean 'xrf'"),
        ({"experiment": "paper_xrf"}, "expected the reconstruction alone"),
        ({"experiment": "baseline_dcn"}, "model.deep_baseline is for `fit`"),
        ({"experiment": {"model": {"network": {"latnt": 2}}}}, "did you mean 'latent'"),
        ({"device": "cuda:77"}, "device 'cuda:77' cannot be used"),
    ],
)
def test_mistakes_are_one_line(planted, parameters, message):
    with pytest.raises(UserError, match=message) as caught:
        DeepSpectralClustering(**parameters).fit(planted[0][:100])
    assert "\n" not in str(caught.value)


def test_latents_of_another_size_are_refused(fitted):
    with pytest.raises(UserError, match="expected latent points of 3 dimensions"):
        fitted.inverse_transform(np.zeros((2, 5)))


def test_as_the_algorithm_of_hyperspys_cluster_analysis(planted):
    hyperspy = pytest.importorskip("hyperspy.api", reason="HyperSpy is under the GPL and no dependency")
    signal = hyperspy.signals.Signal1D(planted[0].reshape(30, 40, 64).astype(float))
    estimator = DeepSpectralClustering(4, random_state=0)
    signal.cluster_analysis("signal", algorithm=estimator)
    labels = signal.get_cluster_labels(merged=True).data.ravel()
    assert adjusted_rand_score(planted[1], labels) > 0.95
