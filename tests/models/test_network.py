"""Both kinds of network on one set of checks, then what the variational one adds."""

import math

import pytest
import torch
from torch import nn

from deepspec.errors import UserError
from deepspec.models import Autoencoder, Latent, NetworkConfig, VariationalAutoencoder, build_network
from deepspec.models.autoencoder import LOG_VARIANCE_RANGE, linear_layer
from deepspec.models.dropout import Dropout

XRF = NetworkConfig(encoder=[256, 128, 64, 32], decoder=[64, 128, 256], variational=True, dropout=0.1)
NEBULAE = NetworkConfig(encoder=[512, 256, 32], decoder=[128, 256], dropout=0.1)
VARIANTS = [
    NetworkConfig(kind=kind, variational=variational, bias=bias, latent_activation=activation)
    for kind in ("snn", "mlp")
    for variational in (False, True)
    for bias, activation in ((False, "tanh"), (True, "none"))
]


def linear_shapes(module):
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize(
    ("channels", "config", "encoder", "decoder"),
    [
        (
            512,
            XRF,
            [(512, 256), (256, 128), (128, 64), (64, 32)],
            [(3, 64), (64, 128), (128, 256), (256, 512)],
        ),
        (1024, NEBULAE, [(1024, 512), (512, 256), (256, 32)], [(3, 128), (128, 256), (256, 1024)]),
    ],
    ids=["xrf", "nebulae"],
)
def test_the_papers_networks(channels, config, encoder, decoder):
    network = build_network(channels, config)
    assert linear_shapes(network.encoder) == encoder
    assert linear_shapes(network.mean) == [(32, 3)]
    assert linear_shapes(network.decoder) == decoder
    # hidden layers: linear without bias, SELU, alpha dropout; the 32 feed a tanh; the output a sigmoid
    hidden = [nn.Linear, nn.SELU, Dropout]
    assert [type(m) for m in network.encoder] == hidden * (len(encoder) - 1) + [nn.Linear, nn.Tanh]
    assert [type(m) for m in network.decoder] == hidden * (len(decoder) - 1) + [nn.Linear, nn.Sigmoid]
    assert [m.bias is not None for m in network.encoder if isinstance(m, nn.Linear)] == [False] * (len(encoder) - 1) + [
        True
    ]
    assert isinstance(network, VariationalAutoencoder) == config.variational
    if config.variational:
        assert linear_shapes(network.log_variance) == [(32, 3)]
    x_NC = torch.rand(5, channels)
    assert network.encode(x_NC).mean_NL.shape == (5, 3)
    assert network(x_NC).shape == (5, channels)


@pytest.mark.parametrize("kind", ["snn", "mlp"])
def test_activation_and_dropout_follow_the_kind(kind):
    network = build_network(64, NetworkConfig(kind=kind, dropout=0.25))
    activations = {type(m) for m in network.modules() if isinstance(m, (nn.SELU, nn.ReLU))}
    assert activations == {nn.SELU if kind == "snn" else nn.ReLU}
    assert {m.floor < 0 for m in network.modules() if isinstance(m, Dropout)} == {kind == "snn"}


def test_no_dropout_means_no_layer():
    assert not [m for m in build_network(64, NetworkConfig()).modules() if isinstance(m, Dropout)]


def test_latent_activation_none_makes_the_last_hidden_layer_like_the_others():
    network = build_network(64, NetworkConfig(latent_activation="none"))
    assert [type(m) for m in network.encoder] == [nn.Linear, nn.SELU] * 4


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_gradients_reach_every_parameter(config):
    torch.manual_seed(0)
    network = build_network(64, config)
    x_NC = torch.rand(32, 64)
    latent = network.encode(x_NC)
    z_NL = network.reparameterise(latent) if config.variational else latent.mean_NL
    (network.decode(z_NL) - x_NC).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).float().mean() > 0.3, name


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_forward_is_decoding_the_mean(config):
    network = build_network(64, config).eval()
    x_NC = torch.rand(4, 64)
    torch.testing.assert_close(network(x_NC), network.decode(network.encode(x_NC).mean_NL))


