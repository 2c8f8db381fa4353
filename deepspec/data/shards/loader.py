"""SpectraLoader: whole batches of spectra for one process, the same number on every rank, resumable in mid-epoch.

Shapes: B rows of a batch, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepspec.data.shards.rows import RowSource, Window


Batch = dict[str, torch.Tensor]


class SpectraLoader:
    """Iterates over `batches` batches {"spectra": (B, C), "pixel": (B, 3) int32, "valid": (B,) bool}.

    With `targets` there is "target" too, (B, C): the spectra of the rows that the source's windows name as targets.

    Spectra keep the type of the shards. Batches lie on the device of the source: rows that are kept on an accelerator
    are gathered there. The order is a function of the seed of the source and of the epoch set by `set_epoch`;
    iterating twice without it gives the same batches twice.

    Args:
        source: the rows of this process.
        batches: how many batches to give, equal on all ranks.
        batch_size: rows B of each batch.
        filler: a spectrum (1, C) and its pixel (1, 3), of the types stored, that complete the batches after the last
            row of the source, marked `valid = False`.
        pin: whether to put batches into page-locked memory, from where a GPU copies them without waiting.
        targets: whether the windows name a target for each row. Such batches are never padded.
        plan: what else the order depends on, by name; kept in the state, so that a run cannot go on in mid-epoch
            with another order.
    """

    def __init__(
        self,
        source: RowSource,
        batches: int,
        batch_size: int,
        filler: tuple[torch.Tensor, torch.Tensor],
        *,
        pin: bool = False,
        targets: bool = False,
        plan: Mapping[str, int] | None = None,
    ) -> None:
        self._source, self._batches, self._batch_size, self._pin = source, batches, batch_size, pin
        self._spectrum, self._pixel = (part.to(source.device) for part in filler)
        self._shapes = {
            "spectra": ((batch_size, self._spectrum.shape[1]), self._spectrum.dtype),
            "pixel": ((batch_size, 3), self._pixel.dtype),
        }
        if targets:
            self._shapes["target"] = self._shapes["spectra"]
        self._plan = dict(plan or {})
        self._epoch = 0
        self._given = 0
        self._resume: Mapping[str, int] | None = None

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return self._batches

    @property
    def sampler(self) -> SpectraLoader:
        """Itself: Lightning calls `loader.sampler.set_epoch` when an epoch begins."""
        return self

    @property
    def batch_sampler(self) -> SpectraLoader:
        """Itself: Lightning looks here for a shuffling sampler and asks it for its `sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self._epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Epoch, batches given in it so far, and what the order depends on; the same on every rank."""
        return {"epoch": self._epoch, "batch": self._given, **self._plan}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration go on after the batch of `state`, if it is over the same epoch."""
        self._resume = state

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing below runs before the first batch is asked for. Lightning calls iter() before it
        # tells the epoch.
        self._given = self._first_batch()
        batch, filled = self._empty_batch(), 0
        for window in self._source.windows(self._epoch, self._given * self._batch_size):
            used, size = 0, window.order.shape[0]  # a tensor's len() takes longer than its shape
            while used < size and self._given < self._batches:
                count = min(self._batch_size - filled, size - used)
                _gather(window, used, batch, filled, count)
                used, filled = used + count, filled + count
                if filled == self._batch_size:
                    self._given += 1
                    yield batch
                    batch, filled = self._empty_batch(), 0
            if self._given == self._batches:
                return
        while self._given < self._batches:
            self._given += 1
            yield self._padded(batch, filled)
            batch, filled = self._empty_batch(), 0

    def _first_batch(self) -> int:
        state, self._resume = self._resume, None
        # A state saved after the last batch belongs to an epoch that is over.
        if (
            state is None
            or state["epoch"] != self._epoch
            or not 0 < state["batch"] < state.get("batches", self._batches)
        ):
            return 0
        for name, value in self._plan.items():
            if state.get(name, value) != value:
                raise UserError(
                    f"the checkpoint was written in the middle of an epoch with {name} = {state[name]}, now it is "
                    f"{value}: the rows would come in another order. Go on with the same, or from the end of an epoch"
                )
        return state["batch"]

    def _empty_batch(self) -> Batch:
        device = self._source.device
        parts = {
            name: torch.empty(shape, dtype=kind, device=device, pin_memory=self._pin)
            for name, (shape, kind) in self._shapes.items()
        }
        return {**parts, "valid": torch.ones(self._batch_size, dtype=torch.bool, device=device)}

    def _padded(self, batch: Batch, filled: int) -> Batch:
        _signed(batch["spectra"])[filled:] = _signed(self._spectrum)
        batch["pixel"][filled:] = self._pixel
        batch["valid"][filled:] = False
        return batch


def _gather(window: Window, used: int, batch: Batch, filled: int, count: int) -> None:
    """Copy rows of a window into a batch, on the device where both lie."""
    parts = [("spectra", window.spectra, window.order), ("pixel", window.pixel, window.order)]
    if window.target is not None:
        parts.append(("target", window.spectra, window.target))
    for name, part, order in parts:
        rows = order[used : used + count]
        torch.index_select(_signed(part), 0, rows, out=_signed(batch[name][filled : filled + count]))


def _signed(x: torch.Tensor) -> torch.Tensor:
    """The same bytes with a sign: torch has few functions for uint16."""
    return x.view(torch.int16) if x.dtype == torch.uint16 else x
