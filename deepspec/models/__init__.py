"""Networks as plain `nn.Module`s that know nothing of training."""

from deepspec.models.autoencoder import Autoencoder, Latent, VariationalAutoencoder
from deepspec.models.config import NetworkConfig, encoder_widths
from deepspec.models.network import EnsembleAutoencoder, Network, build_network
from deepspec.models.outside import OutsideNetwork, networks
from deepspec.models.spectral_model import SpectralModel

__all__ = [
    "Autoencoder",
    "EnsembleAutoencoder",
    "Latent",
    "Network",
    "NetworkConfig",
    "OutsideNetwork",
    "SpectralModel",
    "VariationalAutoencoder",
    "build_network",
    "encoder_widths",
    "networks",
]
