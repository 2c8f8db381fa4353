"""Write one shard from blocks of rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h5py
import hdf5plugin
import numpy as np

from deepspec.data.hdf5_writing import write_hdf5
from deepspec.data.shard_format import (
    CHUNK_ROWS,
    FORMAT,
    VERSION,
    SpectraBlock,
    chunk_checksums,
    table_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from deepspec.data.axis import SpectralAxis


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
