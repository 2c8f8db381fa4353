"""The shard: one HDF5 file of shuffled spectra that describes itself, with a checksum per chunk of rows.

    /spectra  (N, C) uint16 or float32, chunks of 1,024 rows, Blosc2 (lz4, bit shuffle)
    /pixel    (N, 3) int32: cube, y, x
    /label    (N,) int16, optional
    /axis     (C,) float64, attribute `unit`
    /crc32    one per chunk: over its bytes of spectra, then pixel, then label, little-endian and uncompressed
    attributes: format, version, split, seed, source and parameters (JSON texts)

Shapes: N rows, C channels, n rows of a block.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

FORMAT = "deepspec-shard"
VERSION = 1
CHUNK_ROWS = 1024
DTYPES = ("uint16", "float32")


class SpectraBlock(NamedTuple):
    """Some rows of a shard: spectra (n, C), pixel (n, 3) int32 = cube, y, x, and label (n,) int16 or None."""

    spectra: NDArray[Any]
    pixel: NDArray[np.int32]
    label: NDArray[np.int16] | None

    def rows(self, start: int, stop: int) -> SpectraBlock:
        """Rows `start` to `stop` (not included), without a copy."""
        return SpectraBlock(*(None if part is None else part[start:stop] for part in self))  # type: ignore[arg-type]


def empty_block(rows: int, channels: int, dtype: np.dtype[Any], labelled: bool) -> SpectraBlock:
    """Arrays for so many rows, not filled."""
    return SpectraBlock(
        np.empty((rows, channels), dtype), np.empty((rows, 3), np.int32), np.empty(rows, np.int16) if labelled else None
    )


def join(blocks: Sequence[SpectraBlock]) -> SpectraBlock:
    """One block with the rows of all, in order; a single block is returned as it is."""
    if len(blocks) == 1:
        return blocks[0]
    labels = [b.label for b in blocks if b.label is not None]
    return SpectraBlock(
        np.concatenate([b.spectra for b in blocks]),
        np.concatenate([b.pixel for b in blocks]),
        np.concatenate(labels) if labels else None,
    )


def chunk_checksums(block: SpectraBlock) -> NDArray[np.uint32]:
    """CRC-32 of each 1,024 rows of a block that starts at a chunk's border."""
    return np.array([_checksum(block.rows(a, a + CHUNK_ROWS)) for a in range(0, len(block.spectra), CHUNK_ROWS)], "u4")


def _checksum(chunk: SpectraBlock) -> int:
    crc = 0
    for part in chunk:
        if part is not None:
            crc = zlib.crc32(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).data, crc)
    return crc


def table_checksum(crc32: NDArray[np.uint32]) -> int:
    """CRC-32 of a shard's table of checksums: stands for the whole content in the manifest."""
    return zlib.crc32(crc32.astype("<u4").data)


def recut(blocks: Iterable[SpectraBlock], rows: int) -> Iterator[SpectraBlock]:
    """Cut a stream of blocks anew into blocks of `rows` rows; the last one holds the rest."""
    waiting: list[SpectraBlock] = []
    for block in blocks:
        waiting.append(block)
        if sum(len(b.spectra) for b in waiting) < rows:
            continue
        whole = join(waiting)
        full = len(whole.spectra) // rows * rows
        for start in range(0, full, rows):
            yield whole.rows(start, start + rows)
        waiting = [whole.rows(full, len(whole.spectra))] if full < len(whole.spectra) else []
    if waiting:
        yield join(waiting)
