"""metrics.csv: every logged number of a run, one row per epoch. The source of truth on a run.

`EpochMeans` averages over an epoch what every step computes, without a call into Lightning's logger for each number of
each step: that costs as much as a hundred small tensor operations, and with seven numbers a step it was a tenth of the
training time of a small network on a CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from deepspec.files import write_csv
from deepspec.runs.folder import read_cells
from deepspec.training.ranks import joint_names

if TYPE_CHECKING:
    import lightning
    from torch import Tensor


class EpochMeans:
    """Weighted sums by name; a step that lacks a name does not count for it."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], Tensor] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._sums.clear()

    def add(self, numbers: dict[str, Tensor], weight: int) -> None:
        """Add a step's numbers, scalars on one device, with the number of spectra they are a mean of."""
        names = tuple(numbers)
        step = torch.stack([*(number.float() for number in numbers.values()), numbers[names[0]].new_ones(())]) * weight
        self._sums[names] = self._sums[names].add_(step) if names in self._sums else step

    def values(self, prefix: str, trainer: lightning.Trainer) -> dict[str, Tensor]:
        """The means over all steps of all ranks, one of which may have had none; keys get the prefix."""
        totals: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for names in joint_names(self._sums):
            # A rank that never had these takes part in the sum all the same: the others wait for it.
            sums = self._sums[names] if names in self._sums else self._nothing(names, trainer)
            reduced = trainer.strategy.reduce(sums, reduce_op="sum")
            assert isinstance(reduced, torch.Tensor)
            for name, total in zip(names, reduced[:-1], strict=True):
                totals[name] = totals.get(name, 0) + total
                weights[name] = weights.get(name, 0) + reduced[-1]
        return {prefix + name: totals[name] / weights[name] for name in totals}

    @staticmethod
    def _nothing(names: tuple[str, ...], trainer: lightning.Trainer) -> Tensor:
        return torch.zeros(len(names) + 1, device=trainer.strategy.root_device)


class EpochLog(Logger):
    """Gathers what an epoch logs into one row, and goes on where an earlier part of the same run ended.

    Lightning's own CSVLogger deletes the file when a run is resumed, and spreads an epoch over several rows.

    Args:
        path: the file, rewritten under a temporary name at the end of every epoch.
        resume_at: rows of earlier epochs are kept, those of this epoch and later are dropped; 0 starts afresh.
    """

    def __init__(self, path: Path, resume_at: int = 0) -> None:
        super().__init__()
        self._trainer: lightning.Trainer | None = None
        self._path = path
        self._rows: dict[int, dict[str, Any]] = {}
        if resume_at and path.is_file():
            rows = {int(row["epoch"]): {k: v for k, v in row.items() if v} for row in read_cells(path)}
            self._rows = {epoch: row for epoch, row in rows.items() if epoch < resume_at}

    def follow(self, trainer: lightning.Trainer) -> None:
        """Ask a trainer for the epoch of what is logged without one, as callbacks such as LearningRateMonitor do."""
        self._trainer = trainer

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What has been logged so far, a row per epoch; those of an earlier part of the run are texts."""
        return [row for _, row in sorted(self._rows.items())]

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self._path.parent.name

    @property
    def version(self) -> str:
        """None: a run folder holds one run."""
        return ""

    @property
    def log_dir(self) -> str:
        """The run's folder."""
        return str(self._path.parent)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them all."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add numbers to the row of their epoch, or of the one that is being trained if they name none."""
        epoch = int(metrics["epoch"]) if "epoch" in metrics else self._epoch_now()
        row = self._rows.setdefault(epoch, {"epoch": epoch})
        row.update({name: value for name, value in metrics.items() if name != "epoch"}, step=step)

    def _epoch_now(self) -> int:
        """The epoch that is being trained; after the training the last, for there is no row after it."""
        if self._trainer is not None and (self._trainer.training or self._trainer.validating):
            return int(self._trainer.current_epoch)
        return max(self._rows, default=0)

    @rank_zero_only
    def save(self) -> None:
        """Write the file."""
        columns = sorted({name for row in self._rows.values() for name in row} - {"epoch", "step"})
        write_csv(self._path, ["epoch", "step", *columns], self.rows, durable=True)

    @rank_zero_only
    def complete(self, metrics: dict[str, float], step: int) -> None:
        """Add what an epoch has logged but not sent yet, and write the file, before a checkpoint says it is done."""
        self.log_metrics(metrics, step)
        self.save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what the last epoch logged."""
        if self._rows:
            self.save()
