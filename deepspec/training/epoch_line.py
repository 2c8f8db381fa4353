"""How a training tells how far it has come: one line of progress on a terminal, some lines in a file."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import Callback

from deepspec.notes import note
from deepspec.training.clustering_callback import IKMeansCallback
from deepspec.training.loss_terms import CLUSTERING, SILHOUETTE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import lightning
    from rich.progress import Progress

    from deepspec.training.spectral_module import SpectralModule


TITLES = {SILHOUETTE: "silhouette loss of batches"}
"""Of terms whose names alone could be mistaken; the others go by their names."""

CLUSTERS = {"K": "ikmeans/k", "silhouette of the sample": "ikmeans/silhouette"}

QUIET_SECONDS = 30.0
"""Into a file a line is written at the end of an epoch if there was none for so long, whatever the epoch."""

LINES = 20
"""About how many epochs of a run get a line in a file; metrics.csv has a row for each."""

REFRESH_SECONDS = 0.2
"""The line on a terminal is drawn anew after this time at the earliest."""


class EpochLine(Callback):
    """Tells the losses of epochs, on rank 0.

    Into a file goes a line for every epoch of up to 20, and of more about 20 lines, the first and the last epoch among
    them; but none is silent for more than half a minute after an epoch has ended. On a terminal the latest epoch stands
    in one line, with the steps of the running one, and stays there at the end.

    Args:
        say: gets the lines.
        live: whether to draw one line anew, which only a terminal can.
    """

    def __init__(self, say: Callable[[str], None] = note, *, live: bool = False) -> None:
        self._say, self._live = say, live
        self._progress: Progress | None = None
        self._line, self._printed = "", True
        self._first = -1
        self._started = self._drawn = 0.0
        self._said = time.perf_counter()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the time: a run that goes on where its steps had ended begins in an epoch, without its start."""
        self._started = time.perf_counter()
        self._line, self._printed, self._first = "", True, trainer.current_epoch
        self._said = self._started
        if self._live and trainer.is_global_zero:
            self._progress = _one_line(trainer)
            self._progress.start()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the time."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Draw the line anew."""
        if self._progress is not None and time.perf_counter() - self._drawn > REFRESH_SECONDS:
            self._draw(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: SpectralModule) -> None:  # type: ignore[override]
        """Print the line, if this epoch gets one."""
        if not trainer.is_global_zero:
            return
        self._line = self._told(trainer, pl_module)
        epoch, every = trainer.current_epoch, lines_every(_epochs(trainer))
        due = epoch == self._first or (epoch + 1) % every == 0 or time.perf_counter() - self._said > QUIET_SECONDS
        self._printed = self._progress is None and due
        if self._printed:
            self._said = time.perf_counter()
            self._say(self._line)
        elif self._progress is not None:
            self._draw(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave the line of the last epoch."""
        self._stop()
        if not self._printed:
            self._say(self._line)
            self._printed = True

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal to what is printed about the error."""
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _draw(self, trainer: lightning.Trainer) -> None:
        assert self._progress is not None
        self._drawn = time.perf_counter()
        text = self._line or f"epoch {trainer.current_epoch + 1}{_of(trainer)}"
        self._progress.update(self._progress.task_ids[0], completed=trainer.global_step, text=text)
        self._progress.refresh()

    def _told(self, trainer: lightning.Trainer, pl_module: SpectralModule) -> str:
        """The losses of an epoch in a line."""
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
        return f"{'  '.join(parts)}  {time.perf_counter() - self._started:.1f} s"


def lines_every(epochs: int | None) -> int:
    """Every how many epochs a line is printed.

    Args:
        epochs: of the run; None if it has no end.

    >>> lines_every(20), lines_every(21), lines_every(80), lines_every(None)
    (1, 2, 4, 1)
    """
    return 1 if epochs is None else max(1, math.ceil(epochs / LINES))


def _one_line(trainer: lightning.Trainer) -> Progress:
    from rich.progress import Progress, TextColumn

    steps = trainer.estimated_stepping_batches
    # Without a thread that draws: it would go on in the middle of a fork.
    columns = TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[text]}", markup=False)
    progress = Progress(*columns, transient=True, auto_refresh=False)
    total = None if math.isinf(steps) else int(steps)
    progress.add_task("", total=total, completed=trainer.global_step, text="")
    return progress


def _epochs(trainer: lightning.Trainer) -> int | None:
    """How many epochs the run has, by what ends it first; None if nothing does."""
    ends = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        ends.append(trainer.max_epochs)
    steps = trainer.num_training_batches / trainer.accumulate_grad_batches
    if trainer.max_steps >= 0 and 0 < steps < math.inf:
        ends.append(math.ceil(trainer.max_steps / math.ceil(steps)))
    return min(ends, default=None)


def _of(trainer: lightning.Trainer) -> str:
    """How far the run has come, by what ends it: epochs, or steps where no number of epochs does."""
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        return f"/{trainer.max_epochs}"
    return f", step {trainer.global_step}/{trainer.max_steps}" if trainer.max_steps >= 0 else ""
