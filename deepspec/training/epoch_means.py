"""Means over an epoch of what every step computes, without a call into Lightning's logger for each number of each step.

Lightning's `log` costs as much as a hundred small tensor operations; with seven numbers a step that was a tenth of
the training time of a small network on a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

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
