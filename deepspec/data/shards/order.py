"""Which rows each process reads, and in which order: pure functions of (seed, epoch, rank), never of the workers.

Rows are shuffled when shards are written, so chunks of neighbouring rows are already random samples. The sequence of
chunks is cut into one share per rank, once and for all; an epoch permutes the chunks of a share and the rows inside
windows of some chunks. Rows held in memory and rows streamed from the shards come in this one order.

Evaluation has no epochs to shuffle: there the split is dealt out batch by batch, so that a batch holds the same rows
whatever the number of ranks, and batch i of all ranks together is batch i of one process with that many rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepspec.data.shards.format import CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class Piece(NamedTuple):
    """Rows `start` to `stop` (not included) of one shard, within one chunk."""

    shard: int
    start: int
    stop: int


def chunks(shard_rows: Sequence[int], max_rows: int | None = None) -> list[Piece]:
    """The chunks of all shards in order, cut off after `max_rows` rows.

    >>> chunks([1500, 100], max_rows=1550)
    [Piece(shard=0, start=0, stop=1024), Piece(shard=0, start=1024, stop=1500), Piece(shard=1, start=0, stop=50)]
    """
    pieces = [
        Piece(shard, start, min(start + CHUNK_ROWS, rows))
        for shard, rows in enumerate(shard_rows)
        for start in range(0, rows, CHUNK_ROWS)
    ]
    return pieces if max_rows is None else cut(pieces, 0, max_rows)


def cut(pieces: Sequence[Piece], start: int, stop: int) -> list[Piece]:
    """Rows `start` to `stop` (not included) of the sequence that the pieces form."""
    result, first = [], 0
    for piece in pieces:
        a, b = max(start - first, 0), min(stop - first, piece.stop - piece.start)
        if a < b:
            result.append(Piece(piece.shard, piece.start + a, piece.start + b))
        first += piece.stop - piece.start
    return result


def share(rows: int, rank: int, world: int) -> tuple[int, int]:
    """First row and end of rank's share of a sequence of rows; shares differ by one row at most."""
    return rank * rows // world, (rank + 1) * rows // world


def full_batches(rows: int, world: int, batch_size: int) -> int:
    """Batches that every rank can fill from its share; the rest of a share is left out of the epoch."""
    return rows // world // batch_size


def padded_batches(rows: int, world: int, batch_size: int) -> int:
    """Batches that hold the largest share; the last ones are padded."""
    largest = -(-rows // world)
    return -(-largest // batch_size)


def rank_pieces(pieces: Sequence[Piece], rank: int, world: int) -> list[Piece]:
    """The share of a rank, chunk by chunk; a chunk on the border of two shares is cut.

    Args:
        pieces: the chunks of the split.
        rank: this process, 0 to world - 1.
        world: number of processes.
    """
    return cut(pieces, *share(sum(piece.stop - piece.start for piece in pieces), rank, world))


def dealt_pieces(pieces: Sequence[Piece], rank: int, world: int, batch_size: int) -> list[Piece]:
    """Rows of the batches `rank`, `rank + world`, ... of a sequence that is cut into batches.

    >>> dealt_pieces([Piece(0, 0, 9), Piece(1, 0, 4)], rank=1, world=2, batch_size=4)
    [Piece(shard=0, start=4, stop=8), Piece(shard=1, start=3, stop=4)]

    Args:
        pieces: the chunks of the split.
        rank: this process, 0 to world - 1.
        world: number of processes.
        batch_size: rows of a batch on each process.
    """
    if world == 1:
        return list(pieces)
    dealt, first = [], 0
    for piece in pieces:
        last = first + piece.stop - piece.start
        for batch in range(first // batch_size, -(-last // batch_size)):
            if batch % world == rank:
                a, b = max(first, batch * batch_size), min(last, (batch + 1) * batch_size)
                dealt.append(Piece(piece.shard, piece.start + a - first, piece.start + b - first))
        first = last
    return dealt


class WindowPlan(NamedTuple):
    """One window of an epoch: which pieces of the share it holds, in order, and how its rows are permuted.

    Attributes:
        pieces: (m,) numbers of pieces of the share.
        rows: number of rows n of the window.
        key: what the permutation of the rows is drawn from; None keeps their order.
        skip: rows at the beginning, after the permutation, that were used before the run was interrupted.
    """

    pieces: NDArray[np.int64]
    rows: int
    key: tuple[int, ...] | None
    skip: int

    def row_order(self) -> NDArray[np.int64]:
        """The rows of the window that are still to be used, in order: (n - skip,) numbers from 0 to n - 1."""
        rows = np.arange(self.rows) if self.key is None else np.random.default_rng(self.key).permutation(self.rows)
        return rows[self.skip :]


@dataclass(frozen=True)
class EpochOrder:
    """The order of the rows of a rank's share in each epoch.

    Attributes:
        pieces: the share, from `rank_pieces`.
        seed: of the order; None keeps the order of the shards in every epoch.
        rank: this process.
        window_rows: rows that are permuted together, rounded down to whole chunks; one chunk at least.
        passes: how often an epoch goes over the share, each time in another order. A batch may hold the last rows of
            one pass and the first of the next.
    """

    pieces: Sequence[Piece]
    seed: int | None
    rank: int
    window_rows: int
    passes: int = 1

    @property
    def window_pieces(self) -> int:
        """Pieces in a window."""
        return max(1, self.window_rows // CHUNK_ROWS)

    @property
    def largest_window(self) -> int:
        """No window has more rows than this."""
        rows = sum(piece.stop - piece.start for piece in self.pieces)
        return min(rows, self.window_pieces * CHUNK_ROWS)

    def windows(self, epoch: int, skip: int = 0) -> Iterator[WindowPlan]:
        """The windows of an epoch in order, without the first `skip` rows of the epoch."""
        rows = np.array([piece.stop - piece.start for piece in self.pieces], dtype=np.int64)
        for turn in range(epoch * self.passes, (epoch + 1) * self.passes):
            numbers = np.arange(len(rows))
            if self.seed is not None:
                numbers = np.random.default_rng((self.seed, turn, self.rank)).permutation(len(rows))
            for number, first in enumerate(range(0, len(rows), self.window_pieces)):
                pieces = numbers[first : first + self.window_pieces]
                size = int(rows[pieces].sum())
                if size > skip:
                    key = None if self.seed is None else (self.seed, turn, self.rank, number)
                    yield WindowPlan(pieces, size, key, skip)
                skip = max(skip - size, 0)
