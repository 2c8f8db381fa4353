"""One line per epoch, which also reads well in a log file."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import Callback

from deepspec.training.clustering_callback import IKMeansCallback
from deepspec.training.loss_terms import CLUSTERING, SILHOUETTE

if TYPE_CHECKING:
    import lightning

    from deepspec.training.spectral_module import SpectralModule


TITLES = {SILHOUETTE: "silhouette loss of batches"}
"""Of terms whose names alone could be mistaken; the others go by their names."""

CLUSTERS = {"K": "ikmeans/k", "silhouette of the sample": "ikmeans/silhouette"}


class EpochLine(Callback):
    """Prints the losses of every epoch, on rank 0."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the time: a run that goes on where its steps had ended begins in an epoch, without its start."""
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the time."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: SpectralModule) -> None:  # type: ignore[override]
        """Print the line."""
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        parts = [f"epoch {trainer.current_epoch + 1}{_of(trainer)}"]
        # Metrics stay until they are logged again: the numbers of an earlier clustering are not this epoch's.
        clustered = any(
            isinstance(callback, IKMeansCallback) and callback.clustered_at == trainer.current_epoch
            for callback in trainer.callbacks  # type: ignore[attr-defined]
        )
        # What a few batches of a trial fall into is no finding.
        told = {
            TITLES.get(name, name): f"val/{name}" for name in [*pl_module.final_weights.terms, CLUSTERING, "target"]
        }
        if clustered and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            told |= CLUSTERS
        for title, key in told.items():
            found = metrics.get(key, metrics.get(key.replace("val/", "train/")))
            single = key == "ikmeans/silhouette" and found is not None and math.isnan(float(found))
            if found is not None and not single:  # one cluster has no silhouette
                parts.append(f"{title} {float(found):.4g}")
        print("  ".join(parts), f" {time.perf_counter() - self._started:.1f} s", flush=True)


def _of(trainer: lightning.Trainer) -> str:
    """How far the run has come, by what ends it: epochs, or steps where no number of epochs does."""
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        return f"/{trainer.max_epochs}"
    return f", step {trainer.global_step}/{trainer.max_steps}" if trainer.max_steps >= 0 else ""
