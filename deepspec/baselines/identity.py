"""The preprocessed spectra themselves: K-means on raw spectra, with whatever scaling the preprocessing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.baselines.model import Embedding
from deepspec.models.autoencoder import Latent

if TYPE_CHECKING:
    from torch import Tensor


class Identity(Embedding):
    """Latent points are what comes in.

    Args:
        channels: number of channels D.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._channels = channels

    @property
    def latent(self) -> int:
        """D."""
        return self._channels

    def encode(self, x_NC: Tensor) -> Latent:
        """The same."""
        return Latent(x_NC, None)

    def decode(self, z_NL: Tensor) -> Tensor:
        """The same."""
        return z_NL
