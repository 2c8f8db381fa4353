"""From a configuration to the network it describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.models.autoencoder import Autoencoder
from deepspec.models.ensemble import EnsembleAutoencoder
from deepspec.models.variational import VariationalAutoencoder

if TYPE_CHECKING:
    from deepspec.models.config import NetworkConfig


def build_network(channels: int, config: NetworkConfig) -> Autoencoder | VariationalAutoencoder | EnsembleAutoencoder:
    """The network of `config` for spectra of `channels` channels, freshly initialised from torch's default generator.

    Args:
        channels: number of channels of a spectrum, after preprocessing.
        config: widths, layers, whether the network is variational, and how many are trained side by side.

    Raises:
        UserError: see `Autoencoder`.
    """
    if config.variational:
        return VariationalAutoencoder(channels, config)
    return Autoencoder(channels, config) if config.ensemble == 1 else EnsembleAutoencoder(channels, config)
