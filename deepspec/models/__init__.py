"""Networks as plain `nn.Module`s that know nothing of training."""

from deepspec.models.autoencoder import Autoencoder, Latent
from deepspec.models.config import NetworkConfig
from deepspec.models.ensemble import EnsembleAutoencoder
from deepspec.models.network import build_network
from deepspec.models.spectral_model import SpectralModel
from deepspec.models.variational import VariationalAutoencoder
from deepspec.models.widths import encoder_widths

__all__ = [
    "Autoencoder",
    "EnsembleAutoencoder",
    "Latent",
    "NetworkConfig",
    "SpectralModel",
    "VariationalAutoencoder",
    "build_network",
    "encoder_widths",
]
