"""BaselineModel: what `segment_cube` asks of a model, around an embedding that is no network.

Shapes: N spectra, C raw channels, D preprocessed channels, E after that is undone, L latent dimensions.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepspec.clustering import Clusters

if TYPE_CHECKING:
    from deepspec.axis import SpectralAxis
    from deepspec.models.autoencoder import Latent
    from deepspec.preprocess import Preprocess


class Embedding(nn.Module):
    """Preprocessed spectra to latent points and back."""

    @property
    @abstractmethod
    def latent(self) -> int:
        """Number of latent dimensions L."""

    @abstractmethod
    def encode(self, x_NC: Tensor) -> Latent:
        """Latent points of preprocessed spectra; called in several threads at once."""

    @abstractmethod
    def decode(self, z_NL: Tensor) -> Tensor:
        """Preprocessed spectra (N, D) of latent points."""


class BaselineModel(nn.Module):
    """An embedding with its preprocessing and axis.

    Args:
        axis: positions of the C raw channels.
        preprocess: fitted; raw spectra to what the embedding sees.
        network: the embedding.
    """

    def __init__(self, axis: SpectralAxis, preprocess: Preprocess, network: Embedding) -> None:
        super().__init__()
        self.axis = axis
        self.preprocess = preprocess
        self.network = network
        self.clusters = Clusters(network.latent, 1)  # none are set: they are found in each cube
        self.eval()

    @torch.no_grad()
    def decode(self, z_NL: Tensor) -> Tensor:
        """Spectra (N, E) of latent points, of the quantity `preprocess.invertible_to`."""
        return self.preprocess.inverse(self.network.decode(z_NL).float())
