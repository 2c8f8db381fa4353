import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from deepspec.errors import UserError
from deepspec.synthetic.rgb_clusters import cluster_colours


def patches(colours, side=8, noise=4.0, seed=0):
    """A row of square patches with grain, and the number of the patch of each pixel."""
    truth = np.repeat(np.arange(len(colours)), side)[None, :].repeat(side, axis=0)
    grain = np.random.default_rng(seed).normal(0, noise, size=(*truth.shape, 3))
    return np.clip(np.array(colours)[truth] + grain, 0, 255).astype(np.uint8), truth


FIVE = [(230, 220, 190), (200, 40, 40), (30, 60, 160), (20, 20, 20), (60, 150, 90)]


@pytest.mark.parametrize("space", ["rgb", "lab"])
def test_finds_the_number_of_colours_and_where_they_are(space):
    rgb, truth = patches(FIVE)
    found = cluster_colours(rgb, (3, 10), space=space)
    assert found.k == 5
    assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) == 1.0
    for label, colour in enumerate(found.colours):
        np.testing.assert_allclose(colour, rgb[found.labels == label].mean(axis=0) / 255)


def test_both_ends_of_the_range_are_tried():
    rgb, _ = patches(FIVE)
    assert sorted(cluster_colours(rgb, (3, 5)).scores) == [3, 4, 5]
    assert cluster_colours(rgb, (3, 5)).k == 5


def test_equal_ends_fix_k_without_a_search():
    found = cluster_colours(patches(FIVE)[0], (4, 4))
    assert found.k == 4
    assert found.scores == {}


def test_the_smallest_k_of_those_that_score_alike_wins(monkeypatch):
    monkeypatch.setattr("deepspec.synthetic.rgb_clusters.TOLERANCE", 2.0)  # everything scores alike
    assert cluster_colours(patches(FIVE)[0], (3, 8)).k == 3


def test_same_seed_same_labels():
    rgb, _ = patches(FIVE, noise=40.0)
    first, second = cluster_colours(rgb, seed=5), cluster_colours(rgb, seed=5)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.scores == second.scores


def test_few_colours_limit_k_without_warnings():
    rgb, _ = patches(FIVE[:3], noise=0.0)
    assert cluster_colours(rgb, (2, 10)).k == 3


def test_mistakes_are_explained():
    flat = np.full((8, 8, 3), 90, dtype=np.uint8)
    with pytest.raises(UserError, match=r"1 distinct colours in 64 pixels, too few for 3 clusters"):
        cluster_colours(flat)
    for bad in [(1, 4), (5, 4)]:
        with pytest.raises(UserError, match=r"expected 2 <= least <= greatest"):
            cluster_colours(flat, bad)
