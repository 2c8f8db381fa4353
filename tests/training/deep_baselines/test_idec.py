"""IDEC: assignments, target distribution, loss and gradient against numpy and the closed forms of DEC."""

import numpy as np
import torch
from torch import nn

from deepspec.models import Latent
from deepspec.training.deep_baselines.config import DeepBaselineConfig
from deepspec.training.deep_baselines.idec import IDEC, soft_assignment, target_distribution
from tests.training.deep_baselines.test_dcn import K, points

CENTRES = torch.tensor([[0.5, 0.5], [5.0, 2.0], [2.0, 6.0]])


class Scaled(nn.Module):
    """An encoder of two channels that multiplies by a number, and counts a dropout that must be off."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.dropout = nn.Dropout(0.5)

    def encode(self, x):
        return Latent(self.dropout(x) * self.factor, None)


def made():
    method = IDEC(DeepBaselineConfig("idec", clusters=K, weight=0.1), latent=2)
    with torch.no_grad():
        method.centres.copy_(CENTRES)
    return method


def numpy_q(z, centres):
    inverse = np.array([[1 / (1 + np.sum((point - centre) ** 2)) for centre in centres] for point in z])
    return inverse / inverse.sum(1, keepdims=True), inverse


def numpy_p(q, frequencies):
    sharpened = q**2 / frequencies
    return sharpened / sharpened.sum(1, keepdims=True)


def test_assignments_and_target_are_those_of_the_paper():
    z = points()[0].double()
    q, _ = numpy_q(z.numpy(), CENTRES.double().numpy())
    ours = soft_assignment(z, CENTRES.double())
    np.testing.assert_allclose(ours.exp().numpy(), q, rtol=1e-12)
    p = target_distribution(ours, ours.exp().sum(0))
    np.testing.assert_allclose(p.exp().numpy(), numpy_p(q, q.sum(0)), rtol=1e-12)
    # Proportional frequencies are the same ones.
    torch.testing.assert_close(target_distribution(ours, ours.exp().mean(0)), p)


def test_far_points_and_one_that_lies_on_a_centre_stay_finite():
    z = torch.tensor([[1e6, 1e6], [0.5, 0.5]], requires_grad=True)
    method = made()
    loss = method.loss(torch.zeros(2, 4), Latent(z, None), z)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()
    assert torch.isfinite(method.centres.grad).all()


def test_loss_and_gradient_with_the_target_of_the_epochs_start():
    """The network and the centres move on within the epoch; P does not."""
    x, sample = points(seed=1)[0], points(400, seed=2)[0]
    method, network = made(), Scaled(1.0).train()
    method.refresh(network, lambda: sample)
    q_sample, _ = numpy_q(sample.numpy().astype(float), CENTRES.numpy().astype(float))
    q_then, _ = numpy_q(x.numpy().astype(float), CENTRES.numpy().astype(float))
    p = numpy_p(q_then, q_sample.mean(0))

    with torch.no_grad():
        network.factor.fill_(1.3)
        method.centres.add_(0.25)
    z = (x * 1.3).requires_grad_()
    loss = method.loss(x, Latent(z, None), z)
    loss.backward()
    z_now, centres_now = z.detach().numpy().astype(float), CENTRES.numpy().astype(float) + 0.25
    q, inverse = numpy_q(z_now, centres_now)
    np.testing.assert_allclose(loss.item(), (p * np.log(p / q)).sum(1).mean(), rtol=1e-5)
    # Equations 4 and 5 of DEC with one degree of freedom, here of the mean over spectra.
    pull = 2 / len(x) * (inverse * (p - q))[:, :, None] * (z_now[:, None] - centres_now)
    np.testing.assert_allclose(z.grad.numpy(), pull.sum(1), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(method.centres.grad.numpy(), -pull.sum(0), rtol=1e-4, atol=1e-6)
    assert network.factor.grad is None
    assert network.training


def test_what_an_epoch_keeps_is_no_part_of_the_checkpoint():
    method = made()
    before = set(method.state_dict())
    method.refresh(Scaled(1.0), lambda: points()[0])
    assert set(method.state_dict()) == before
    assert [name for name, _ in method.named_parameters()] == ["centres"]


def test_begin_finds_the_blobs():
    z, blob = points()
    method = made()
    method.begin(z, seed=0)
    means = torch.stack([z[blob == k].mean(0) for k in range(K)])
    assert float(torch.cdist(means, method.centres.detach()).min(1).values.max()) < 0.2
