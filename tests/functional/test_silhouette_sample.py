"""Silhouette from a sample: exact when it is all points, and with an error that is the one it makes."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_samples

from deepspec.functional.silhouette_sample import silhouettes_of_sample


def blobs(sizes, dimensions=3, spread=3.0, seed=0):
    centers = np.random.default_rng(1).uniform(-8, 8, (len(sizes), dimensions))
    x, labels = make_blobs(list(sizes), dimensions, centers=centers, cluster_std=spread, random_state=seed)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


def reference(x, labels):
    values = silhouette_samples(x.double(), labels)
    return values.mean(), np.mean([values[labels == k].mean() for k in labels.unique()])


def stratified(labels, parts, seed):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == k))[:n] for k, n in enumerate(parts)])


def test_all_points_give_the_exact_scores():
    x, labels = blobs((150, 40, 7, 1))
    sizes = torch.bincount(labels)
    for found, exact in zip(silhouettes_of_sample(x, labels, sizes, 198), reference(x, labels), strict=True):
        assert found.score == pytest.approx(exact, abs=1e-6)
        assert found.standard_error == 0
        assert found.anchors == 198


def test_clusters_count_by_their_true_sizes():
    x, labels = blobs((3000, 200, 60))
    exact = reference(x, labels)
    rows = stratified(labels, (300, 200, 60), 0)
    found = silhouettes_of_sample(x[rows], labels[rows], torch.bincount(labels), len(rows))
    for estimate, score in zip(found, exact, strict=True):
        assert 0 < estimate.standard_error < 0.03
        assert abs(estimate.score - score) < 4 * estimate.standard_error


@pytest.mark.parametrize(
    ("dimensions", "spread", "anchors"),
    [(3, 3.0, 60), (3, 3.0, 10_000), (60, 9.0, 10_000)],  # few scored, all scored, and where distances are alike
)
def test_the_standard_error_is_the_spread_of_the_estimates(dimensions, spread, anchors):
    x, labels = blobs((600, 300, 150), dimensions, spread)
    exact, parts = reference(x, labels), (80, 50, 40)
    errors, claimed = [], []
    for seed in range(40):
        rows = stratified(labels, parts, seed)
        generator = torch.Generator().manual_seed(seed)
        found = silhouettes_of_sample(x[rows], labels[rows], torch.bincount(labels), anchors, generator=generator)
        errors.append([estimate.score - score for estimate, score in zip(found, exact, strict=True)])
        claimed.append([estimate.standard_error for estimate in found])
    spreads = np.sqrt(np.mean(np.square(errors), 0)) / np.sqrt(np.mean(np.square(claimed), 0))
    assert (spreads > 0.75).all(), spreads
    assert (spreads < 1.3).all(), spreads


def test_what_makes_no_silhouette_is_refused():
    x, labels = blobs((20, 20))
    sizes = torch.tensor([20, 20])
    for wrong, match in (
        ((x, labels, torch.tensor([19, 20]), 40), "as often as its size"),
        ((x, labels + 1, sizes, 40), "expected 0 to 1"),
        ((x, labels - 1, sizes, 40), "expected 0 to 1"),
        ((x, labels[:5], sizes, 40), "an integer label for each of 40 points"),
        ((x, labels, sizes, 3), "at least two per cluster"),
        ((x / 0, labels, sizes, 40), "finite"),
    ):
        with pytest.raises(ValueError, match=match):
            silhouettes_of_sample(*wrong)
