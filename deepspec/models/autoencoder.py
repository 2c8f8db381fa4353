"""Autoencoders, plain and variational (Bombini et al. 2024, 2.1 and 2.4): spectrum -> latent point -> spectrum.

In the variational one each spectrum is a Gaussian in the latent space. Both are linear layers with their activation,
dropout and the initialisation that suits them. One rule gives every gain: with weights of variance gain^2 / fan_in and
zero biases, inputs of unit second moment come out of the *following* activation with (about) unit second moment again,
at any depth.
- ReLU: gain sqrt(2), because it discards half of the second moment (He et al. 2015, arXiv 1502.01852, eq. 10).
- SELU: gain 1, "LeCun normal". Klambauer et al. 2017 (arXiv 1706.02515) prove zero mean and unit variance to be a
  stable and attracting fixed point for weights of variance 1 / fan_in; `torch.nn.init.calculate_gain("selu")` is 3/4,
  an empirical value for the size of gradients, with which activations shrink from layer to layer.
- tanh: gain 5/3, as `calculate_gain` has it; it makes up for the squashing.
- linear, sigmoid and softplus: gain 1.

Shapes: N spectra, C channels, L latent dimensions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

from deepspec.errors import UserError
from deepspec.models.dropout import SELU_FLOOR, Dropout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.models.config import NetworkConfig, NetworkKind, OutputActivation


GAINS = {"relu": 2**0.5, "selu": 1.0, "tanh": 5 / 3, "linear": 1.0}


def linear_layer(
    inputs: int, outputs: int, following: Literal["relu", "selu", "tanh", "linear"], *, bias: bool = True
) -> nn.Linear:
    """A linear layer initialised for the activation that follows it (see the top of this file); biases are zero."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.normal_(layer.weight, std=GAINS[following] / inputs**0.5)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def hidden_layers(widths: Sequence[int], kind: NetworkKind, *, dropout: float, bias: bool) -> list[nn.Module]:
    """Layers that lead from `widths[0]` through each further width: linear, activation and, if asked for, dropout.

    Activations work in place, which spares one write of the layer's output; the linear layer before does not need
    its own output for the gradient.
    """
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        if kind == "snn":
            modules += [linear_layer(inputs, outputs, "selu", bias=bias), nn.SELU(inplace=True)]
        else:
            modules += [linear_layer(inputs, outputs, "relu", bias=bias), nn.ReLU(inplace=True)]
        if dropout > 0:
            modules.append(Dropout(dropout, floor=SELU_FLOOR if kind == "snn" else 0.0))
    return modules


def output_layers(inputs: int, channels: int, output: OutputActivation) -> list[nn.Module]:
    """The linear layer that makes a spectrum, and the activation that sets its range."""
    modules: list[nn.Module] = [linear_layer(inputs, channels, "linear")]
    if output == "sigmoid":
        modules.append(nn.Sigmoid())
    elif output == "softplus":
        modules.append(nn.Softplus())
    return modules


class Latent(NamedTuple):
    """What an encoder says about each spectrum."""

    mean_NL: Tensor
    """Latent points (N, L); of a variational network, the mean of each spectrum's distribution."""

    log_variance_NL: Tensor | None
    """Logarithm of the variance (N, L) of a variational network, else None."""


