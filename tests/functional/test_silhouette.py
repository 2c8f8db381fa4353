"""Silhouette against scikit-learn, a plain loop, gradcheck, and the published code's construction."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_samples as reference_samples
from sklearn.metrics import silhouette_score as reference_score
from torch.autograd import gradcheck

from deepspec.functional import (
    distances,
    silhouette_estimate,
    silhouette_parts,
    silhouette_samples,
    silhouette_score,
)
from deepspec.functional import silhouette as module


def blobs(n, k, dimensions=3, spread=1.0, seed=0):
    x, labels = make_blobs(n, dimensions, centers=k, cluster_std=spread, random_state=seed)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


def loop_silhouette(x, labels):
    """Equation 2 of the paper, one point at a time."""
    x, labels = x.numpy().astype(np.float64), labels.numpy()
    values = []
    for i in range(len(x)):
        gaps = np.sqrt(((x - x[i]) ** 2).sum(1))
        own = labels == labels[i]
        if own.sum() == 1:
            values.append(0.0)
            continue
        a = gaps[own].sum() / (own.sum() - 1)
        b = min(gaps[labels == other].mean() for other in set(labels) - {labels[i]})
        values.append((b - a) / max(a, b))
    return np.array(values)


@pytest.mark.parametrize(("n", "k", "spread"), [(20, 2, 1.0), (300, 5, 3.0), (1000, 10, 0.01), (2500, 3, 2.0)])
def test_samples_equal_scikit_learn(n, k, spread):
    x, labels = blobs(n, k, spread=spread)
    np.testing.assert_allclose(silhouette_samples(x, labels), reference_samples(x, labels), atol=1e-5)


@pytest.mark.parametrize("n", [700, 2600])  # one block, and the tiled path
def test_samples_equal_a_plain_loop_with_singletons_and_any_label_values(n):
    x, labels = blobs(n, 4, spread=2.0)
    labels = labels * 7 - 3
    labels[5] = 1000
    np.testing.assert_allclose(silhouette_samples(x, labels), loop_silhouette(x, labels), atol=1e-5)
    assert silhouette_samples(x, labels)[5] == 0


def test_averages():
    x, labels = blobs(400, 3, spread=3.0)
    labels[:150] = 0  # clusters of unequal size and quality
    values = loop_silhouette(x, labels)
    by_cluster = np.mean([values[labels.numpy() == k].mean() for k in range(3)])
    assert float(silhouette_score(x, labels)) == pytest.approx(reference_score(x, labels), abs=1e-5)
    assert float(silhouette_score(x, labels, average="clusters")) == pytest.approx(by_cluster, abs=1e-5)
    assert abs(by_cluster - values.mean()) > 1e-3, "the two averages must differ here for the test to mean anything"


def test_tight_clusters_far_from_the_origin_keep_their_precision():
    x, labels = blobs(600, 4, spread=1e-3)
    x = x + 1000.0
    expected = reference_samples(x.double().numpy(), labels)
    np.testing.assert_allclose(silhouette_samples(x, labels), expected, atol=1e-5)


@pytest.mark.parametrize("average", ["samples", "clusters"])
@pytest.mark.parametrize("anchors", [None, 12])
def test_gradcheck(average, anchors):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(18, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.arange(18) % 3
    labels[0] = 9  # a singleton

    def score(x):
        draw = torch.Generator().manual_seed(1)
        return silhouette_score(x, labels, average=average, anchors=anchors, generator=draw)

    assert gradcheck(score, x)


@pytest.mark.parametrize(("anchors", "block"), [(None, None), (None, 1000), (40, None)])
def test_gradient_in_single_precision_is_that_in_double_precision(monkeypatch, anchors, block):
    """A point's distance to itself is 0; its weight over that distance must not become a pull by rounding."""
    if block is not None:
        monkeypatch.setattr(silhouette_parts, "BLOCK_ELEMENTS", block)
    x, labels = blobs(96, 3, spread=0.5)

    def gradient(x):
        x = x.clone().requires_grad_()
        score = silhouette_score(x, labels, anchors=anchors, generator=torch.Generator().manual_seed(0))
        return torch.autograd.grad(0.013 * score, x)[0].double()

    single, double = gradient(x), gradient(x.double())
    assert float((single - double).norm()) < 2e-5 * float(double.norm())


