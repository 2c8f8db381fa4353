"""Where batches take their rows from: one array in memory, or windows read from the shards as they are needed.

Both give the same rows in the same order. Shapes: N rows of a rank's share, n rows of a window, C channels.
"""

from __future__ import annotations

import shutil
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from deepspec.data.neighbours import NeighbourRows
from deepspec.data.shards.format import SpectraBlock
from deepspec.data.shards.order import Piece
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from deepspec.data.shards.manifest import ShardSet
    from deepspec.data.shards.order import EpochOrder, WindowPlan
    from deepspec.data.shards.reader import ShardReader


_OPEN_SHARDS = 128  # well below the usual limit of 1,024 open files per process
_PREFETCH = 2  # windows that each worker reads ahead
_SHARED_MEMORY = Path("/dev/shm")
_TARGETS = 1  # behind the key of a window's order: draws other numbers


class Window(NamedTuple):
    """Rows on some device and the order to use them in: spectra (n, C), pixel (n, 3), order (m,) row numbers.

    Spectra and pixel may be overwritten once the next window is asked for. Where each row has another as its target,
    `target` has the numbers of those, (m,).
    """

    spectra: torch.Tensor
    pixel: torch.Tensor
    order: torch.Tensor
    target: torch.Tensor | None = None


class RowSource(Protocol):
    """Gives the rows of one rank for an epoch."""

    device: torch.device

    def windows(self, epoch: int, skip: int) -> Iterator[Window]:
        """The windows of `epoch` in order, without the first `skip` rows of the epoch."""


