"""SpectraLoader: whole batches of spectra for one process, the same number on every rank, resumable in mid-epoch.

Shapes: B rows of a batch, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepspec.data.row_source import RowSource
    from deepspec.data.shard_format import SpectraBlock

Batch = dict[str, torch.Tensor]


class SpectraLoader:
    """Iterates over `batches` batches {"spectra": (B, C), "pixel": (B, 3) int32, "valid": (B,) bool}.

    Spectra keep the type of the shards. The order is a function of the seed of the source and of the epoch set by
    `set_epoch`; iterating twice without it gives the same batches twice.

    Args:
        source: the rows of this process.
        batches: how many batches to give, equal on all ranks.
        batch_size: rows B of each batch.
        filler: one row that completes the batches after the last row of the source, marked `valid = False`.
        pin: whether to put batches into page-locked memory, from where a GPU copies them without waiting.
    """

    def __init__(
        self, source: RowSource, batches: int, batch_size: int, filler: SpectraBlock, *, pin: bool = False
    ) -> None:
        self._source, self._batches, self._batch_size = source, batches, batch_size
        self._filler, self._pin = filler, pin
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
        """Epoch, and batches given in it so far; the same on every rank."""
        return {"epoch": self._epoch, "batch": self._given}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration go on after the batch of `state`, if it is over the same epoch."""
        self._resume = state

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing below runs before the first batch is asked for. Lightning calls iter() before it
        # tells the epoch.
        first = self._first_batch()
        batch, filled = self._empty_batch(), 0
        self._given = first
        for window in self._source.windows(self._epoch, first * self._batch_size):
            used = 0
            while used < len(window.order) and self._given < self._batches:
                rows = window.order[used : used + self._batch_size - filled]
                place = slice(filled, filled + len(rows))
                np.take(window.spectra, rows, axis=0, out=batch["spectra"].numpy()[place], mode="clip")
                np.take(window.pixel, rows, axis=0, out=batch["pixel"].numpy()[place], mode="clip")
                used, filled = used + len(rows), place.stop
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
        if state is None or state["epoch"] != self._epoch or state["batch"] >= self._batches:
            return 0
        return state["batch"]

    def _empty_batch(self) -> Batch:
        b, spectra = self._batch_size, self._filler.spectra
        kind = torch.from_numpy(spectra).dtype
        return {
            "spectra": torch.empty((b, spectra.shape[1]), dtype=kind, pin_memory=self._pin),
            "pixel": torch.empty((b, 3), dtype=torch.int32, pin_memory=self._pin),
            "valid": torch.ones(b, dtype=torch.bool),
        }

    def _padded(self, batch: Batch, filled: int) -> Batch:
        batch["spectra"].numpy()[filled:] = self._filler.spectra
        batch["pixel"].numpy()[filled:] = self._filler.pixel
        batch["valid"][filled:] = False
        return batch
