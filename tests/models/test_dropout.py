import math

import pytest
import torch

from deepspec.models.dropout import SELU_FLOOR, Dropout


def test_floor_is_the_limit_of_selu():
    assert torch.selu(torch.tensor(-1e6, dtype=torch.float64)).item() == pytest.approx(SELU_FLOOR, rel=1e-9)


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_alpha_keeps_mean_and_variance(p):
    torch.manual_seed(0)
    y = Dropout(p, SELU_FLOOR)(torch.randn(1_000_000))
    assert abs(y.mean().item()) < 0.01
    assert abs(y.var().item() - 1) < 0.02


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_formula_is_torchs(p):
    # torch's own layer on ones gives two values: a kept and a dropped node
    ours = Dropout(p, SELU_FLOOR)(torch.ones(1000)).unique()
    torchs = torch.nn.AlphaDropout(p)(torch.ones(1000)).unique()
    torch.testing.assert_close(ours, torchs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_standard_drops_to_zero_and_scales_the_rest(p):
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(1_000_000))
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / (1 - p)]), rtol=1e-4, atol=0)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=5 * math.sqrt(p / 1e6))


@pytest.mark.parametrize("floor", [0.0, SELU_FLOOR])
def test_gradient_is_the_scale_of_kept_nodes(floor):
    module = Dropout(0.3, floor)
    x = torch.randn(20, 30, requires_grad=True)
    y = module(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    dropped = torch.isclose(y, torch.tensor(module.scale * floor + module.shift), atol=1e-6)
    torch.testing.assert_close(gradient, torch.where(dropped, 0.0, module.scale))
    assert dropped.any()
    assert not dropped.all()


def test_draws_are_independent_between_nodes_and_calls():
    # four masks come out of one draw: neighbours must not be related
    torch.manual_seed(0)
    module = Dropout(0.5)
    kept = torch.stack([module(torch.ones(4, 50_000)).flatten(), module(torch.ones(4, 50_000)).flatten()]) > 0
    columns = torch.stack([kept[0, lag : lag + 100_000].double() for lag in range(9)] + [kept[1, :100_000].double()])
    off_diagonal = torch.corrcoef(columns) - torch.eye(10, dtype=torch.float64)
    assert off_diagonal.abs().max().item() < 5 / math.sqrt(100_000)


@pytest.mark.parametrize("shape", [(1,), (3, 1), (5, 7), (0, 4), (2, 3, 5)])
def test_any_shape(shape):
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


def test_seeded_by_torchs_generator_and_off_in_evaluation():
    module = Dropout(0.5)
    x = torch.ones(100)
    torch.manual_seed(3)
    first = module(x)
    torch.manual_seed(3)
    torch.testing.assert_close(module(x), first, rtol=0, atol=0)
    assert module.eval()(x) is x


def test_keeps_dtype():
    assert Dropout(0.5, SELU_FLOOR)(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, 1e-9])
def test_impossible_probability(p):
    with pytest.raises(ValueError, match="above 0 and below 1; got"):
        Dropout(p)
