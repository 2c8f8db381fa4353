"""What happens to ADAM where the second stage begins."""

import torch

from deepspec.training.deep_baselines.epoch import _forget_unmoved


def test_adam_begins_anew_with_what_the_first_stage_did_not_move():
    """The first step of a parameter is then as long as the learning rate; the others keep their past."""
    moved, unmoved = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimiser = torch.optim.Adam([moved, unmoved], lr=0.01)
    for _ in range(1000):
        optimiser.zero_grad()
        (moved.square().sum() + 0 * unmoved.sum()).backward()
        optimiser.step()
    assert unmoved.tolist() == [1, 1]
    past = optimiser.state[moved]["exp_avg_sq"].clone()
    _forget_unmoved(optimiser)
    assert unmoved not in optimiser.state
    assert torch.equal(optimiser.state[moved]["exp_avg_sq"], past)
    optimiser.zero_grad()
    (moved.sum() + 5 * unmoved.sum()).backward()
    optimiser.step()
    torch.testing.assert_close(unmoved.detach(), torch.full((2,), 0.99))
