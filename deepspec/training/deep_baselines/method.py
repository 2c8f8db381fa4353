"""What DCN, IDEC and VaDE share: a first stage of plain autoencoder, then a clustering loss beside the reconstruction.

Shapes: N spectra of a batch, D preprocessed channels, L latent dimensions, K clusters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepspec.training.loss_terms import CLUSTERING

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepspec.models import Autoencoder, Latent
    from deepspec.training.deep_baselines.config import DeepBaselineConfig
    from deepspec.training.loss_terms import LossParts, OwnBatch


class DeepBaseline(nn.Module, ABC):
    """A clustering loss with its state, which exists from `begin` on.

    What all three do differently from their papers: the autoencoder is pretrained as a whole and not layer by layer as
    a stack of denoising ones; one ADAM goes through both stages, and its learning rate falls on a plateau of the second
    alone; the reconstruction is the mean squared error over channels, to which `config.weight` refers; the number of
    epochs ends training, and not the share of spectra that change their cluster.

    Args:
        config: of the method.
        latent: dimension L of the latent space.

    Attributes:
        begun: whether the clusters are there, so whether the clustering loss counts; kept in the checkpoint.
    """

    def __init__(self, config: DeepBaselineConfig, latent: int) -> None:
        super().__init__()
        self.config, self.latent = config, latent
        self.begun = False

    @abstractmethod
    def begin(self, z_NL: Tensor, seed: int) -> None:
        """Initialise the clusters.

        Args:
            z_NL: float32 latent points of a sample of the training split, more than K, on the CPU, finite.
            seed: of all random choices.
        """

    def adapt(self, network: Autoencoder) -> None:
        """Called once after `begin`, to fit the network to the clusters; nothing to do for most."""

    def refresh(self, network: Autoencoder, latents: Callable[[], Tensor]) -> None:
        """Called at the start of every epoch of the second stage; nothing to do for most.

        Args:
            network: as it is now.
            latents: computes the latent points of the sample, as `begin` gets them.
        """

    @abstractmethod
    def loss(self, x_ND: Tensor, latent: Latent, z_NL: Tensor) -> Tensor:
        """The clustering loss of a batch, a mean over its spectra, without `config.weight`.

        In training mode it may also move state that has no gradient.

        Args:
            x_ND: preprocessed spectra.
            latent: what the encoder says of them.
            z_NL: the latent points that are decoded: drawn, for a variational network.
        """

    def join(self, parts: LossParts, own: OwnBatch) -> LossParts:
        """Loss parts with the clustering loss of the batch, in total and target.

        In the first stage the target is infinite: it could not be compared with one that holds a clustering loss, and
        no epoch of the first stage shall be kept as the best. (An EarlyStopping on it wants `check_finite: false`.)

        Args:
            parts: without the clustering loss.
            own: the batch.
        """
        if not self.begun:
            total = parts.total + self._untouched(own.latent)
            return replace(parts, total=total, target=torch.full_like(parts.target, math.inf))
        clustering = self.loss(own.x_ND, own.latent, own.z_NL)
        weighted = self.scale(own.x_ND.shape[1]) * clustering
        return replace(
            parts,
            total=parts.total + weighted,
            target=parts.target + weighted.detach(),
            terms={**parts.terms, CLUSTERING: clustering},
        )

    def scale(self, channels: int) -> float:
        """What the clustering loss is multiplied by beside a mean squared error over so many channels D."""
        return self.config.weight

    def _untouched(self, latent: Latent) -> Tensor:
        """Zero, from all that the first stage has no use for: data parallel training waits for every gradient."""
        zero = torch.zeros((), device=latent.mean_NL.device)
        for parameter in self.parameters():
            zero = zero + 0 * parameter.sum()
        return zero if latent.log_variance_NL is None else zero + 0 * latent.log_variance_NL.sum()

    def get_extra_state(self) -> Tensor:
        """`begun`, for the checkpoint."""
        return torch.tensor(self.begun)

    def set_extra_state(self, state: Tensor) -> None:
        """Take back `begun`."""
        self.begun = bool(state)
