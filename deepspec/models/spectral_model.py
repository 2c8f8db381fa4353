"""SpectralModel: axis, preprocessing, network and clusters together, as a checkpoint holds them.

What training adds is in `deepspec.training.module`; using a model needs none of it, nor the seconds that importing
Lightning takes.

Shapes: N spectra, C raw channels, E channels after the preprocessing is undone, L latent dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deepspec.clustering import ClustererConfig, Clusters
from deepspec.data.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.models.checkpoint import (
    FORMAT,
    TRAINING_ONLY,
    parts_of,
    read_checkpoint,
    trained_clusterer,
    trained_range,
)
from deepspec.models.config import NetworkConfig
from deepspec.models.network import build_network
from deepspec.models.variational import VariationalAutoencoder
from deepspec.preprocess import Preprocess

if TYPE_CHECKING:
    from pathlib import Path


class SpectralModel(nn.Module):
    """A (variational) autoencoder of raw spectra with the clusters of its latent space.

    Args:
        axis: calibration of the raw channels, as `SpectralAxis.to_dict` gives it.
        network: shape of encoder and decoder.
        preprocess: steps from raw spectra to the network's input, in order (see `deepspec.preprocess`).
        max_clusters: the most clusters that there is room for.
        training_spectra: how many there are, which bounds the widths of the network; None: the widths are as given.

    Attributes:
        network_config: shape of the network as it was built.
    """

    def __init__(
        self,
        axis: dict[str, Any],
        network: NetworkConfig,
        preprocess: list[str | dict[str, Any]],
        max_clusters: int,
        training_spectra: int | None = None,
    ) -> None:
        super().__init__()
        self.axis = SpectralAxis.from_dict(axis)
        self.preprocess = Preprocess(self.axis.channels, preprocess)
        channels = self.preprocess.channels_out
        self.network_config = network if training_spectra is None else network.sized_for(channels, training_spectra)
        self.network = build_network(channels, self.network_config)
        self.clusters = Clusters(network.latent, max_clusters)
        self.k_range: tuple[int, int] | None = None
        """Fewest and most clusters that the training looked for, where it is known."""
        self.clusterer: ClustererConfig | None = None
        """What divided its latents, likewise."""

    @classmethod
    def load(cls, path: str | Path) -> SpectralModel:
        """The model of a checkpoint, on the CPU, ready to encode.

        Args:
            path: a checkpoint that `fit` wrote. Only plain types and tensors are read, no code.

        Raises:
            UserError: the file is missing, no checkpoint, or not one of deepspec.
        """
        content = read_checkpoint(path)
        with parts_of(path):
            settings = content[FORMAT]["settings"]
            network = NetworkConfig(**settings["network"])
            model = SpectralModel(settings["axis"], network, settings["preprocess"], settings["max_clusters"])
            model.k_range, model.clusterer = trained_range(content), trained_clusterer(content)
            weights = content["state_dict"]
            model.load_state_dict({name: weights[name] for name in weights if not name.startswith(TRAINING_ONLY)})
        return model.eval()

    @torch.no_grad()
    def encode(self, x_NC: Tensor) -> Tensor:
        """Latent points of raw spectra.

        Args:
            x_NC: (N, C) raw spectra of any real dtype on the model's device, channels as in `axis`.

        Returns:
            (N, L) float32; for a variational network the means. Call `eval()` first on a model that was training.
        """
        return self.network.encode(self.preprocess(x_NC)).mean_NL.float()

    @torch.no_grad()
    def decode(self, z_NL: Tensor) -> Tensor:
        """Spectra of latent points, with the preprocessing undone as far as it can be.

        Returns:
            (N, E) float32, of the quantity `preprocess.invertible_to`, on the channels of `decoded_axis`.
        """
        return self.preprocess.inverse(self.network.decode(z_NL).float())

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, E) new spectra from the prior; a variational model's only.

        Raises:
            UserError: the network is a plain autoencoder.
        """
        if not isinstance(self.network, VariationalAutoencoder):
            raise UserError("only a variational network can generate spectra: fit with model.network.variational true")
        return self.preprocess.inverse(self.network.sample(n, generator))

    @property
    def decoded_axis(self) -> SpectralAxis:
        """Positions of the channels of `decode`."""
        return self.preprocess.decoded_axis(self.axis)