@pytest.mark.parametrize(("output", "low", "high"), [("sigmoid", 0, 1), ("softplus", 0, math.inf), ("linear", -9, 9)])
def test_output_range(output, low, high):
    network = build_network(64, NetworkConfig(output=output))
    x_NC = network.decode(100 * torch.randn(50, 3)) if output != "linear" else network.decode(torch.randn(50, 3))
    assert ((x_NC >= low) & (x_NC <= high)).all()
    assert (x_NC < 0).any() == (output == "linear")


def test_no_hidden_decoder_layer_makes_a_linear_decoder():
    network = build_network(64, NetworkConfig(decoder=[], output="linear"))
    assert linear_shapes(network.decoder) == [(3, 64)]
    z_NL = torch.randn(1, 3)
    torch.testing.assert_close(network.decode(2 * z_NL), 2 * network.decode(z_NL))  # biases are zero at the start


def test_input_is_left_alone():
    x_NC = torch.randn(8, 64)
    before = x_NC.clone()
    build_network(64, NetworkConfig())(x_NC).sum().backward()
    assert torch.equal(x_NC, before)


def test_state_dict_round_trip():
    first, second = (build_network(64, NetworkConfig(variational=True)) for _ in range(2))
    x_NC = torch.rand(4, 64)
    assert not torch.equal(first(x_NC), second(x_NC))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x_NC), second(x_NC))


def test_a_plain_autoencoder_has_no_log_variance():
    latent = build_network(64, NetworkConfig()).encode(torch.rand(2, 64))
    assert latent.log_variance_NL is None


def test_no_channels():
    with pytest.raises(UserError, match="at least 1 channel; got 0"):
        Autoencoder(0, NetworkConfig(encoder=[4]))


# Initialisation


def activations(network, x):
    """Mean and variance after each activation of the encoder."""
    moments = []
    for module in network.encoder:
        x = module(x)
        if not isinstance(module, nn.Linear):
            moments.append((x.mean().item(), x.var().item()))
    return moments


def test_twenty_selu_layers_normalise_themselves():
    torch.manual_seed(0)
    network = build_network(512, NetworkConfig(encoder=[512] * 20, latent_activation="none"))
    with torch.no_grad():
        moments = activations(network, torch.randn(1024, 512))
    assert len(moments) == 20
    for mean, variance in moments:
        assert abs(mean) < 0.15
        assert abs(variance - 1) < 0.2
    # and pull a wrong start towards the fixed point, which the gain of 3/4 does not
    with torch.no_grad():
        moments = activations(network, 0.5 + 1.3 * torch.randn(1024, 512))
    assert abs(moments[-1][1] - 1) < 0.25
    assert abs(moments[-1][0]) < 0.2


def test_gain_of_three_quarters_would_fail_the_test_above():
    torch.manual_seed(0)
    network = build_network(512, NetworkConfig(encoder=[512] * 20, latent_activation="none"))
    with torch.no_grad():
        for module in network.encoder:
            if isinstance(module, nn.Linear):
                module.weight.mul_(nn.init.calculate_gain("selu"))
        moments = activations(network, torch.randn(1024, 512))
    assert moments[-1][1] < 0.5


def test_twenty_relu_layers_keep_the_second_moment():
    torch.manual_seed(0)
    network = build_network(512, NetworkConfig(kind="mlp", encoder=[512] * 20, latent_activation="none"))
    with torch.no_grad():
        h = network.encoder(torch.randn(1024, 512))
    assert 0.5 < h.square().mean().item() < 2


@pytest.mark.parametrize("following", ["relu", "selu", "tanh", "linear"])
def test_weights_have_the_variance_of_torchs_kaiming_normal(following):
    torch.manual_seed(0)
    layer = linear_layer(400, 1000, following)
    reference = torch.empty(1000, 400)
    nn.init.kaiming_normal_(reference, nonlinearity="linear" if following == "selu" else following)
    assert layer.weight.std().item() == pytest.approx(reference.std().item(), rel=0.01)
    assert not layer.bias.any()
    assert linear_layer(4, 4, following, bias=False).bias is None


