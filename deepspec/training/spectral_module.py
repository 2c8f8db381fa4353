"""What the callbacks of a training know of the model that trains: a SpectralModel as a LightningModule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning

from deepspec.models import SpectralModel
from deepspec.training.loss_terms import Weights

if TYPE_CHECKING:
    from deepspec.models import NetworkConfig
    from deepspec.schedules import Schedule


class SpectralModule(SpectralModel, lightning.LightningModule):
    """A model that trains; see `DeepClustering` for the loss and the steps.

    Args:
        axis: as of `SpectralModel`, as are the others.
        network: likewise.
        preprocess: likewise.
        max_clusters: likewise.
        training_spectra: likewise.
    """

    def __init__(
        self,
        axis: dict[str, Any],
        network: NetworkConfig,
        preprocess: list[str | dict[str, Any]],
        max_clusters: int,
        training_spectra: int | None = None,
    ) -> None:
        super().__init__(axis, network, preprocess, max_clusters, training_spectra)
        self.run_config = ""
        """The resolved configuration of the run as YAML, kept in the checkpoint."""
        self.described: dict[str, Any] = {}
        """What the callbacks are set to, which is kept where no configuration says it."""
        self.seed = 0
        """Of all random choices in training: dropout, latent draws, prior, K-means seeds."""
        self.schedules: dict[str, Schedule] = {}
        """Of the weights, by their keys under `loss_schedule`; the callback LossSchedule sets them."""
        self.weights = self.final_weights = Weights()
        """Of the terms of the loss: in this epoch, and when the schedules are done."""
