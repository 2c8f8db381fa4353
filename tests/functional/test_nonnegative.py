import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from deepspec.functional.nonnegative import nonnegative_least_squares


@pytest.mark.parametrize("seed", range(3))
def test_every_problem_has_the_solution_of_scipy(seed):
    rng = np.random.default_rng(seed)
    shape = rng.uniform(0, 1, (30, 8)) + 0.8 * rng.uniform(0, 1, (30, 1))  # columns are alike: many amounts end at zero
    data = shape @ rng.exponential(1, (8, 50)) * (rng.uniform(size=50) < 0.9) + rng.normal(0, 1, (30, 50))
    found = nonnegative_least_squares(
        torch.from_numpy(shape.T @ shape), torch.from_numpy(shape.T @ data), tolerance=1e-9
    ).numpy()
    wanted = np.stack([nnls(shape, column)[0] for column in data.T], 1)
    assert (wanted == 0).mean() > 0.2
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_nothing_to_solve_gives_nothing():
    found = nonnegative_least_squares(torch.zeros(0, 0), torch.zeros(0, 4))
    assert found.shape == (0, 4)


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"expected \(E, E\) and \(E, P\), got \(2, 2\) and \(3, 4\)"):
        nonnegative_least_squares(torch.eye(2), torch.zeros(3, 4))
