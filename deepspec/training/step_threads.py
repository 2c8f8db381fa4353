"""Steps of a small network run in one thread: sharing each of their operations out costs more than it saves."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from lightning.pytorch import Callback

from deepspec.threads import one_thread_per_operation

if TYPE_CHECKING:
    import lightning
    import torch
    from lightning import LightningModule

SMALL_STEP = 2e8
"""Floating-point operations of a step. Measured on two processors: below it two threads take 1.2 to 2.2 times as long
as one; far above it they are level beside other work, and win on idle processors."""


class StepThreads(Callback):
    """One thread of torch for the steps of an epoch, where they are small and on the CPU.

    Validation, and the clustering at the end of an epoch, have all threads again.
    """

    def __init__(self) -> None:
        self._one = ExitStack()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: LightningModule) -> None:
        """Go down to one thread."""
        rows: int = trainer.datamodule.train_batch_size  # type: ignore[attr-defined]
        if pl_module.device.type == "cpu" and operations(pl_module, rows) < SMALL_STEP:
            self._one.enter_context(one_thread_per_operation())

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: LightningModule) -> None:
        """Restore the threads: validation may come before the end of the epoch."""
        self._one.close()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: LightningModule) -> None:
        """Restore the threads."""
        self._one.close()

    def on_exception(self, trainer: lightning.Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the threads: the process may be a notebook's."""
        self._one.close()


def operations(module: torch.nn.Module, rows: int) -> float:
    """Of a step: every weight is multiplied and added once forwards and twice backwards, for every row."""
    return 6.0 * rows * sum(parameter.numel() for parameter in module.parameters())
