"""Shuffle more rows than fit in memory: scatter them into buckets on disk, then shuffle one bucket at a time.

Every order of the rows is equally likely: a row's bucket is drawn at random, and so is its place in the bucket.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.shards.format import SpectraBlock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


_BUCKETS = 64
_ROWS_AT_ONCE = 8192


def record_type(channels: int, dtype: str, labelled: bool) -> np.dtype[Any]:
    """Type of one row as it lies in a bucket: spectrum, pixel and label side by side."""
    fields: list[tuple[Any, ...]] = [("spectra", dtype, (channels,)), ("pixel", "i4", (3,))]
    return np.dtype([*fields, ("label", "i2")] if labelled else fields)


def to_records(block: SpectraBlock, record: np.dtype[Any]) -> NDArray[Any]:
    """Copy a block into an array of `record`."""
    records = np.empty(len(block.spectra), record)
    for name in record.names or ():
        records[name] = getattr(block, name)
    return records


class ScatterShuffle:
    """Takes rows in any order and gives them back shuffled over the whole.

    Args:
        folder: where to make a folder's worth of temporary files; must not exist, the caller removes it.
        record: type of one row, from `record_type`.
        rng: source of randomness.
        memory: bytes that a bucket may take when it is shuffled; a larger one is scattered again.
    """

    def __init__(self, folder: Path, record: np.dtype[Any], rng: np.random.Generator, memory: int) -> None:
        self._record, self._rng, self._memory = record, rng, memory
        folder.mkdir()
        self._paths = [folder / f"{i:02d}" for i in range(_BUCKETS)]
        # Files are opened with a buffer each: blocks of a few rows would otherwise mean 64 tiny writes.
        self._files = [path.open("wb", buffering=2**18) for path in self._paths]
        self.rows = 0

    def add(self, records: NDArray[Any]) -> None:
        """Scatter rows into the buckets."""
        bucket = self._rng.integers(0, _BUCKETS, len(records), dtype=np.uint8)
        order = np.argsort(bucket, kind="stable")
        borders = np.searchsorted(bucket[order], np.arange(_BUCKETS + 1))
        sorted_records = records[order]
        for file, start, stop in zip(self._files, borders, borders[1:], strict=False):
            if start < stop:
                file.write(sorted_records[start:stop].view(np.uint8).data)
        self.rows += len(records)

    def blocks(self) -> Iterator[SpectraBlock]:
        """Give all rows back in random order; nothing can be added afterwards. Each bucket is removed once read."""
        self.close()
        for path in self._paths:
            rows = path.stat().st_size // self._record.itemsize
            if rows > 1 and path.stat().st_size > self._memory:
                yield from self._scatter_again(path)
            elif rows:
                yield from self._shuffled(np.fromfile(path, self._record))
            path.unlink()

    def _scatter_again(self, path: Path) -> Iterator[SpectraBlock]:
        inner = ScatterShuffle(path.with_name(f"{path.name}-again"), self._record, self._rng, self._memory)
        at_once = max(1, self._memory // self._record.itemsize // 4)
        with path.open("rb") as file:
            while len(records := np.fromfile(file, self._record, at_once)):
                inner.add(records)
        yield from inner.blocks()

    def _shuffled(self, records: NDArray[Any]) -> Iterator[SpectraBlock]:
        """A bucket's rows in random order, a few at a time: the bucket is in memory once, not twice."""
        order = self._rng.permutation(len(records))
        for start in range(0, len(order), _ROWS_AT_ONCE):
            rows = records[order[start : start + _ROWS_AT_ONCE]]
            label = rows["label"].copy() if "label" in (self._record.names or ()) else None
            yield SpectraBlock(rows["spectra"].copy(), rows["pixel"].copy(), label)

    def close(self) -> None:
        """Close the temporary files."""
        with ExitStack() as stack:  # all of them, even if the disk is full and the first cannot be emptied
            for file in self._files:
                stack.callback(file.close)
