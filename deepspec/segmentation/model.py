"""What segmenting needs of a model, and where to compute.

`SpectralModel` has what `SegmentationModel` asks for, and so have `DeepClustering` and the baselines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch

from deepspec.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.axis import SpectralAxis
    from deepspec.clustering import Clusters
    from deepspec.models.autoencoder import Latent
    from deepspec.preprocess import Preprocess


def choose_device(name: str) -> str:
    """A device that works.

    Args:
        name: as torch names it, or `auto`: cuda where there is one, else cpu.

    Raises:
        UserError: it cannot be used.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device '{name}' cannot be used ({str(error).splitlines()[0]}); try --device cpu") from error
    return name


class Encoder(Protocol):
    """A network that encodes preprocessed spectra."""

    def encode(self, x_NC: Tensor) -> Latent:
        """Latent points of preprocessed spectra."""


class SegmentationModel(Protocol):
    """A model on some device; a `torch.nn.Module` has the last four.

    It may have a `k_range` and a `clusterer`, those of its training, and be `ready`, see `SpectralModel`.
    """

    @property
    def axis(self) -> SpectralAxis:
        """Positions of the raw channels."""

    @property
    def preprocess(self) -> Preprocess:
        """Raw spectra to what the network sees."""

    @property
    def network(self) -> Encoder:
        """The network whose latents are clustered."""

    @property
    def clusters(self) -> Clusters:
        """The clusters of the training; their count is 0 if there are none."""

    def decode(self, z_NL: Tensor) -> Tensor:
        """Spectra of latent points, of the quantity `preprocess.invertible_to`."""

    @property
    def training(self) -> bool:
        """Whether dropout and the like are on."""

    def train(self, mode: bool = True) -> Any:
        """Turn them on or off."""

    def eval(self) -> Any:
        """Turn them off."""

    def to(self, device: torch.device, /) -> Any:
        """Move to a device."""
