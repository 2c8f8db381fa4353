"""An ensemble against its members built and trained one by one."""

import copy

import pytest
import torch
from torch.nn.functional import mse_loss

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.models import Autoencoder, EnsembleAutoencoder, NetworkConfig, build_network
from deepspec.training.deep_baselines import DeepBaselineConfig
from deepspec.training.module import DeepClustering
from deepspec.training.objective import MMDConfig, Objective, ObjectiveConfig, Weights
from deepspec.training.optimiser import OptimizerConfig

SHAPES = [
    {"encoder": [16], "decoder": [16], "output": "linear"},
    {"encoder": [16, 8], "kind": "mlp", "bias": True, "latent_activation": "none", "output": "softplus"},
    {"encoder": [12, 8, 6], "decoder": [], "latent": 2, "output": "sigmoid"},
]


def both(channels=20, members=3, **shape):
    """An ensemble, and networks of the same weights by themselves."""
    torch.manual_seed(5)
    joined = build_network(channels, NetworkConfig(ensemble=members, **shape))
    torch.manual_seed(5)
    return joined, [Autoencoder(channels, NetworkConfig(**shape)) for _ in range(members)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batched_members_equal_networks_by_themselves(shape):
    joined, alone = both(**shape)
    assert isinstance(joined, EnsembleAutoencoder)
    x_NC = torch.randn(50, 20)
    latents = [member.encode(x_NC).mean_NL for member in alone]
    spectra = torch.stack([member(x_NC) for member in alone])
    z_NL = joined.encode(x_NC).mean_NL
    exact = {"atol": 1e-6, "rtol": 1e-6}
    torch.testing.assert_close(z_NL, torch.cat(latents, 1), **exact)
    torch.testing.assert_close(joined.reconstructions(z_NL), spectra, **exact)
    torch.testing.assert_close(joined.decode(z_NL), spectra.mean(0), **exact)
    torch.testing.assert_close(joined(x_NC), spectra.mean(0), **exact)
    assert joined.latent == z_NL.shape[1] == 3 * alone[0].latent
    assert sum(p.numel() for p in joined.parameters()) == 3 * sum(p.numel() for p in alone[0].parameters())
    assert joined.encode(x_NC[:0]).mean_NL.shape == (0, joined.latent)


def test_members_begin_with_weights_of_their_own():
    joined, _ = both(**SHAPES[0])
    first, second, third = joined.encoder[0].weight
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradient_of_a_member_is_its_own_over_their_number(shape):
    joined, alone = (copy.deepcopy(made) for made in both(**shape))
    x_NC = torch.rand(30, 20, dtype=torch.float64)
    joined.double()
    parts = Objective(ObjectiveConfig(), 3)(
        x_NC,
        joined.reconstructions(joined.encode(x_NC).mean_NL),
        joined.encode(x_NC).mean_NL,
        joined.encode(x_NC).mean_NL,
        Weights(),
        Weights(),
    )
    parts.total.backward()
    for number, member in enumerate(alone):
        member.double()
        mse_loss(member(x_NC), x_NC).backward()
        for stacked, own in zip(joined.parameters(), member.parameters(), strict=True):
            torch.testing.assert_close(3 * stacked.grad[number].reshape(own.shape), own.grad, atol=1e-12, rtol=1e-9)


def test_each_member_trains_as_it_would_alone():
    shape = {"encoder": [16], "output": "linear"}
    joined, alone = both(**shape)
    x_NC = torch.randn(64, 20, dtype=torch.float64)
    for network in [joined, *alone]:
        network.double()
        optimiser = trainer_of(network, OptimizerConfig(lr=1e-2, weight_decay=1e-3)).configure_optimizers()
        for _ in range(25):
            optimiser.zero_grad()
            spectra = network.reconstructions(network.encode(x_NC).mean_NL)
            mse_loss(spectra, x_NC.expand_as(spectra)).backward()
            optimiser.step()
    alone_NL = torch.cat([member.encode(x_NC).mean_NL for member in alone], 1)
    torch.testing.assert_close(joined.encode(x_NC).mean_NL, alone_NL, atol=1e-9, rtol=1e-9)
    assert (alone[0].encode(x_NC).mean_NL - alone[1].encode(x_NC).mean_NL).abs().max() > 0.1


def trainer_of(network, optimiser=OptimizerConfig()):  # noqa: B008  frozen
    torch.manual_seed(0)
    made = DeepClustering(
        SpectralAxis.linear(1, 1, 20, "keV").to_dict(),
        NetworkConfig(encoder=[16], output="linear", latent=3),
        ["sqrt"],
        ObjectiveConfig(k_min=2, k_max=4),
        optimiser,
    )
    made.network = network
    made.weights = made.final_weights = Weights(beta=0.1, gamma=0.1)
    return made


def test_a_training_step_with_one_member_is_that_of_the_plain_network():
    shape = {"encoder": [16], "output": "linear", "dropout": 0.2}
    torch.manual_seed(5)
    plain = Autoencoder(20, NetworkConfig(**shape))
    torch.manual_seed(5)
    single = EnsembleAutoencoder(20, NetworkConfig(**shape, ensemble=1))
    spectra = torch.poisson(torch.full((40, 20), 9.0))
    batch = {"spectra": spectra, "valid": torch.ones(40, dtype=torch.bool)}
    losses, steps = [], []
    for network in (plain, single):
        model = trainer_of(network)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
        torch.manual_seed(7)
        loss = model.training_step(batch, 0)
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
        steps.append([p.detach().flatten() for p in network.parameters()])
    torch.testing.assert_close(losses[1], losses[0], atol=1e-6, rtol=1e-6)
    for one, other in zip(*steps, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_mmd_and_silhouette_are_means_over_the_members():
    torch.manual_seed(0)
    x_NC, spectra_SNC = torch.randn(40, 20), torch.randn(3, 40, 20)
    z_NL = torch.randn(40, 6) + 20 * (torch.arange(40) % 2)[:, None]  # two clusters, whatever the seeds of K-means
    weights = Weights(beta=0.5, gamma=0.5)
    config = ObjectiveConfig(k_min=2, k_max=2, max_iter=100, mmd=MMDConfig(bandwidths=[1.0]))
    torch.manual_seed(1)
    parts = Objective(config, 3)(x_NC, spectra_SNC, z_NL, z_NL, weights, weights)
    torch.manual_seed(1)
    one = Objective(config)
    own = [one(x_NC, spectra_SNC[s], *[z_NL[:, 2 * s : 2 * s + 2]] * 2, weights, weights) for s in range(3)]
    for name in ("total", "reconstruction", "mmd", "silhouette"):
        expected = torch.stack([getattr(part, name) for part in own]).mean()
        torch.testing.assert_close(getattr(parts, name), expected, atol=1e-6, rtol=1e-5)
    assert parts.k == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ensemble": 0}, "network.ensemble must be at least 1; got 0"),
        ({"ensemble": 2, "variational": True}, "ensemble 2 is for plain autoencoders: set network.variational false"),
    ],
)
def test_what_an_ensemble_cannot_be(wrong, message):
    with pytest.raises(UserError, match=message):
        NetworkConfig(**wrong)


def test_deep_baselines_train_a_single_network():
    config = NetworkConfig(ensemble=2, encoder=[8])
    with pytest.raises(UserError, match=r"kind dcn trains a single network: set model\.network\.ensemble 1, not 2"):
        DeepClustering(
            SpectralAxis.linear(1, 1, 20, "keV").to_dict(), config, deep_baseline=DeepBaselineConfig("dcn", 3, 0.1)
        )