def test_tanh_layer_is_not_saturated_at_the_start():
    torch.manual_seed(0)
    network = build_network(512, XRF)
    with torch.no_grad():
        h = network.encoder.eval()(torch.randn(1024, 512))
    assert h.abs().mean() < 0.8
    assert h.var() > 0.3


# Variational


def test_reparameterise_follows_mean_and_variance():
    network = build_network(64, NetworkConfig(variational=True))
    mean_NL = torch.tensor([[0.0, 5.0, -3.0]]).expand(200_000, 3)
    log_variance_NL = torch.tensor([[0.0, math.log(4.0), math.log(0.01)]]).expand(200_000, 3)
    z_NL = network.reparameterise(Latent(mean_NL, log_variance_NL), torch.Generator().manual_seed(0))
    torch.testing.assert_close(z_NL.mean(0), mean_NL[0], atol=0.03, rtol=0)
    torch.testing.assert_close(z_NL.var(0), torch.tensor([1.0, 4.0, 0.01]), atol=0, rtol=0.03)


def test_reparameterise_passes_gradients_by_the_closed_form():
    network = build_network(64, NetworkConfig(variational=True))
    mean_NL = torch.zeros(5, 3, requires_grad=True)
    log_variance_NL = torch.full((5, 3), 0.7, requires_grad=True)
    z_NL = network.reparameterise(Latent(mean_NL, log_variance_NL))
    z_NL.sum().backward()
    torch.testing.assert_close(mean_NL.grad, torch.ones(5, 3))
    torch.testing.assert_close(log_variance_NL.grad, 0.5 * z_NL.detach())  # z = sigma * eps, dz/dlv = z / 2


def test_generator_makes_it_repeatable():
    network = build_network(64, NetworkConfig(variational=True))
    latent = network.encode(torch.rand(4, 64))
    one, two = (network.reparameterise(latent, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, network.reparameterise(latent))


def test_reparameterise_needs_a_log_variance():
    network = build_network(64, NetworkConfig(variational=True))
    with pytest.raises(ValueError, match="comes from a plain autoencoder"):
        network.reparameterise(Latent(torch.zeros(1, 3), None))


def test_log_variance_cannot_overflow():
    network = build_network(64, NetworkConfig(variational=True))
    with torch.no_grad():
        network.log_variance.bias.copy_(torch.tensor([1e30, -1e30, 0]))
    latent = network.encode(torch.rand(4, 64))
    low, high = LOG_VARIANCE_RANGE
    assert (latent.log_variance_NL[:, 0] == high).all()
    assert (latent.log_variance_NL[:, 1] == low).all()
    z_NL = network.reparameterise(Latent(latent.mean_NL.half(), latent.log_variance_NL.half()))
    assert z_NL.isfinite().all()


@pytest.mark.parametrize("n", [1, 7])
def test_sample(n):
    network = build_network(512, XRF).eval()
    x_NC = network.sample(n, torch.Generator().manual_seed(0))
    assert x_NC.shape == (n, 512)
    assert ((x_NC > 0) & (x_NC < 1)).all()
    assert not x_NC.requires_grad
    assert torch.equal(x_NC, network.sample(n, torch.Generator().manual_seed(0)))


def test_sample_is_the_decoder_on_standard_normal_points():
    network = build_network(64, NetworkConfig(variational=True, output="linear")).eval()
    expected = network.decode(torch.randn(9, 3, generator=torch.Generator().manual_seed(2)))
    torch.testing.assert_close(network.sample(9, torch.Generator().manual_seed(2)), expected)


def test_sample_of_none():
    with pytest.raises(ValueError, match="n >= 1; got 0"):
        build_network(64, NetworkConfig(variational=True)).sample(0)
