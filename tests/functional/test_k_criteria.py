"""Criteria for K against scikit-learn, closed forms and clouds whose K is known."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from deepspec.functional import KCriteria, TooFewPositionsError, k_criteria, kmeans, kmeans_range
from deepspec.functional.k_criteria import TITLES


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clouds(k, n=600, apart=12.0, seed=1):
    """k round clouds on the corners of a simplex, so that none is nearer to another than the rest."""
    labels = torch.arange(n) % k
    corners = apart * torch.eye(k, dtype=torch.float64)
    return corners[labels] + torch.randn(n, k, generator=generator(seed), dtype=torch.float64), labels


@pytest.mark.parametrize("k", [3, 4, 6])
def test_all_criteria_find_clear_clouds(k):
    found = k_criteria(clouds(k)[0], 2, 8, generator=generator())
    assert found.picks == dict.fromkeys(TITLES, k)
    assert found.k == k
    assert found.sentence.endswith("they agree")
    assert f"silhouette picks K = {k}" in found.sentence


def test_curves_are_those_of_the_partitions():
    x, _ = clouds(4, apart=4.0)
    found = k_criteria(x, 2, 5, n_init=4, generator=generator(7))
    partitions = kmeans_range(x - x.mean(0), 1, 5, n_init=4, generator=generator(7))
    for k in range(2, 6):
        labels = partitions[k - 1].labels
        assert found.curves["silhouette"][k] == pytest.approx(silhouette_score(x, labels), abs=1e-9)
        assert found.curves["davies_bouldin"][k] == pytest.approx(davies_bouldin_score(x, labels), rel=1e-6)
        assert found.curves["calinski_harabasz"][k] == pytest.approx(calinski_harabasz_score(x, labels), rel=1e-6)
        assert found.curves["elbow"][k] == pytest.approx(partitions[k - 1].inertia)
    assert set(found.curves["gap"]) == set(found.curves["bic"]) == set(found.gap_errors) == set(range(1, 6))


def test_bic_of_one_cluster_is_that_of_a_gaussian():
    x = torch.randn(500, 2, generator=generator(), dtype=torch.float64)
    n, latent = x.shape
    variance = float(((x - x.mean(0)) ** 2).sum() / ((n - 1) * latent))
    density = torch.distributions.Normal(x.mean(0), math.sqrt(variance)).log_prob(x).sum()
    expected = float(density) - (latent + 1) / 2 * math.log(n)
    assert k_criteria(x, 2, 4, generator=generator()).curves["bic"][1] == pytest.approx(expected, rel=1e-9)


def test_gap_of_uniform_points_is_about_zero_and_finds_no_clusters():
    x = torch.rand(800, 2, generator=generator(3), dtype=torch.float64) * torch.tensor([5.0, 1.0])
    found = k_criteria(x, 2, 6, generator=generator())
    assert found.curves["gap"][1] == pytest.approx(0, abs=0.05)
    assert found.picks["gap"] == 1
    assert "1, no clusters" in found.sentence


def test_one_gaussian_has_no_clusters_for_gap_and_bic():
    x = torch.randn(800, 3, generator=generator(5))
    found = k_criteria(x, 2, 8, generator=generator())
    assert found.picks["gap"] == found.picks["bic"] == 1
    assert "they disagree" in found.sentence


def test_scale_and_place_do_not_matter():
    x, _ = clouds(3, n=150)
    plain = k_criteria(x, 2, 5, generator=generator())
    moved = k_criteria(1000 * x + 5000, 2, 5, generator=generator())
    assert plain.picks == moved.picks
    assert list(plain.curves["gap"].values()) == pytest.approx(list(moved.curves["gap"].values()), abs=1e-6)


def test_a_sample_of_many_points_is_enough():
    x, _ = clouds(4, n=3000)
    assert k_criteria(x.float(), 3, 6, points=300, generator=generator()).k == 4


def test_more_clusters_than_positions():
    x = torch.tensor([[0.0], [1.0], [5.0]]).repeat(20, 1)
    found = k_criteria(x, 2, 5, generator=generator())
    assert math.isnan(found.curves["silhouette"][4])
    assert math.isnan(found.curves["bic"][5])
    assert all(pick is None or pick <= 3 for pick in found.picks.values())
    with pytest.raises(TooFewPositionsError):
        k_criteria(torch.ones(30, 2), 2, 4)


def test_too_short_a_range_has_no_elbow():
    x, _ = clouds(3, n=90)
    assert k_criteria(x, 3, 3, generator=generator()).picks["elbow"] is None


def test_impossible_numbers_are_refused():
    x = torch.randn(20, 2)
    for k in ((1, 3), (4, 3), (2, 20)):
        with pytest.raises(ValueError, match="2 <= k_min <= k_max < points"):
            k_criteria(x, *k)


def test_sentence_names_who_differs():
    picks = {"silhouette": 4, "gap": 4, "elbow": 5, "davies_bouldin": 4, "calinski_harabasz": 10, "bic": 10}
    found = KCriteria({}, {}, picks, (3, 10))
    assert found.sentence == (
        "silhouette picks K = 4; gap statistic and Davies-Bouldin do too; elbow picks 5; Calinski-Harabasz and BIC "
        "pick 10, the most that was tried: they disagree, so no K stands out: judge by stability and by what the "
        "clusters mean"
    )


def test_range_of_kmeans_is_kmeans_of_each():
    x, _ = clouds(4, n=200)
    several = kmeans_range(x, 2, 4, n_init=5, generator=generator())
    assert [len(result.cluster_centers) for result in several] == [2, 3, 4]
    for result in several:
        gap = torch.cdist(x, result.cluster_centers)
        np.testing.assert_array_equal(result.labels, gap.argmin(1))
        assert result.inertia == pytest.approx(float(gap.amin(1).square().sum()), rel=1e-5)
    assert several[2].inertia == pytest.approx(kmeans(x, 4, n_init=5, generator=generator()).inertia)
