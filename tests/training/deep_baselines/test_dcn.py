"""DCN: the loss and its gradient in closed form, the centres against the paper's loop, on one rank and on two."""

import numpy as np
import pytest
import torch

from deepspec.models import Latent
from deepspec.training.deep_baselines.config import DeepBaselineConfig
from deepspec.training.deep_baselines.dcn import DCN
from tests.metrics.two_ranks import on_two_ranks

K = 3


def points(n=200, seed=0):
    """Three blobs in two dimensions, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    blob = torch.randint(K, (n,), generator=generator)
    places = torch.tensor([[0.0, 0.0], [6.0, 1.0], [1.0, 7.0]])
    return places[blob] + torch.randn(n, 2, generator=generator), blob


def made(centres=((0.5, 0.5), (5.0, 2.0), (2.0, 6.0)), counts=(7.0, 100.0, 31.0)):
    method = DCN(DeepBaselineConfig("dcn", clusters=K, weight=0.5), latent=2)
    method.centres.copy_(torch.tensor(centres))
    method.counts.copy_(torch.tensor(counts))
    return method


def loss_of(method, z):
    return method.loss(torch.zeros(len(z), 4), Latent(z, None), z)


def one_after_the_other(z, centres, counts):
    """Equations 7 and 8 in a loop, with the assignments of the batch made first."""
    centres, counts = centres.copy(), counts.copy()
    labels = [int(np.argmin([np.sum((point - centre) ** 2) for centre in centres])) for point in z]
    loss = np.mean([np.sum((point - centres[label]) ** 2) / 2 for point, label in zip(z, labels, strict=True)])
    gradient = np.stack([point - centres[label] for point, label in zip(z, labels, strict=True)]) / len(z)
    for point, label in zip(z, labels, strict=True):
        counts[label] += 1
        centres[label] -= (centres[label] - point) / counts[label]
    return loss, gradient, centres, counts


def test_loss_gradient_and_centres_are_those_of_the_paper():
    method = made()
    z = points()[0].requires_grad_()
    expected = one_after_the_other(
        z.detach().double().numpy(), method.centres.double().numpy(), method.counts.double().numpy()
    )
    loss = loss_of(method.train(), z)
    loss.backward()
    for ours, theirs in zip((loss.detach(), z.grad, method.centres, method.counts), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)
    assert not list(method.parameters())


def test_centres_stay_in_evaluation():
    method = made().eval()
    before = method.centres.clone()
    loss_of(method, points()[0])
    assert torch.equal(method.centres, before)


def test_a_cluster_that_no_spectrum_is_near_stays_where_it_is():
    method = made(centres=((0.0, 0.0), (6.0, 1.0), (90.0, 90.0))).train()
    loss_of(method, points()[0])
    assert method.centres[2].tolist() == [90.0, 90.0]
    assert method.counts[2] == 31


def test_begin_finds_the_blobs_and_the_seed_decides_the_rest():
    z, blob = points()
    method, again = made(), made()
    method.begin(z, seed=1)
    again.begin(z, seed=1)
    assert torch.equal(method.centres, again.centres)
    means = torch.stack([z[blob == k].mean(0) for k in range(K)])
    assert float(torch.cdist(means, method.centres).min(1).values.max()) < 0.2
    assert method.counts.tolist() == [100] * K


def _work(rank):
    method, z = made().train(), points()[0]
    for batch in z.split(50)[rank::2]:
        loss_of(method, batch)
    return method.state_dict()


@pytest.mark.ddp
def test_two_ranks_move_the_centres_as_one_process_with_the_joint_batches():
    whole, z = made().train(), points()[0]
    for batch in z.split(100):
        loss_of(whole, batch)
    first, second = on_two_ranks(_work)
    for name, value in whole.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-6, atol=1e-6)