class MemoryRows:
    """A rank's share of a split, held in the memory of a device: the host's, or an accelerator's.

    Args:
        spectra: (N, C), as the shards store them.
        pixel: (N, 3) on the same device.
        order: what to give in each epoch; its pieces lie one after the other in `spectra`.

    Attributes:
        neighbours: the neighbours among the N rows, of which each window then names one for each row as its target.
    """

    def __init__(self, spectra: torch.Tensor, pixel: torch.Tensor, order: EpochOrder) -> None:
        self._spectra, self._pixel, self._order = spectra, pixel, order
        self.device = spectra.device
        self.neighbours: NeighbourRows | None = None
        self._sizes = np.array([piece.stop - piece.start for piece in order.pieces], dtype=np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes

    @classmethod
    def load(cls, shards: ShardSet, split: str, order: EpochOrder, device: torch.device) -> MemoryRows:
        """Read the pieces of `order` onto `device`, without a second copy of them on the host.

        Raises:
            UserError: if a shard is damaged.
        """
        rows = sum(piece.stop - piece.start for piece in order.pieces)
        kind = torch.from_numpy(np.empty(0, shards.dtype)).dtype
        spectra = torch.empty((rows, shards.channels), dtype=kind, device=device)
        pixel = torch.empty((rows, 3), dtype=torch.int32, device=device)
        readers, filled = shards.open(split), 0
        for shard, pieces in groupby(order.pieces, key=lambda piece: piece.shard):
            with readers[shard] as reader:
                for piece in pieces:
                    stop = filled + piece.stop - piece.start
                    block = reader.read(piece.start, piece.stop)
                    spectra[filled:stop] = torch.from_numpy(block.spectra)
                    pixel[filled:stop] = torch.from_numpy(block.pixel)
                    filled = stop
        return cls(spectra, pixel, order)

    def windows(self, epoch: int, skip: int) -> Iterator[Window]:
        """All rows each time, with the order of one window."""
        for plan in self._order.windows(epoch, skip):
            rows = [np.arange(self._starts[i], self._starts[i] + self._sizes[i]) for i in plan.pieces]
            chosen = np.concatenate(rows)[plan.row_order()]
            target = None
            if self.neighbours is not None:
                target = torch.from_numpy(self.neighbours.draw(chosen, (*(plan.key or ()), _TARGETS), plan.skip))
                target = target.to(self.device)
            yield Window(self._spectra, self._pixel, torch.from_numpy(chosen).to(self.device), target)

    def find_neighbours(self, images: Collection[int]) -> NeighbourRows:
        """Let each row have another as its target: a random neighbour among the N rows.

        Args:
            images: numbers of the cubes that are images.
        """
        self.neighbours = NeighbourRows(self._pixel.cpu().numpy(), images)
        return self.neighbours


class StreamedRows:
    """A rank's share of a split, read window by window.

    Windows are read into a few buffers that are used again and again, shared with the workers: nothing is copied
    between processes, and memory stays the same however many rows there are.

    Args:
        shards: the readers of the split.
        order: what to give in each epoch.
        num_workers: processes that read ahead, each window by one of them. The order does not depend on it.
    """

    def __init__(self, shards: Sequence[ShardReader], order: EpochOrder, *, num_workers: int) -> None:
        self.device = torch.device("cpu")
        self._order, self._workers = order, num_workers
        self._reader = _WindowReader(shards)
        self._tasks = _Tasks()
        self._loader: DataLoader[int | str] | None = None

    def windows(self, epoch: int, skip: int) -> Iterator[Window]:
        """Windows in buffers."""
        plans = list(self._order.windows(epoch, skip))
        for plan, (slot, found) in zip(plans, self._read(plans), strict=True):
            if isinstance(found, str):
                raise UserError(found)
            spectra, pixel = self._reader.buffers[slot]
            yield Window(spectra[:found], pixel[:found], torch.from_numpy(plan.row_order()))

    def _read(self, plans: Sequence[WindowPlan]) -> Iterator[tuple[int, int | str]]:
        """Buffer and outcome of each window; a buffer is filled anew when its window is no longer in use."""
        if plans and not self._reader.buffers:
            self._allocate()
        pieces = [tuple(self._order.pieces[i] for i in plan.pieces) for plan in plans]
        slots = [number % len(self._reader.buffers) for number in range(len(plans))]
        self._tasks.plan = list(zip(slots, pieces, strict=True))
        found = map(self._reader.__getitem__, self._tasks.plan) if self._loader is None else iter(self._loader)
        return zip(slots, found, strict=True)

    def _allocate(self) -> None:
        """Make the buffers, and the workers that know them.

        The loader hands out a task for each window it gives back, so that at most `_PREFETCH` per worker are under
        way, and one window is in use.
        """
        first, rows = self._reader.shards[0], self._order.largest_window
        kind = torch.from_numpy(np.empty(0, first.dtype)).dtype
        count = 1 + _PREFETCH * self._workers
        if self._workers:
            _check_shared_memory(count * rows * (first.axis.channels * first.dtype.itemsize + 12))
        for _ in range(count):
            spectra = torch.empty((rows, first.axis.channels), dtype=kind)
            pixel = torch.empty((rows, 3), dtype=torch.int32)
            if self._workers:
                spectra, pixel = (part.share_memory_() for part in (spectra, pixel))  # type: ignore[no-untyped-call]
            self._reader.buffers.append((spectra, pixel))
        if self._workers:
            # Workers are told which window to read, in turn, so they need no notion of rank or epoch and live on
            # from epoch to epoch.
            self._loader = DataLoader(
                self._reader,
                sampler=self._tasks,
                batch_size=None,
                num_workers=self._workers,
                prefetch_factor=_PREFETCH,
                persistent_workers=True,
            )


def _check_shared_memory(needed: int) -> None:
    """Refuse what the system would answer with a bus error in the middle of an epoch."""
    if _SHARED_MEMORY.is_dir() and needed > (free := shutil.disk_usage(_SHARED_MEMORY).free):
        raise UserError(
            f"streaming needs {needed / 2**20:.0f} MiB of shared memory, {_SHARED_MEMORY} has {free / 2**20:.0f} MiB "
            "free: lower data.shuffle_buffer or data.num_workers (in a container, raise --shm-size)"
        )


class _WindowReader(Dataset[int | str]):
    """Reads the window that it is given into a buffer; keeps few shards open."""

    def __init__(self, shards: Sequence[ShardReader]) -> None:
        self.shards = shards
        self.buffers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._in_use: dict[int, None] = {}

    def __getitem__(self, task: tuple[int, tuple[Piece, ...]]) -> int | str:
        """Fill a buffer; the number of rows, or what is wrong with a shard.

        The message is handed over as text, because a loader wraps what a worker raises into pages of traceback.
        """
        slot, window = task
        spectra, pixel = (part.numpy() for part in self.buffers[slot])
        filled = 0
        for piece in window:
            stop = filled + piece.stop - piece.start
            try:
                self._read(piece, SpectraBlock(spectra[filled:stop], pixel[filled:stop], None))
            except UserError as error:
                return str(error)
            filled = stop
        return filled

    def _read(self, piece: Piece, into: SpectraBlock) -> None:
        self._in_use[piece.shard] = None
        if len(self._in_use) > _OPEN_SHARDS:
            oldest = next(iter(self._in_use))
            self.shards[oldest].close()
            del self._in_use[oldest]
        self.shards[piece.shard].read(piece.start, piece.stop, into=into)


class _Tasks(Sampler[tuple[int, tuple[Piece, ...]]]):
    """Buffer and pieces of each window of the epoch at hand."""

    def __init__(self) -> None:
        self.plan: list[tuple[int, tuple[Piece, ...]]] = []

    def __iter__(self) -> Iterator[tuple[int, tuple[Piece, ...]]]:
        return iter(self.plan)

    def __len__(self) -> int:
        return len(self.plan)
