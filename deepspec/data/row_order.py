"""Which rows each process reads, and in which order: pure functions of (seed, epoch, rank), never of the workers.

Rows are shuffled when shards are written, so chunks of neighbouring rows are already random samples. An epoch
permutes the chunks, cuts the sequence into one share per rank, and permutes the rows inside windows of a share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepspec.data.shard_format import CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def epoch_pieces(pieces: Sequence[Piece], rank: int, world: int, shuffle: tuple[int, int] | None) -> list[Piece]:
    """Rank's share of an epoch, chunk by chunk.

    Args:
        pieces: the chunks of the split.
        rank: this process, 0 to world - 1.
        world: number of processes.
        shuffle: (seed, epoch) to permute the chunks with; None keeps their order.
    """
    if shuffle is not None:
        order = np.random.default_rng(shuffle).permutation(len(pieces))
        pieces = [pieces[i] for i in order]
    rows = sum(piece.stop - piece.start for piece in pieces)
    return cut(pieces, *share(rows, rank, world))


def windows(pieces: Sequence[Piece], rows: int) -> list[tuple[Piece, ...]]:
    """Group pieces into windows of about `rows` rows: as many chunks as make that, one at least."""
    size = max(1, rows // CHUNK_ROWS)
    return [tuple(pieces[i : i + size]) for i in range(0, len(pieces), size)]


def row_order(rows: int, key: Sequence[int] | None) -> NDArray[np.int64]:
    """Permutation of the rows of a window drawn from `key`; None keeps their order."""
    return np.arange(rows) if key is None else np.random.default_rng(key).permutation(rows)
