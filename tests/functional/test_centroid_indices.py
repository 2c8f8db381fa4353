import math

import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

from deepspec.functional.centroid_indices import calinski_harabasz, davies_bouldin, sums_about_centres


def blobs(far=0.0):
    x, labels = make_blobs(400, 3, centers=5, cluster_std=2.0, random_state=0)
    x, labels = torch.from_numpy(x) + far, torch.from_numpy(labels)
    return x, labels, torch.stack([x[labels == k].mean(0) for k in range(5)])


@pytest.mark.parametrize("far", [0.0, 1e6])  # squares of 1e6 would lose the variance
def test_equal_scikit_learn(far):
    x, labels, means = blobs(far)
    sums = sums_about_centres(x, labels, means)
    x = x - far  # scikit-learn loses digits there
    assert calinski_harabasz(sums, means) == pytest.approx(calinski_harabasz_score(x, labels), rel=1e-6)
    assert davies_bouldin(sums, means) == pytest.approx(davies_bouldin_score(x, labels), rel=1e-6)


def test_empty_clusters_and_unlabelled_points_do_not_count():
    x, labels, means = blobs()
    expected = davies_bouldin(sums_about_centres(x, labels, means), means)
    x, labels = torch.cat([x, torch.full((3, 3), 99.0)]), torch.cat([labels + 1, torch.full((3,), -1)])
    means = torch.cat([torch.zeros(1, 3), means])
    sums = sums_about_centres(x, labels, means)
    assert davies_bouldin(sums, means) == pytest.approx(expected)
    assert calinski_harabasz(sums, means) == pytest.approx(calinski_harabasz_score(x[:-3], labels[:-3]))


def test_degenerate_partitions():
    x, centres = torch.tensor([[0.0], [0.0], [5.0]]), torch.tensor([[0.0], [5.0]])
    tight = sums_about_centres(x, torch.tensor([0, 0, 1]), centres)
    assert calinski_harabasz(tight, centres) == calinski_harabasz_score(x, [0, 0, 1]) == 1.0
    assert davies_bouldin(tight, centres) == 0.0
    one = sums_about_centres(x, torch.tensor([0, 0, 0]), centres)
    assert math.isnan(calinski_harabasz(one, centres))
    assert math.isnan(davies_bouldin(one, centres))


def test_labels_beyond_the_centres_are_refused():
    with pytest.raises(ValueError, match="values below 1, the number of centres, got 1"):
        sums_about_centres(torch.zeros(2, 1), torch.tensor([0, 1]), torch.zeros(1, 1))
    with pytest.raises(ValueError, match="2 dimensions"):
        sums_about_centres(torch.zeros(2, 1), torch.tensor([0, 1]), torch.zeros(1, 2))
