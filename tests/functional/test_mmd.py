"""Maximum mean discrepancy against a double loop, gradcheck and the published kernel."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from deepspec.functional import mmd, normal_mmd


def draw(n, dimensions=3, seed=0, shift=0.0):
    return torch.randn(n, dimensions, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + shift


def kernel_value(kind, a, b, bandwidths):
    d2 = float(((a - b) ** 2).sum())
    if kind == "paper":
        return math.exp(-d2 / len(a) ** 2)
    if kind == "rbf":
        return np.mean([math.exp(-d2 / (2 * s * s)) for s in bandwidths])
    return np.mean([s * s / (s * s + d2) for s in bandwidths])


def loop_mmd(x, y, kind, bandwidths, unbiased):
    def mean(a, b):
        values = [
            kernel_value(kind, p, q, bandwidths)
            for i, p in enumerate(a)
            for j, q in enumerate(b)
            if not (unbiased and a is b and i == j)
        ]
        return np.mean(values)

    x, y = x.numpy(), y.numpy()
    return mean(x, x) - 2 * mean(x, y) + mean(y, y)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize(
    ("kernel", "bandwidths"),
    [("rbf", [1.3]), ("rbf", [0.5, 1.0, 4.0]), ("imq", [1.0]), ("imq", [0.3, 2.0]), ("paper", None)],
)
def test_equals_a_double_loop(kernel, bandwidths, estimator):
    x, y = draw(12, shift=0.7), draw(17, seed=1)
    expected = loop_mmd(x, y, kernel, bandwidths, estimator == "unbiased")
    value = mmd(x, y, kernel=kernel, bandwidths=bandwidths, estimator=estimator)
    assert float(value) == pytest.approx(expected, abs=1e-10)
    single = mmd(x.float(), y.float(), kernel=kernel, bandwidths=bandwidths, estimator=estimator)
    assert float(single) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize(("kernel", "bandwidths"), [("rbf", [0.7, 2.0]), ("imq", [1.0]), ("paper", None)])
def test_gradcheck_in_both_samples(kernel, bandwidths, estimator):
    x, y = draw(7, shift=0.5).requires_grad_(), draw(9, seed=1).requires_grad_()
    assert gradcheck(lambda x, y: mmd(x, y, kernel=kernel, bandwidths=bandwidths, estimator=estimator), (x, y))


def test_median_bandwidth_is_the_pooled_median_distance():
    x, y = draw(32, shift=1.0), draw(30, seed=1)
    median = float(torch.pdist(torch.cat([x, y])).square().median()) ** 0.5
    assert float(mmd(x, y)) == pytest.approx(float(mmd(x, y, bandwidths=[median])), rel=1e-12)


def test_unbiased_is_zero_on_average_and_biased_is_not():
    pairs = [(draw(20, seed=s), draw(20, seed=1000 + s)) for s in range(150)]
    unbiased = np.array([float(mmd(x, y, bandwidths=[1.0], estimator="unbiased")) for x, y in pairs])
    assert abs(unbiased.mean()) < 4 * unbiased.std() / math.sqrt(len(pairs))
    assert np.mean([float(mmd(x, y, bandwidths=[1.0])) for x, y in pairs]) > 0.02


def test_collapsed_latents_feel_a_finite_pull():
    x = torch.zeros(50, 3, requires_grad=True)
    mmd(x, torch.randn(50, 3, generator=torch.Generator().manual_seed(0))).backward()
    assert torch.isfinite(x.grad).all()
    assert mmd(torch.zeros(5, 2), torch.zeros(5, 2)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (torch.rand(0, 2), torch.rand(3, 2), {}, "x: expected at least 1 points, got 0"),
        (torch.rand(3, 2), torch.rand(3, 3), {}, "one dimension, got 2 for x and 3 for y"),
        (torch.rand(1, 2), torch.rand(3, 2), {"estimator": "unbiased"}, "at least 2 points, got 1"),
        (torch.rand(3, 2), torch.rand(3, 2), {"kernel": "linear"}, "kernel: expected 'rbf', 'imq' or 'paper'"),
        (torch.rand(3, 2), torch.rand(3, 2), {"bandwidths": [0.0]}, "expected positive numbers"),
        (torch.rand(3, 2), torch.rand(3, 2), {"kernel": "paper", "bandwidths": [1.0]}, "none for the paper's"),
        (torch.full((3, 2), math.inf), torch.rand(3, 2), {}, "NaN or infinity in 3 of 3"),
    ],
)
def test_impossible_input_is_refused(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        mmd(x, y, **options)


def normal_expectation(function, dimensions):
    """E f(y) for y from N(0, I), by Gauss-Hermite quadrature on a grid."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    grids = np.stack(np.meshgrid(*[nodes] * dimensions), -1).reshape(-1, dimensions)
    weight = np.prod(np.stack(np.meshgrid(*[weights / weights.sum()] * dimensions), -1).reshape(-1, dimensions), 1)
    return sum(w * function(y) for w, y in zip(weight, grids, strict=True))


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize(("kernel", "bandwidths"), [("rbf", [1.3]), ("rbf", [0.8, 3.0]), ("paper", None)])
def test_against_the_normal_distribution_itself(kernel, bandwidths, estimator):
    x = draw(9, dimensions=2, shift=0.7)
    rows = range(len(x))
    pairs = [(i, j) for i in rows for j in rows if estimator == "biased" or i != j]
    first = np.mean([kernel_value(kernel, x[i].numpy(), x[j].numpy(), bandwidths) for i, j in pairs])
    across = np.mean([normal_expectation(lambda y, p=p: kernel_value(kernel, p.numpy(), y, bandwidths), 2) for p in x])
    # y - y' is normal with twice the variance
    prior = normal_expectation(lambda y: kernel_value(kernel, np.zeros(2), math.sqrt(2) * y, bandwidths), 2)
    value = normal_mmd(x, kernel=kernel, bandwidths=bandwidths, estimator=estimator)
    assert float(value) == pytest.approx(first - 2 * across + prior, abs=1e-6)
    x.requires_grad_()
    assert gradcheck(lambda x: normal_mmd(x, kernel=kernel, bandwidths=bandwidths, estimator=estimator), (x,))


def test_draws_from_the_prior_estimate_what_the_closed_form_gives():
    x = draw(60, shift=0.4)
    sampled = np.array([float(mmd(x, draw(200, seed=s), bandwidths=[1.5], estimator="unbiased")) for s in range(100)])
    exact = float(normal_mmd(x, bandwidths=[1.5], estimator="unbiased"))
    assert abs(sampled.mean() - exact) < 4 * sampled.std() / 10


def test_closed_form_options():
    x = draw(50)
    by_median = [float(normal_mmd(x, generator=torch.Generator().manual_seed(3))) for _ in range(2)]
    assert by_median[0] == by_median[1]
    prior = torch.randn(32, 3, generator=torch.Generator().manual_seed(3)).double()
    median = float(torch.pdist(torch.cat([x[:32], prior])).median())
    assert by_median[0] == pytest.approx(float(normal_mmd(x, bandwidths=[median])), rel=1e-9)
    with pytest.raises(ValueError, match="expected 'rbf' or 'paper', which have a closed form, got 'imq'"):
        normal_mmd(x, kernel="imq")
    with pytest.raises(ValueError, match="at least 2 points, got 1"):
        normal_mmd(x[:1], estimator="unbiased")
