"""Where batches take their rows from: one array in memory, or windows read from the shards as they are needed.

Shapes: N rows of a rank's share, n rows of a window, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from torch.utils.data import DataLoader, Dataset, Sampler

from deepspec.data.row_order import Piece, epoch_pieces, row_order, windows
from deepspec.data.shard_format import SpectraBlock, empty_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from deepspec.data.shard_reader import ShardReader

_OPEN_SHARDS = 128  # well below the usual limit of 1,024 open files per process
_WINDOW_BYTES = 256 * 2**20
_EPOCH_SHARE = 0  # keeps the random stream of row orders apart from that of the chunk order


class Window(NamedTuple):
    """Rows in memory and the order to use them in: spectra (n, C), pixel (n, 3), order (m,) with m <= n."""

    spectra: NDArray[Any]
    pixel: NDArray[np.int32]
    order: NDArray[np.int64]


class RowSource(Protocol):
    """Gives the rows of one rank for an epoch."""

    def windows(self, epoch: int, skip: int) -> Iterator[Window]:
        """The windows of `epoch` in order, without the first `skip` rows of the epoch."""


class MemoryRows:
    """A rank's share of a split, held in memory; each epoch permutes it as a whole.

    Args:
        block: the rows.
        seed: of the order; None keeps the order of the shards.
        rank: this process.
    """

    def __init__(self, block: SpectraBlock, seed: int | None, rank: int) -> None:
        self._block, self._seed, self._rank = block, seed, rank

    def windows(self, epoch: int, skip: int) -> Iterator[Window]:
        """One window with every row."""
        key = None if self._seed is None else (self._seed, epoch, self._rank, _EPOCH_SHARE)
        order = row_order(len(self._block.spectra), key)
        yield Window(self._block.spectra, self._block.pixel, order[skip:])


class StreamedRows:
    """A rank's share of a split, read window by window; a new share of chunks each epoch if shuffled.

    Args:
        shards: the readers of the split.
        pieces: the chunks of the split to use.
        seed: of the order; None keeps the order of the shards.
        rank: this process, 0 to world - 1.
        world: number of processes.
        window_rows: rows to shuffle together; fewer when they take more than 256 MiB.
        num_workers: processes that read ahead. The order does not depend on it.
    """

    def __init__(
        self,
        shards: Sequence[ShardReader],
        pieces: Sequence[Piece],
        *,
        seed: int | None,
        rank: int,
        world: int,
        window_rows: int,
        num_workers: int,
    ) -> None:
        self._pieces, self._seed, self._rank, self._world = pieces, seed, rank, world
        row_bytes = shards[0].axis.channels * shards[0].dtype.itemsize
        self._window_rows = min(window_rows, _WINDOW_BYTES // row_bytes)
        self._dataset = _WindowDataset(shards)
        self._sampler = _WindowSampler()
        self._loader: DataLoader[Any] | None = None
        if num_workers > 0:
            # Workers are told which window to read, one at a time and in turn, so they need no notion of rank or
            # epoch and live on from epoch to epoch.
            self._loader = DataLoader(
                self._dataset,
                sampler=self._sampler,
                batch_size=None,
                num_workers=num_workers,
                persistent_workers=True,
            )

    def windows(self, epoch: int, skip: int) -> Iterator[Window]:
        """Windows of about `window_rows` rows."""
        shuffle = None if self._seed is None else (self._seed, epoch)
        plan = windows(epoch_pieces(self._pieces, self._rank, self._world, shuffle), self._window_rows)
        first = 0
        while first < len(plan) and (rows := sum(p.stop - p.start for p in plan[first])) <= skip:
            skip -= rows
            first += 1
        self._sampler.plan = plan[first:]
        for number, (spectra, pixel) in enumerate(self._read(), start=first):
            key = None if shuffle is None else (*shuffle, self._rank, 1 + number)
            yield Window(spectra, pixel, row_order(len(spectra), key)[skip:])
            skip = 0

    def _read(self) -> Iterator[tuple[NDArray[Any], NDArray[np.int32]]]:
        if self._loader is None:
            for window in self._sampler.plan:
                yield self._dataset[window]
        else:
            for spectra, pixel in self._loader:
                yield spectra.numpy(), pixel.numpy()


class _WindowDataset(Dataset[tuple[Any, Any]]):
    """Reads the window that it is given; keeps few shards open."""

    def __init__(self, shards: Sequence[ShardReader]) -> None:
        self._shards = shards
        self._in_use: dict[int, None] = {}

    def __getitem__(self, window: tuple[Piece, ...]) -> tuple[NDArray[Any], NDArray[np.int32]]:
        first = self._shards[window[0].shard]
        rows = sum(piece.stop - piece.start for piece in window)
        block = empty_block(rows, first.axis.channels, first.dtype, first.labelled)
        filled = 0
        for piece in window:
            stop = filled + piece.stop - piece.start
            self._read(piece, block.rows(filled, stop))
            filled = stop
        return block.spectra, block.pixel

    def _read(self, piece: Piece, into: SpectraBlock) -> None:
        self._in_use[piece.shard] = None
        if len(self._in_use) > _OPEN_SHARDS:
            oldest = next(iter(self._in_use))
            self._shards[oldest].close()
            del self._in_use[oldest]
        self._shards[piece.shard].read(piece.start, piece.stop, into=into)


class _WindowSampler(Sampler[tuple[Piece, ...]]):
    """The windows of the epoch at hand."""

    def __init__(self) -> None:
        self.plan: list[tuple[Piece, ...]] = []

    def __iter__(self) -> Iterator[tuple[Piece, ...]]:
        return iter(self.plan)

    def __len__(self) -> int:
        return len(self.plan)
