"""Maximum mean discrepancy against a double loop, gradcheck and the published kernel."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from deepspec.functional import mmd


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
    x, y = draw(40, shift=1.0), draw(30, seed=1)
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
