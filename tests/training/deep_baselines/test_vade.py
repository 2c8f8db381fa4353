"""VaDE: the mixture terms of the bound against Monte Carlo and scikit-learn, their gradient against differences."""

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from deepspec.models import Latent, NetworkConfig, build_network
from deepspec.training.deep_baselines.config import DeepBaselineConfig
from deepspec.training.deep_baselines.vade import VaDE, mixture_divergence, responsibilities
from tests.training.deep_baselines.test_dcn import K, points

WEIGHTS = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
MEANS = torch.tensor([[0.0, 0.5], [1.5, -1.0], [-1.0, 2.0]], dtype=torch.float64)
LOG_VARIANCES = torch.tensor([[0.1, -0.7], [-1.0, 0.3], [0.6, -0.2]], dtype=torch.float64)
MEAN = torch.tensor([[0.2, 0.4], [1.0, -0.3], [-0.5, 1.0]], dtype=torch.float64)
LOG_VARIANCE = torch.tensor([[-1.0, -2.0], [0.0, -0.5], [-0.3, 0.4]], dtype=torch.float64)
Z = torch.tensor([[0.3, 0.1], [1.1, -0.9], [-0.4, 1.5]], dtype=torch.float64)


def made():
    method = VaDE(DeepBaselineConfig("vade", clusters=K, weight=0.5), latent=2).double()
    with torch.no_grad():
        method.logits.copy_(WEIGHTS.log() + 1.7)  # a softmax does not see what is added to all
        method.means.copy_(MEANS)
        method.log_variances.copy_(LOG_VARIANCES)
    return method


def divergence(shares):
    return mixture_divergence(MEAN, LOG_VARIANCE, shares.log(), WEIGHTS.log(), MEANS, LOG_VARIANCES)


def test_responsibilities_are_those_of_scikit_learn():
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(K, covariance_type="diag")
    mixture.weights_, mixture.means_ = WEIGHTS.numpy(), MEANS.numpy()
    mixture.covariances_ = LOG_VARIANCES.exp().numpy()
    mixture.precisions_cholesky_ = mixture.covariances_**-0.5
    z = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    ours = responsibilities(z, WEIGHTS.log(), MEANS, LOG_VARIANCES).exp()
    np.testing.assert_allclose(ours.numpy(), mixture.predict_proba(z.numpy()), rtol=1e-9, atol=1e-12)


def test_divergence_is_its_monte_carlo_estimate():
    """E log q(z|x) + log q(c|x) - log p(c) - log p(z|c) over z ~ q(z|x), c ~ q(c|x), from many draws of both."""
    shares = responsibilities(Z, WEIGHTS.log(), MEANS, LOG_VARIANCES).exp()
    torch.manual_seed(0)
    draws = 200_000
    posterior = Independent(Normal(MEAN, (LOG_VARIANCE / 2).exp()), 1)
    z = posterior.sample((draws,))
    c = Categorical(probs=shares).sample((draws,))
    component = Independent(Normal(MEANS[c], (LOG_VARIANCES[c] / 2).exp()), 1)
    values = posterior.log_prob(z) + Categorical(probs=shares).log_prob(c) - WEIGHTS.log()[c] - component.log_prob(z)
    error = values.std(0) / draws**0.5
    assert float(((divergence(shares) - values.mean(0)) / error).abs().max()) < 4
    assert float(error.max()) < 0.01


def test_divergence_bounds_that_from_the_mixture_itself():
    """KL(q(z, c) || p(z, c)) >= KL(q(z) || p(z)) whatever q(c) is, and is 0 where q is a component of weight 1."""
    prior = MixtureSameFamily(Categorical(WEIGHTS), Independent(Normal(MEANS, (LOG_VARIANCES / 2).exp()), 1))
    torch.manual_seed(1)
    posterior = Independent(Normal(MEAN, (LOG_VARIANCE / 2).exp()), 1)
    z = posterior.sample((100_000,))
    marginal = (posterior.log_prob(z) - prior.log_prob(z)).mean(0)
    even = torch.full((3, K), 1 / K, dtype=torch.float64)
    for shares in (even, responsibilities(Z, WEIGHTS.log(), MEANS, LOG_VARIANCES).exp()):
        assert (divergence(shares) > marginal - 0.01).all()
    own = mixture_divergence(
        MEANS[:1], LOG_VARIANCES[:1], torch.zeros(1, 1), torch.zeros(1), MEANS[:1], LOG_VARIANCES[:1]
    )
    assert own.item() == pytest.approx(0, abs=1e-12)


