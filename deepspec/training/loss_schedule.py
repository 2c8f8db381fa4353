"""Moves the weights of the loss from epoch to epoch: beta(i) and gamma(i) of equation 6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import Callback

from deepspec.schedules import Schedule
from deepspec.training.objective import Weights

if TYPE_CHECKING:
    import lightning

    from deepspec.training.module import DeepClustering


class LossSchedule(Callback):
    """Sets beta and gamma at the start of every epoch, and logs them.

    A function of the epoch alone, so there is nothing to save: a resumed run finds the weights it left.

    Args:
        beta: weight of the MMD.
        gamma: weight of the silhouette loss.
    """

    def __init__(
        self,
        beta: Schedule = Schedule("constant", 0.0),  # noqa: B008  frozen
        gamma: Schedule = Schedule("constant", 0.01),  # noqa: B008  frozen
    ) -> None:
        self.beta, self.gamma = beta, gamma

    def setup(self, trainer: lightning.Trainer, pl_module: DeepClustering, stage: str) -> None:  # type: ignore[override]
        """Tell the model where the weights will end, which its target is put together with."""
        pl_module.final_weights = Weights(self.beta.final, self.gamma.final)
        self._set(pl_module)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: DeepClustering) -> None:  # type: ignore[override]
        """Set the weights of this epoch."""
        self._set(pl_module)
        pl_module.log_dict(
            {"beta": pl_module.weights.beta, "gamma": pl_module.weights.gamma}, on_step=False, on_epoch=True
        )

    def _set(self, model: DeepClustering) -> None:
        epoch = model.current_epoch
        model.weights = Weights(self.beta(epoch), self.gamma(epoch))
