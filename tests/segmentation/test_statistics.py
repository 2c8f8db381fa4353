import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube
from deepspec.errors import UserError
from deepspec.segmentation import statistics as module
from deepspec.segmentation.statistics import cluster_statistics, regrouped


def made(seed=0, rows=30, columns=20, channels=16, k=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, k, (rows, columns))
    data = rng.poisson(5 + 30 * (labels[..., None] == np.arange(channels) % k), (rows, columns, channels))
    return SpectralCube.from_array(data.astype(np.uint16), SpectralAxis.linear(1, 0.1, channels, "keV")), labels, data


def test_all_are_those_of_numpy_over_the_pixels_of_each_cluster(monkeypatch):
    cube, labels, data = made()
    monkeypatch.setattr(SpectralCube, "block_pixels", 70)  # many blocks
    found = cluster_statistics(cube, labels, 4)
    for cluster in range(3):
        own, rest = data[labels == cluster], data[(labels != cluster) & (labels >= 0)]
        np.testing.assert_allclose(found.low[cluster], np.quantile(own, 0.05, axis=0))
        np.testing.assert_allclose(found.median[cluster], np.median(own, axis=0))
        np.testing.assert_allclose(found.high[cluster], np.quantile(own, 0.95, axis=0))
        np.testing.assert_array_equal(found.maximum[cluster], own.max(0))
        np.testing.assert_allclose(found.standard_error[cluster], own.std(0, ddof=1) / np.sqrt(len(own)))
        np.testing.assert_allclose(found.difference[cluster], own.mean(0) - rest.mean(0))
        error = np.sqrt(own.var(0, ddof=1) / len(own) + rest.var(0, ddof=1) / len(rest))  # Welch's
        np.testing.assert_allclose(found.significance[cluster], (own.mean(0) - rest.mean(0)) / error)
        assert found.sampled[cluster] == len(own)
    assert np.isnan(found.median[3]).all()
    assert found.unit == "counts"


def test_quantiles_of_many_pixels_come_from_a_sample_of_them(monkeypatch):
    cube, labels, data = made(rows=200)
    monkeypatch.setattr(module, "MOST_SAMPLED", 300)
    found = cluster_statistics(cube, labels, 3)
    assert found.sampled.tolist() == [300] * 3
    assert "at most 300 of its pixels (300 to 300)" in found.sentence
    for cluster in range(3):
        assert np.abs(found.median[cluster] - np.median(data[labels == cluster], 0)).max() <= 2
        np.testing.assert_array_equal(found.maximum[cluster], data[labels == cluster].max(0))


def test_merged_clusters_have_the_numbers_of_all_their_pixels():
    cube, labels, data = made()
    parts = cluster_statistics(cube, labels, 3)
    means = np.stack([data[labels == cluster].mean(0) for cluster in range(3)])
    sizes = np.bincount(labels[labels >= 0])
    found = regrouped(parts, means, sizes, [[0, 2], [1]])
    wanted = cluster_statistics(cube, np.select([labels == 1, labels >= 0], [1, 0], -1), 2)
    for name in ("maximum", "standard_error", "difference", "significance"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name))
    np.testing.assert_array_equal(found.median[1], wanted.median[1])
    assert np.isnan(found.median[0]).all()
    assert found.sampled.tolist() == [0, sizes[1]]


def test_labels_of_another_size_are_refused():
    cube, labels, _ = made()
    with pytest.raises(UserError, match=r"labels: expected the size of the cube, \(30, 20\), got \(29, 20\)"):
        cluster_statistics(cube, labels[1:], 3)
