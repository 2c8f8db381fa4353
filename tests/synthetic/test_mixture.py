import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from deepspec.errors import UserError
from deepspec.synthetic.mixture import colour_distance, pigment_weights

rng = np.random.default_rng(0)


def test_distance_equals_one_pair_at_a_time():
    first, second = rng.uniform(size=(7, 3)), rng.uniform(size=(4, 3))
    found = colour_distance(first, second)
    for i in range(7):
        for j in range(4):
            assert found[i, j] == pytest.approx(float(deltaE_ciede2000(rgb2lab(first[i]), rgb2lab(second[j]))))


def test_distance_of_black_to_white_is_100():
    assert colour_distance(np.zeros((1, 3)), np.ones((1, 3)))[0, 0] == pytest.approx(100.0, abs=0.01)


def test_many_colours_are_compared_in_blocks(monkeypatch):
    colours, others = rng.uniform(size=(25, 3)), rng.uniform(size=(3, 3))
    whole = colour_distance(colours, others)
    monkeypatch.setattr("deepspec.synthetic.mixture._BLOCK", 4)
    np.testing.assert_array_equal(colour_distance(colours, others), whole)


def test_linear_weights_follow_the_papers_similarity():
    # similarities 0.901, 0.653, 0.505: the last is below the threshold
    weights = pigment_weights(np.array([[10.0, 35.0, 50.0]]))
    np.testing.assert_allclose(weights, [[91 / 157, 66 / 157, 0.0]])


def test_softmin_weights():
    weights = pigment_weights(np.array([[10.0, 18.0, 50.0]]), weighting="softmin")
    np.testing.assert_allclose(weights, [[np.e / (1 + np.e), 1 / (1 + np.e), 0.0]])


def test_top_k_keeps_the_nearest():
    weights = pigment_weights(np.array([[20.0, 5.0, 10.0]]), top_k=2)
    np.testing.assert_allclose(weights, [[0.0, 96 / 187, 91 / 187]])


def test_equal_distances_do_not_let_more_than_top_k_pass():
    weights = pigment_weights(np.full((1, 5), 12.0), top_k=2)
    assert (weights > 0).sum() == 2


def test_a_colour_that_no_pigment_resembles_takes_the_nearest():
    np.testing.assert_array_equal(pigment_weights(np.array([[80.0, 60.0, 90.0]])), [[0.0, 1.0, 0.0]])


def test_a_distance_above_101_never_becomes_a_negative_weight():
    weights = pigment_weights(np.array([[103.0, 50.0]]), threshold=-0.5)
    np.testing.assert_array_equal(weights, [[0.0, 1.0]])


@pytest.mark.parametrize("weighting", ["linear", "softmin"])
def test_rows_sum_to_one(weighting):
    weights = pigment_weights(rng.uniform(0, 110, size=(200, 12)), weighting=weighting, top_k=4)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights.min() >= 0


def test_mistakes_are_explained():
    with pytest.raises(UserError, match=r"threshold=1.0: expected a similarity below 1"):
        pigment_weights(np.ones((1, 2)), threshold=1.0)
    with pytest.raises(UserError, match=r"top_k=0: expected at least 1"):
        pigment_weights(np.ones((1, 2)), top_k=0)
