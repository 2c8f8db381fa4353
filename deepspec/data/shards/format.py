"""Write one shard from blocks of rows.

The shard: one HDF5 file of shuffled spectra that describes itself, with a checksum per chunk of rows.

    /spectra  (N, C) uint16 or float32, chunks of 1,024 rows, Blosc2 (lz4, bit shuffle)
    /pixel    (N, 3) int32: cube, y, x
    /label    (N,) int16, optional
    /axis     (C,) float64, attribute `unit`
    /crc32    one per chunk: over its bytes of spectra, then pixel, then label, little-endian and uncompressed
    attributes: format, version, split, seed, source and parameters (JSON texts)

Shapes: N rows, C channels, n rows of a block.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import hdf5plugin
import numpy as np

from deepspec.data.hdf5_file import write_hdf5

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis


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


def write_shard(
    path: Path,
    blocks: Iterable[SpectraBlock],
    rows: int,
    *,
    axis: SpectralAxis,
    dtype: str,
    labelled: bool,
    attributes: Mapping[str, Any],
) -> int:
    """Write a whole shard; the caller gives it a temporary name and renames it.

    Args:
        path: the file, must not exist.
        blocks: together `rows` rows; each a multiple of 1,024 rows, but the last.
        rows: number of rows N, at least 1.
        axis: positions of the C channels.
        dtype: "uint16" or "float32".
        labelled: whether the blocks carry labels.
        attributes: attributes of the file besides format and version; what is no text or number becomes JSON.

    Returns:
        The checksum of its table of checksums, for the manifest.
    """
    # HDF5 before 1.10 allowed 64 KiB for one attribute: too little for the list of a thousand source cubes.
    with write_hdf5(path, libver=("v110", "v110")) as file:
        _describe(file, axis, attributes)
        _create(file, "spectra", rows, (axis.channels,), dtype)
        _create(file, "pixel", rows, (3,), "int32")
        if labelled:
            _create(file, "label", rows, (), "int16")
        tables, filled = [], 0
        for block in blocks:
            stop = filled + len(block.spectra)
            for name, part in zip(SpectraBlock._fields, block, strict=True):
                if part is not None:
                    file[name][filled:stop] = part
            tables.append(chunk_checksums(block))
            filled = stop
        table = np.concatenate(tables)
        file["crc32"] = table
    return table_checksum(table)


def _describe(file: h5py.File, axis: SpectralAxis, attributes: Mapping[str, Any]) -> None:
    file["axis"] = axis.values
    _attribute(file["axis"], "unit", axis.unit)
    for key, value in {"format": FORMAT, "version": VERSION, **attributes}.items():
        _attribute(file, key, value if isinstance(value, (str, int, float)) else json.dumps(value))


def _attribute(item: h5py.File | h5py.Dataset, key: str, value: str | float) -> None:
    """Write an attribute; texts with a fixed length, where HDF5 guards them with a checksum.

    Texts of variable length lie in a heap without one, and a flipped bit there lets HDF5 search forever.
    """
    if isinstance(value, str):
        text = value.encode()
        item.attrs.create(key, np.array(text, dtype=h5py.string_dtype("utf-8", max(len(text), 1))))
    else:
        item.attrs[key] = value


def _create(file: h5py.File, name: str, rows: int, shape: tuple[int, ...], dtype: str) -> None:
    file.create_dataset(
        name,
        shape=(rows, *shape),
        dtype=np.dtype(dtype).newbyteorder("<"),
        chunks=(min(CHUNK_ROWS, rows), *shape),
        # Level 9 makes larger blocks: on Poisson counts smaller files that are also read faster than at level 5.
        **hdf5plugin.Blosc2(cname="lz4", clevel=9, filters=hdf5plugin.Blosc2.BITSHUFFLE),
    )