def numpy_loss(mean, log_variance, z, logits, means, log_variances):
    """Equations 12 and 16 with loops."""
    weights = np.exp(logits) / np.exp(logits).sum()
    total = 0.0
    for i in range(len(mean)):
        density = np.array([
            weights[c] * np.prod(np.exp(-((z[i] - means[c]) ** 2) / (2 * np.exp(log_variances[c])))
                                 / np.sqrt(2 * np.pi * np.exp(log_variances[c])))
            for c in range(K)
        ])  # fmt: skip
        gamma = density / density.sum()
        for c in range(K):
            inner = log_variances[c] + (np.exp(log_variance[i]) + (mean[i] - means[c]) ** 2) / np.exp(log_variances[c])
            total += gamma[c] * (0.5 * inner.sum() - np.log(weights[c] / gamma[c]))
        total -= 0.5 * np.sum(1 + log_variance[i])
    return total / len(mean)


def test_loss_and_gradient_are_those_of_a_loop_and_its_differences():
    # With single-precision inputs nothing of a difference would be left: all leaves are float64.
    method = made()
    mean, log_variance, z = (value.clone().requires_grad_() for value in (MEAN, LOG_VARIANCE, Z))

    class Double(torch.Tensor):
        def float(self):
            return self

    latent = Latent(mean.as_subclass(Double), log_variance.as_subclass(Double))
    loss = method.loss(torch.zeros(3, 4), latent, z.as_subclass(Double))
    loss.backward()
    leaves = [mean, log_variance, z, method.logits, method.means, method.log_variances]
    values = [leaf.detach().numpy().copy() for leaf in leaves]
    assert loss.item() == pytest.approx(numpy_loss(*values), rel=1e-12)
    for place, leaf in enumerate(leaves):
        for index in np.ndindex(*leaf.shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [value.copy() for value in values]
                moved[place][index] += step
                sides.append(numpy_loss(*moved))
            assert leaf.grad[index].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-8), (place, index)


def test_total_is_the_negative_bound_but_for_scale_and_constant():
    """Of a Gaussian decoder with variance 0.5 on 40 channels."""
    method, channels, variance = made(), 40, 0.5
    x, y = torch.rand(3, channels).double(), torch.rand(3, channels).double()
    kl = 3.21
    log_likelihood = Normal(y, variance**0.5).log_prob(x).sum(1).mean()
    constant = channels / 2 * np.log(2 * np.pi * variance)
    ours = torch.nn.functional.mse_loss(y, x) + method.scale(channels) * kl
    assert ours.item() == pytest.approx((-(log_likelihood - kl) - constant).item() * 2 * variance / channels)


def test_begin_finds_the_mixture_and_the_network_begins_with_its_variances():
    z, blob = points(2000)
    method = made().float()
    method.begin(z, seed=0)
    order = torch.cdist(torch.stack([z[blob == k].mean(0) for k in range(K)]), method.means.detach()).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2]
    torch.testing.assert_close(method.log_variances.detach().exp(), torch.ones(K, 2), rtol=0.2, atol=0)
    shares = torch.bincount(blob) / len(z)
    torch.testing.assert_close(torch.softmax(method.logits.detach(), 0)[order], shares, rtol=0.1, atol=0)
    network = build_network(8, NetworkConfig(encoder=[6], latent=2, variational=True))
    method.adapt(network)
    log_variance = network.encode(torch.rand(5, 8)).log_variance_NL
    expected = (torch.softmax(method.logits, 0)[:, None] * method.log_variances).sum(0)
    torch.testing.assert_close(log_variance, expected.expand(5, 2))


def test_latents_that_coincide_begin_without_a_warning():
    method = made().float()
    method.begin(torch.zeros(30, 2), seed=0)
    assert all(torch.isfinite(value).all() for value in method.state_dict().values())
