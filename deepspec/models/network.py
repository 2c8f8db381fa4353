"""From a configuration to the network it describes.

`EnsembleAutoencoder` is several autoencoders of one shape, trained side by side as one network.

Shapes: N spectra, C channels, L latent dimensions of a member, S members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepspec.models.autoencoder import Autoencoder, Latent, VariationalAutoencoder
from deepspec.models.outside import OutsideNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.models.config import NetworkConfig


class StackedLinear(nn.Module):
    """The linear layers of all members as one batched product.

    Args:
        layers: one for each member, of one shape.

    Attributes:
        weight: (S, outputs, inputs).
        bias: (S, 1, outputs), or None.
    """

    bias: nn.Parameter | None

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases)[:, None]) if biases else None

    def forward(self, x_SNI: Tensor) -> Tensor:
        """From (S, N, inputs) to (S, N, outputs)."""
        weight_SIO = self.weight.transpose(1, 2)
        return torch.bmm(x_SNI, weight_SIO) if self.bias is None else torch.baddbmm(self.bias, x_SNI, weight_SIO)

    def extra_repr(self) -> str:
        """Its shape."""
        members, outputs, inputs = self.weight.shape
        return f"members={members}, in_features={inputs}, out_features={outputs}, bias={self.bias is not None}"


class EnsembleAutoencoder(nn.Module):
    """S plain autoencoders that differ by their initial weights and, with dropout, by their masks.

    The latent point of a spectrum is that of the members one after another, and what is decoded is the mean of their
    reconstructions. Under the mean of the members' own losses a member gets the gradient that it would get alone, over
    S.

    Args:
        channels: number of channels C of a spectrum, after preprocessing.
        config: widths and layers of each member, and how many there are. Members are drawn one after another from
            torch's default generator, the first as it would be alone.

    Raises:
        UserError: see `Autoencoder`.
    """

    def __init__(self, channels: int, config: NetworkConfig) -> None:
        super().__init__()
        members = [Autoencoder(channels, config) for _ in range(config.ensemble)]
        self.channels = channels
        self.members = len(members)
        self.variational = False
        self.latent = self.members * config.latent
        """All latent dimensions, S x L."""
        self.encoder = _stacked([member.encoder for member in members])
        self.mean = StackedLinear([member.mean for member in members])
        self.decoder = _stacked([member.decoder for member in members])

    def encode(self, x_NC: Tensor) -> Latent:
        """Latent points (N, S L) of preprocessed spectra `x_NC`, float (N, C)."""
        mean_SNL = self.mean(self.encoder(x_NC.expand(self.members, -1, -1)))
        return Latent(mean_SNL.transpose(0, 1).reshape(len(x_NC), self.latent), None)

    def reconstructions(self, z_NL: Tensor) -> Tensor:
        """Spectra (S, N, C) that each member makes of its own part of latent points (N, S L)."""
        x_SNC: Tensor = self.decoder(z_NL.reshape(len(z_NL), self.members, -1).transpose(0, 1))
        return x_SNC

    def decode(self, z_NL: Tensor) -> Tensor:
        """Spectra (N, C), preprocessed scale: the mean of the members' reconstructions."""
        return self.reconstructions(z_NL).mean(0)

    def forward(self, x_NC: Tensor) -> Tensor:
        """Reconstruction (N, C) of preprocessed spectra `x_NC`."""
        return self.decode(self.encode(x_NC).mean_NL)


def _stacked(members: Sequence[nn.Sequential]) -> nn.Sequential:
    """Layers of the same kind joined; what has no weights acts on all members at once as it is."""
    joined: list[nn.Module] = []
    for layers in zip(*members, strict=True):
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        joined.append(StackedLinear(linear) if linear else layers[0])
    return nn.Sequential(*joined)


Network = Autoencoder | EnsembleAutoencoder | OutsideNetwork
"""All kinds; a variational autoencoder is an `Autoencoder`."""


def build_network(channels: int, config: NetworkConfig) -> Network:
    """The network of `config` for spectra of `channels` channels, freshly initialised from torch's default generator.

    Args:
        channels: number of channels of a spectrum, after preprocessing.
        config: widths, layers, whether the network is variational, and how many are trained side by side; or the class
            of another package.

    Raises:
        UserError: see `Autoencoder` and `OutsideNetwork`.
    """
    if config.class_path is not None:
        return OutsideNetwork(channels, config)
    if config.variational:
        return VariationalAutoencoder(channels, config)
    return Autoencoder(channels, config) if config.ensemble == 1 else EnsembleAutoencoder(channels, config)
