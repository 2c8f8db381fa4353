"""Checkpoints that a kill or a full disk leaves as they were, and that never say more than metrics.csv does."""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loops.loop import _Loop

from deepspec.files import complete_or_absent

if TYPE_CHECKING:
    import lightning

    from deepspec.training.epoch_log import EpochLog


class DurableCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, waits for the disk, and only then gives it its name.

    Lightning writes into the folder of temporary files and moves the result. Where that is on another file system,
    moving is copying over the last good checkpoint, which a kill or a full disk then leaves in part.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint; see Lightning."""
        assert storage_options is None
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        # Into memory first: of a disk that is full torch says what nobody understands, the system says it is full.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with complete_or_absent(place, durable=True) as part:
            part.write_bytes(content.getbuffer())


class NextEpoch(Callback):
    """A run that goes on where an epoch was complete goes on with the next one, also where steps end it.

    With `max_epochs` Lightning does so. With `max_steps` it goes through the end of the last epoch once more, without
    its batches: its row in metrics.csv is written anew, and what follows is not what a run without a break would do.
    """

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Count the last epoch as done; the loops have taken their places by now."""
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end:
            loop.epoch_progress.increment_completed()
            loop.reset_restart_stage()
            _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]  # the loop's own setter says it restarts


_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class KeptEpoch(ModelCheckpoint):
    """Keeps one checkpoint, of the epoch with the least value of a metric, or of the latest.

    Before it is saved the row of its epoch is completed in metrics.csv, which Lightning would do after: a run that is
    killed between the two goes on with the next epoch, and nobody would ever fill that row in.

    Args:
        log: of the run.
        folder: for the checkpoint.
        name: of its file, without extension.
        monitor: the metric; None keeps the latest epoch.
    """

    def __init__(self, log: EpochLog, folder: Path, name: str, monitor: str | None) -> None:
        super().__init__(
            folder, filename=name, monitor=monitor, enable_version_counter=False, save_on_train_epoch_end=True
        )
        self._log = log

    @cached_property
    def state_key(self) -> str:
        """That of Lightning's class, by which checkpoints of earlier versions know it.

        Lightning asks for it at every hook of every step.
        """
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the state, also where the run's folder was moved.

        Lightning would forget the best value there, and the first epoch that follows would replace best.ckpt.
        """
        here = str(self.dirpath)

        def moved(path: str) -> str:
            return str(Path(here) / Path(path).name) if path else path

        paths = {name: moved(state_dict[name]) for name in _PATHS if name in state_dict}
        best = {moved(path): value for path, value in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": here})

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Complete the row, then save."""
        # What the epoch has logged so far; every rank asks, because the ranks may have to be averaged over.
        metrics = trainer._logger_connector.metrics["log"]
        numbers = {name: float(value) for name, value in metrics.items()}
        self._log.complete({**numbers, "epoch": trainer.current_epoch}, trainer.global_step - 1)
        super().on_train_epoch_end(trainer, pl_module)