class Autoencoder(nn.Module):
    """Encoder and decoder of a fixed number of channels.

    The encoder is the hidden layers, of which the last feeds a tanh (unless `latent_activation` is `none`), then one
    linear layer to the latent space. The decoder is hidden layers, a linear layer to the channels and the output
    activation.

    Args:
        channels: number of channels C of a spectrum, after preprocessing.
        config: widths and layers; `config.variational` is not looked at here, see `build_network`.

    Raises:
        UserError: `channels` is below 1, or the width rule finds no layer that fits.
    """

    def __init__(self, channels: int, config: NetworkConfig) -> None:
        super().__init__()
        if channels < 1:
            raise UserError(f"a network needs at least 1 channel; got {channels}")
        self.channels = channels
        self.members = 1
        self.variational = False
        self.latent = config.latent
        encoder, decoder = config.hidden_widths(channels)
        widths = [channels, *encoder]
        if config.latent_activation == "tanh":
            layers = hidden_layers(widths[:-1], config.kind, dropout=config.dropout, bias=config.bias)
            layers += [linear_layer(widths[-2], widths[-1], "tanh"), nn.Tanh()]
        else:
            layers = hidden_layers(widths, config.kind, dropout=config.dropout, bias=config.bias)
        self.encoder = nn.Sequential(*layers)
        self.mean = linear_layer(widths[-1], config.latent, "linear")
        widths = [config.latent, *decoder]
        self.decoder = nn.Sequential(
            *hidden_layers(widths, config.kind, dropout=config.dropout, bias=config.bias),
            *output_layers(widths[-1], channels, config.output),
        )

    def encode(self, x_NC: Tensor) -> Latent:
        """Latent points of preprocessed spectra `x_NC`, float (N, C)."""
        return Latent(self.mean(self.encoder(x_NC)), None)

    def decode(self, z_NL: Tensor) -> Tensor:
        """Spectra (N, C), preprocessed scale, of latent points `z_NL`, float (N, L)."""
        x_NC: Tensor = self.decoder(z_NL)
        return x_NC

    def reconstructions(self, z_NL: Tensor) -> Tensor:
        """What is held against the spectra in training: `decode`, and of an ensemble each member's own."""
        return self.decode(z_NL)

    def forward(self, x_NC: Tensor) -> Tensor:
        """Reconstruction (N, C) of preprocessed spectra `x_NC`, without sampling."""
        return self.decode(self.encode(x_NC).mean_NL)


# Standard deviations of 0.0009 to 20, where the prior has 1: nothing that a spectrum could need lies beyond, and
# neither end overflows when exponentiated, in half precision either.
LOG_VARIANCE_RANGE = (-14.0, 6.0)


class VariationalAutoencoder(Autoencoder):
    """An autoencoder whose encoder also gives a log-variance, from a second linear layer on the same hidden vector.

    Args:
        channels: number of channels C of a spectrum, after preprocessing.
        config: widths and layers.
    """

    def __init__(self, channels: int, config: NetworkConfig) -> None:
        super().__init__(channels, config)
        self.variational = True
        self.log_variance = linear_layer(self.mean.in_features, config.latent, "linear")

    def encode(self, x_NC: Tensor) -> Latent:
        """Mean and log-variance, both (N, L), of preprocessed spectra `x_NC`; the log-variance is within -14..6."""
        hidden = self.encoder(x_NC)
        return Latent(self.mean(hidden), self.log_variance(hidden).clamp(*LOG_VARIANCE_RANGE))

    def reparameterise(self, latent: Latent, generator: torch.Generator | None = None) -> Tensor:
        """One point (N, L) from each spectrum's Gaussian: z = mean + sigma * eps, eps ~ N(0, 1).

        It samples in evaluation mode too: where no noise is wanted, use `latent.mean_NL`.

        Args:
            latent: what `encode` returned.
            generator: source of the noise, on any device; torch's default of the latent's device if None.

        Raises:
            ValueError: the latent has no log-variance, so it comes from a plain autoencoder.
        """
        return reparameterise(latent, generator)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Generate `n` spectra (n, C), preprocessed scale, from the prior N(0, 1) of the latent space.

        Dropout acts as in `decode`: call `eval()` first on a network that has it.

        Args:
            n: how many, at least 1.
            generator: source of the noise, on any device; torch's default of the network's device if None.

        Raises:
            ValueError: `n` is below 1.
        """
        return self.decode(from_prior(n, self.latent, self.mean.weight, generator))


def reparameterise(latent: Latent, generator: torch.Generator | None = None) -> Tensor:
    """One point (N, L) from each spectrum's Gaussian; see `VariationalAutoencoder.reparameterise`."""
    if latent.log_variance_NL is None:
        raise ValueError("reparameterise needs a log-variance; this latent comes from a plain autoencoder")
    noise = _normal(latent.mean_NL.shape, latent.mean_NL, generator)
    return latent.mean_NL + torch.exp(0.5 * latent.log_variance_NL) * noise


def from_prior(n: int, latent: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws (n, L) from N(0, 1), of the type and on the device of a tensor; see `VariationalAutoencoder.sample`."""
    if n < 1:
        raise ValueError(f"sample needs n >= 1; got {n}")
    return _normal((n, latent), like, generator)


def _normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    # A generator draws on its own device only; drawing there and moving gives the same numbers on every machine.
    device = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device, dtype=like.dtype).to(like.device)
