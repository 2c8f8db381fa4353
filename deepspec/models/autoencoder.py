"""The plain autoencoder (Bombini et al. 2024, section 2.1): spectrum -> latent point -> spectrum.

N spectra, C channels, L latent dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from deepspec.errors import UserError
from deepspec.models.layers import hidden_layers, linear_layer, output_layers

if TYPE_CHECKING:
    from deepspec.models.config import NetworkConfig


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