def test_gradient_in_blocks_equals_gradient_at_once(monkeypatch):
    x, labels = blobs(300, 4, spread=2.0)
    x = x.double().requires_grad_()
    (whole,) = torch.autograd.grad(silhouette_score(x, labels), x)
    monkeypatch.setattr(silhouette_parts, "BLOCK_ELEMENTS", 5000)
    monkeypatch.setattr(distances, "_TILE_COLUMNS", 50)
    monkeypatch.setattr(distances, "_TILE_ROWS", 17)
    score = silhouette_score(x, labels)
    (blocked,) = torch.autograd.grad(score, x)
    assert score.item() == pytest.approx(reference_score(x.detach(), labels), abs=1e-9)
    torch.testing.assert_close(blocked, whole, atol=1e-12, rtol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_finite_and_small_for_coincident_points(dtype):
    x, labels = blobs(120, 3)
    x = x.to(dtype)
    x[:60] = x[:1]  # half of the points coincide, across clusters
    x.requires_grad_()
    silhouette_score(x, labels).backward()
    assert torch.isfinite(x.grad).all()
    # Each of the two terms of a silhouette moves by at most 1/max(a, b) per unit of distance.
    assert float(x.grad.norm(dim=1).max()) < 1.0
    everywhere = torch.ones(30, 3, dtype=dtype, requires_grad=True)
    score = silhouette_score(everywhere, torch.arange(30) % 3)
    score.backward()
    assert score.item() == 0
    assert torch.equal(everywhere.grad, torch.zeros(30, 3, dtype=dtype))


def test_published_construction_has_no_gradient_and_ours_does():
    """The published code ends in `.item()`; a loss built from that number cannot reach the points."""
    x, labels = blobs(60, 3)
    x.requires_grad_()
    number = silhouette_score(x, labels).item()
    published = (x.sum() * 0 + (1 - number) / 2).backward
    published()
    assert float(x.grad.abs().max()) == 0
    ((1 - silhouette_score(x, labels)) / 2).backward()
    assert float(x.grad.abs().max()) > 1e-5


def test_estimate_is_unbiased_and_its_error_is_honest():
    x, labels = blobs(1500, 4, spread=4.0)
    exact = reference_score(x, labels)
    draws = [silhouette_estimate(x, labels, 100, generator=torch.Generator().manual_seed(s)) for s in range(200)]
    scores = np.array([d.score for d in draws])
    claimed = np.sqrt(np.mean([d.standard_error**2 for d in draws]))
    assert abs(scores.mean() - exact) < 4 * scores.std() / np.sqrt(len(scores))
    assert claimed == pytest.approx(scores.std(), rel=0.2)
    assert draws[0].anchors == pytest.approx(100, abs=4)


def test_estimate_of_all_points_is_exact():
    x, labels = blobs(300, 3)
    estimate = silhouette_estimate(x, labels, 10_000)
    assert estimate.score == pytest.approx(reference_score(x, labels), abs=1e-5)
    assert (estimate.standard_error, estimate.anchors) == (0.0, 300)


def test_partitions_scored_together_equal_one_by_one():
    x, _ = blobs(500, 5)
    generator = torch.Generator().manual_seed(0)
    partitions = torch.stack([torch.randint(0, k, (500,), generator=generator) for k in (2, 3, 7)])
    scores = module.PartitionScores(x, partitions, [2, 3, 7]).scores
    np.testing.assert_allclose(scores, [reference_score(x, p) for p in partitions], atol=1e-5)
    rows = torch.arange(0, 500, 3)
    some = module.PartitionScores(x, partitions, [2, 3, 7], rows).scores
    np.testing.assert_allclose(some, [reference_samples(x, p)[rows].mean() for p in partitions], atol=1e-5)
    assert torch.isnan(module.PartitionScores(x, partitions[:1], [4]).scores).all()


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), "at least 3 points, got 0"),
        (torch.zeros(4), torch.zeros(4, dtype=torch.long), r"shape \(N, L\)"),
        (torch.zeros(4, 2, dtype=torch.long), torch.zeros(4, dtype=torch.long), "floating-point"),
        (torch.rand(4, 2), torch.zeros(4, dtype=torch.long), "2 to 3 clusters of 4 points, got 1"),
        (torch.rand(4, 2), torch.arange(4), "2 to 3 clusters of 4 points, got 4"),
        (torch.rand(4, 2), torch.zeros(3, dtype=torch.long), "one per point"),
        (torch.tensor([[0.0], [1.0], [float("nan")]]), torch.tensor([0, 0, 1]), "NaN or infinity in 1 of 3"),
        (torch.tensor([[0.0], [1.0], [float("inf")]]), torch.tensor([0, 0, 1]), "NaN or infinity in 1 of 3"),
    ],
)
def test_impossible_input_is_refused(x, labels, message):
    with pytest.raises(ValueError, match=message):
        silhouette_score(x, labels)


def test_impossible_options_are_refused():
    x, labels = blobs(50, 5)
    with pytest.raises(ValueError, match="average: expected 'samples' or 'clusters', got 'mean'"):
        silhouette_score(x, labels, average="mean")
    with pytest.raises(ValueError, match="at least two per cluster, 10, got 9"):
        silhouette_estimate(x, labels, 9)
