import pytest
import torch

from deepspec.training.seeding import seed_draws

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_draws_are_those_of_manual_seed(device, seed):
    torch.manual_seed(seed)
    expected = torch.rand(5), torch.randn(5, device=device)
    torch.manual_seed(1)
    seed_draws(seed, torch.device(device))
    assert torch.equal(torch.rand(5), expected[0])
    assert torch.equal(torch.randn(5, device=device), expected[1])


@pytest.mark.skipif(torch.cuda.is_initialized(), reason="torch formats no traceback where the GPU is in use")
def test_no_traceback_is_formatted_for_accelerators_that_are_not_there(monkeypatch):
    formatted = []
    monkeypatch.setattr("traceback.format_stack", lambda: formatted.append(1) or [])
    seed_draws(3, torch.device("cpu"))
    assert not formatted
    torch.manual_seed(3)
    assert formatted  # what the function is for: if this fails, torch has mended it
