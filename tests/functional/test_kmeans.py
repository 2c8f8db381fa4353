"""K-means against scikit-learn, planted clusters and degenerate clouds."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, silhouette_score

from deepspec.functional import batch_kmeans, clustered_silhouette, ikmeans, kmeans, lloyd
from deepspec.functional import silhouette_score as our_silhouette_score


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def planted(k, n=512, spread=0.05):
    """k blobs whose centres lie on a sphere-like lattice, at least 1 apart."""
    lattice = np.array([(i, j, h) for i in range(3) for j in range(3) for h in range(2)], dtype=float)
    centres = lattice[np.random.default_rng(k).permutation(len(lattice))[:k]]
    x, labels = make_blobs(n, centers=centres, cluster_std=spread, random_state=k)
    return torch.tensor(x, dtype=torch.float32), labels


@pytest.mark.parametrize("seed", range(20))
def test_inertia_within_one_percent_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    n, k, d = rng.integers(200, 2000), int(rng.integers(2, 11)), rng.integers(2, 7)
    x, _ = make_blobs(n, d, centers=k + 1, cluster_std=rng.uniform(0.3, 4.0), random_state=seed)
    reference = KMeans(k, n_init=4, random_state=seed).fit(x).inertia_
    ours = kmeans(torch.tensor(x, dtype=torch.float32), k, n_init=4, generator=seeded(seed))
    assert ours.inertia <= 1.01 * reference
    gaps = x - ours.cluster_centers.numpy()[ours.labels.numpy()]
    assert ours.inertia == pytest.approx((gaps**2).sum(), rel=1e-3)


def test_labels_are_nearest_centres_and_centres_are_means():
    x, _ = planted(4)
    result = kmeans(x, 4, generator=seeded())
    assert torch.equal(result.labels, torch.cdist(x, result.cluster_centers).argmin(1))
    for k in range(4):
        torch.testing.assert_close(result.cluster_centers[k], x[result.labels == k].mean(0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("k", range(2, 11))
@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_planted_number_of_clusters_is_found(k, init):
    x, labels = planted(k)
    result = ikmeans(x, 2, 10, init=init, n_init=4 if init == "k-means++" else 30, generator=seeded(1))
    assert result.k == k
    assert adjusted_rand_score(labels, result.labels) == 1.0
    assert result.score == pytest.approx(silhouette_score(x, result.labels), abs=1e-5)
    assert list(result.scores) == list(range(2, 11))
    assert result.cluster_centers.shape == (k, 3)


def test_all_k_together_find_what_each_k_finds_alone():
    x, _ = make_blobs(600, 3, centers=6, cluster_std=1.5, random_state=3)
    x = torch.tensor(x, dtype=torch.float32)
    together = ikmeans(x, 2, 8, n_init=8, generator=seeded())
    for k, inertia in together.inertias.items():
        alone = kmeans(x, k, n_init=8, generator=seeded(7))
        assert inertia == pytest.approx(alone.inertia, rel=0.01)


def test_same_seed_same_result_and_chunks_do_not_matter(monkeypatch):
    x, _ = make_blobs(2000, 3, centers=5, cluster_std=2.0, random_state=0)
    x = torch.tensor(x, dtype=torch.float32)
    first = ikmeans(x, 2, 7, generator=seeded(5))
    assert torch.equal(first.labels, ikmeans(x, 2, 7, generator=seeded(5)).labels)
    monkeypatch.setattr(lloyd, "CHUNK_ELEMENTS", 4000)
    chunked = ikmeans(x, 2, 7, generator=seeded(5))
    assert adjusted_rand_score(first.labels, chunked.labels) > 0.999
    assert chunked.inertias[5] == pytest.approx(first.inertias[5], rel=1e-4)


@pytest.mark.parametrize("average", ["samples", "clusters"])
@pytest.mark.parametrize("n", [300, 2500])  # distances kept, and formed again
def test_clustered_silhouette_is_ikmeans_and_its_score_with_gradient(n, average):
    x, _ = make_blobs(n, 3, centers=4, cluster_std=1.5, random_state=2)
    x = torch.tensor(x, requires_grad=True)
    score, result = clustered_silhouette(x, 3, 6, average=average, max_iter=10, generator=seeded(3))
    alone = ikmeans(x, 3, 6, max_iter=10, generator=seeded(3))
    assert result.k == alone.k
    assert torch.equal(result.labels, alone.labels)
    expected = our_silhouette_score(x, alone.labels, average=average)
    assert score.item() == pytest.approx(expected.item(), abs=1e-9)
    (gradient,) = torch.autograd.grad(score, x)
    (reference,) = torch.autograd.grad(expected, x)
    torch.testing.assert_close(gradient, reference, atol=1e-9, rtol=1e-6)


def test_many_points_are_scored_by_a_sample():
    x, labels = planted(5, n=20_000)
    result = ikmeans(x, 2, 8, n_init=2, generator=seeded())
    assert result.k == 5
    assert adjusted_rand_score(labels, result.labels) == 1.0


def test_random_seeds_on_the_same_spot_are_spread_by_reseeding():
    x = torch.cat([torch.zeros(300, 2), torch.ones(3, 2), torch.tensor([[5.0, 5.0]])])
    result = kmeans(x, 3, init="random", generator=seeded(0))
    assert result.inertia == pytest.approx(0, abs=1e-3)
    assert len(result.labels.unique()) == 3


def test_fewer_positions_than_clusters():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).repeat(20, 1)
    result = ikmeans(x, 2, 6, generator=seeded())
    assert result.k == 3
    assert result.score == pytest.approx(1.0)
    assert all(np.isnan(result.scores[k]) for k in (4, 5, 6))
    with pytest.raises(ValueError, match="at least k_min = 4 distinct points"):
        ikmeans(x, 4, 6, generator=seeded())
    with pytest.raises(ValueError, match="distinct"):
        ikmeans(torch.zeros(50, 3), 2, 4, generator=seeded())


def test_double_precision_and_huge_offsets():
    x, labels = planted(3)
    shifted = kmeans(x.double() + 1e6, 3, generator=seeded())
    assert shifted.cluster_centers.dtype == torch.float64
    assert adjusted_rand_score(labels, shifted.labels) == 1.0


@pytest.mark.parametrize(
    ("x", "k_min", "k_max", "message"),
    [
        (torch.rand(0, 3), 2, 3, "at least 4 points, got 0"),
        (torch.rand(5, 3), 2, 5, "at least 6 points, got 5"),
        (torch.rand(9, 3), 1, 3, "2 <= k_min <= k_max, got k_min = 1"),
        (torch.rand(9, 3), 4, 3, "got k_min = 4, k_max = 3"),
        (torch.full((9, 3), float("nan")), 2, 3, "NaN or infinity in 9 of 9"),
        (torch.rand(9), 2, 3, r"shape \(N, L\)"),
    ],
)
def test_impossible_input_is_refused(x, k_min, k_max, message):
    with pytest.raises(ValueError, match=message):
        ikmeans(x, k_min, k_max)


def test_impossible_options_are_refused():
    x = torch.rand(20, 2)
    with pytest.raises(ValueError, match=r"init: expected 'k-means\+\+' or 'random', got 'first'"):
        kmeans(x, 2, init="first")
    with pytest.raises(ValueError, match="n_init >= 1, got 300 and 0"):
        kmeans(x, 2, n_init=0)
    with pytest.raises(ValueError, match="at least 3 points, got 2"):
        kmeans(x[:2], 3)


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("iterations", [1, 3, 4])
@pytest.mark.parametrize(("n", "dtype"), [(40, torch.float32), (512, torch.float32), (300, torch.float64)])
def test_a_training_batch_is_clustered_as_any_other_points(monkeypatch, n, dtype, iterations, init):
    x = torch.tensor(make_blobs(n, 3, centers=5, cluster_std=1.0, random_state=n)[0], dtype=dtype)
    batch = ikmeans(x, 3, 9, max_iter=iterations, init=init, generator=seeded(2))
    monkeypatch.setattr(batch_kmeans, "SMALL_POINTS", 0)
    any_other = ikmeans(x, 3, 9, max_iter=iterations, init=init, generator=seeded(2))
    assert batch.k == any_other.k
    assert batch.labels.dtype == any_other.labels.dtype
    assert torch.equal(batch.labels, any_other.labels)
    torch.testing.assert_close(batch.cluster_centers, any_other.cluster_centers, rtol=1e-3, atol=1e-3)
    assert batch.inertias == pytest.approx(any_other.inertias, rel=1e-3)
    assert batch.scores == pytest.approx(any_other.scores, abs=1e-3, nan_ok=True)


@pytest.mark.parametrize("n", range(10, 34))
def test_small_batches_are_clustered_without_a_warning(monkeypatch, n):
    """A matrix product of 12 or 13 columns reports invalid values that are in none of its results."""
    x = torch.randn(n, 3, generator=seeded(n))
    found = ikmeans(x, 3, 9, max_iter=4, generator=seeded(2))
    monkeypatch.setattr(batch_kmeans, "SMALL_POINTS", 0)
    expected = ikmeans(x, 3, 9, max_iter=4, generator=seeded(2))
    assert torch.equal(found.labels, expected.labels)
    assert found.scores == pytest.approx(expected.scores, abs=1e-3, nan_ok=True)


def test_a_training_batch_of_one_position_is_refused():
    with pytest.raises(ValueError, match="at least k_min = 2 distinct points"):
        ikmeans(torch.ones(30, 3), 2, 4, max_iter=3)
