"""Agreement between partitions against scikit-learn and exhaustive matching."""

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from deepspec.functional import adjusted_rand_index, contingency_table, match_labels


def random_labels(seed, k, n=200):
    return torch.randint(0, k, (n,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("p", "r"), [(2, 2), (4, 3), (3, 7)])
def test_table_and_rand_index_equal_scikit_learn(p, r):
    predicted, reference = random_labels(0, p), random_labels(1, r)
    predicted[:120] = reference[:120] % p
    table = contingency_table(predicted, reference)
    np.testing.assert_array_equal(table, contingency_matrix(reference, predicted).T)
    assert adjusted_rand_index(table) == pytest.approx(adjusted_rand_score(reference, predicted), abs=1e-12)


def test_rand_index_of_equal_and_trivial_partitions():
    labels = random_labels(0, 4)
    assert adjusted_rand_index(contingency_table((labels + 1) % 4, labels)) == 1.0
    assert adjusted_rand_index(torch.tensor([[7]])) == 1.0


def test_ignored_points_do_not_count():
    predicted, reference = torch.tensor([0, 1, -1, 1]), torch.tensor([0, -1, 1, 1])
    assert contingency_table(predicted, reference).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(("p", "r"), [(3, 3), (4, 3), (3, 5)])
def test_matching_is_the_best_of_all_permutations(p, r):
    table = torch.randint(0, 100, (p, r), generator=torch.Generator().manual_seed(p * r))
    match = match_labels(table)
    ours = sum(int(table[i, j]) for i, j in enumerate(match.tolist()) if j >= 0)
    square = np.zeros((max(p, r), max(p, r)), dtype=int)
    square[:p, :r] = table
    best = max(sum(square[i, j] for i, j in enumerate(order)) for order in permutations(range(max(p, r))))
    assert ours == best
    assert len(set(match[match >= 0].tolist())) == min(p, r)


def test_impossible_input_is_refused():
    with pytest.raises(ValueError, match="as many reference labels as predicted ones, 3, got 2"):
        contingency_table(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match="at least one point with both labels"):
        contingency_table(torch.tensor([-1]), torch.tensor([0]))
    with pytest.raises(ValueError, match="negative one"):
        contingency_table(torch.tensor([-2, 0]), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match=r"got shape \(0, 3\)"):
        match_labels(torch.zeros(0, 3))
