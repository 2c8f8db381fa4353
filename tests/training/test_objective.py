"""The loss parts against their equations, weights, gradients, and degenerate batches."""

import pytest
import torch

from deepspec.errors import UserError
from deepspec.functional import ikmeans, mmd, normal_mmd, silhouette_score
from deepspec.training.objective import MMDConfig, Objective, ObjectiveConfig, Weights

OFF = Weights()
BOTH = Weights(beta=0.5, gamma=0.2)


def batch(n=90, seed=0):
    """Spectra, a reconstruction, and latents in three blobs that want a gradient."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 8, generator=generator)
    blob = torch.arange(n) % 3
    z = torch.eye(3)[blob] * 4 + 0.5 * torch.randn(n, 3, generator=generator)
    return x, x + 0.1, z.requires_grad_()


def evaluate(objective, x, y, z, now, final=None):
    torch.manual_seed(5)
    return objective(x, y, z, z, now, now if final is None else final)


def test_parts_are_the_equations():
    x, y, z = batch()
    parts = evaluate(Objective(ObjectiveConfig()), x, y, z, BOTH)
    torch.manual_seed(5)
    discrepancy = normal_mmd(z)
    clusters = ikmeans(z, 3, 10, max_iter=4)
    loss = (1 - silhouette_score(z, clusters.labels)) / 2
    assert parts.reconstruction.item() == pytest.approx(0.01, rel=1e-4)
    assert parts.mmd.item() == pytest.approx(discrepancy.item(), rel=1e-4)
    assert parts.silhouette.item() == pytest.approx(loss.item(), abs=1e-5)
    assert parts.k == clusters.k == 3
    expected = parts.reconstruction + 0.5 * parts.mmd + 0.2 * parts.silhouette
    assert parts.total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert set(parts.named()) == {"total", "reconstruction", "mmd", "silhouette"}


@pytest.mark.parametrize("kernel", ["rbf", "imq", "paper"])
def test_draws_from_the_prior_on_request(kernel):
    x, y, z = batch()
    objective = Objective(ObjectiveConfig(mmd=MMDConfig(kernel=kernel, prior_samples=70)))
    parts = evaluate(objective, x, y, z, Weights(beta=1.0))
    torch.manual_seed(5)
    assert parts.mmd.item() == pytest.approx(mmd(z, torch.randn(70, 3), kernel=kernel).item(), rel=1e-4)


def test_published_total():
    x, y, z = batch()
    parts = evaluate(Objective(ObjectiveConfig(total="published")), x, y, z, Weights(gamma=0.2))
    expected = parts.reconstruction * (1 + 0.2 * parts.silhouette) / 1.2
    assert parts.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_parts_without_weight_now_or_later_are_not_computed():
    x, y, z = batch()
    parts = evaluate(Objective(ObjectiveConfig()), x, y, z, OFF)
    assert parts.mmd is None
    assert parts.silhouette is None
    assert parts.total is parts.reconstruction


def test_parts_with_a_weight_later_are_computed_but_do_not_count_yet():
    objective = Objective(ObjectiveConfig())
    x, y, z = batch()
    parts = evaluate(objective, x, y, z, OFF, final=BOTH)
    assert parts.mmd is not None
    assert parts.total.item() == parts.reconstruction.item()
    target = objective.combine(parts, BOTH)
    later = evaluate(objective, x, y, z, BOTH)
    assert target.item() == pytest.approx(later.total.item(), rel=1e-6)


@pytest.mark.parametrize("average", ["samples", "clusters"])
def test_silhouette_gradient_reaches_the_latents_and_can_be_switched_off(average):
    x, y, z = batch()
    with_gradient = evaluate(Objective(ObjectiveConfig(silhouette_average=average)), x, y, z, Weights(gamma=1.0))
    (gradient,) = torch.autograd.grad(with_gradient.total, z)
    assert float(gradient.norm()) > 1e-3
    published = Objective(ObjectiveConfig(silhouette_gradient=False, silhouette_average=average))
    without = evaluate(published, x, y, z, Weights(gamma=1.0))
    assert without.silhouette.item() == pytest.approx(with_gradient.silhouette.item(), abs=1e-6)
    assert not without.total.requires_grad


def test_a_step_against_the_gradient_improves_the_silhouette():
    x, y, z = batch()
    objective = Objective(ObjectiveConfig(k_min=3, k_max=3))
    before = evaluate(objective, x, y, z, Weights(gamma=1.0))
    (gradient,) = torch.autograd.grad(before.total, z)
    after = evaluate(objective, x, y, (z - 20.0 * gradient).detach().requires_grad_(), Weights(gamma=1.0))
    assert after.silhouette < before.silhouette


@pytest.mark.parametrize(
    "z",
    [torch.zeros(64, 3), torch.ones(64, 3), torch.eye(3)[torch.arange(64) % 2], torch.rand(3, 3), torch.rand(1, 3)],
    ids=["zeros", "equal", "two positions", "three points", "one point"],
)
def test_a_batch_that_cannot_be_clustered_trains_on_without_nan(z):
    z = z.clone().requires_grad_()
    x = torch.rand(len(z), 8)
    parts = evaluate(Objective(ObjectiveConfig()), x, z @ torch.ones(3, 8), z, BOTH)
    assert parts.silhouette is None
    assert parts.k is None
    parts.total.backward()
    assert torch.isfinite(parts.total)
    assert torch.isfinite(z.grad).all()


def test_latents_that_have_diverged_are_told_of():
    z = torch.randn(20, 2)
    z[3, 1] = torch.inf
    with pytest.raises(UserError, match="no longer finite: training has diverged"):
        Objective(ObjectiveConfig())(torch.randn(20, 5), torch.randn(20, 5), z, z, Weights(0, 0.1), Weights(0, 0.1))


def test_bad_settings_are_refused():
    with pytest.raises(UserError, match="2 <= k_min <= k_max, got k_min = 5, k_max = 3"):
        ObjectiveConfig(k_min=5, k_max=3)
    with pytest.raises(UserError, match="the paper's kernel has none"):
        ObjectiveConfig(mmd=MMDConfig(kernel="paper", bandwidths=[1.0]))
    with pytest.raises(UserError, match="prior_samples: the imq kernel wants a number of draws"):
        ObjectiveConfig(mmd=MMDConfig(kernel="imq"))
    with pytest.raises(UserError, match="prior_samples: expected at least 2, got 1"):
        ObjectiveConfig(mmd=MMDConfig(prior_samples=1))
