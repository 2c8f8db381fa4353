"""Read one shard; refuse a damaged, cut short or foreign file by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers Blosc2)
import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.data.hdf5_file import read_hdf5, whole
from deepspec.data.readers.stored import reading
from deepspec.data.shards.format import (
    CHUNK_ROWS,
    DTYPES,
    FORMAT,
    VERSION,
    SpectraBlock,
    chunk_checksums,
    empty_block,
    table_checksum,
)
from deepspec.errors import UserError


class ShardReader:
    """Rows of one shard.

    The file is opened by the first read of each process: an HDF5 handle carried over a fork reads wrong data. The
    handle is dropped when the reader is pickled.

    Attributes:
        path: the file.
        rows: number of rows N.
        axis: positions of the C channels.
        dtype: type of the spectra, uint16 or float32.
        labelled: whether there are labels.
        checksum: CRC-32 of the table of chunk checksums.
        attributes: the file's attributes.

    Raises:
        UserError: if the file is missing, damaged, or no shard of a version known here.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._datasets: dict[str, tuple[h5py.h5d.DatasetID, h5py.h5s.SpaceID]] = {}
        self._owner = 0
        if not self.path.is_file():
            raise UserError(f"{path}: the shard is missing")
        try:
            with reading(self.path, "a shard"):
                self._describe(self._open())
        finally:
            self.close()

    def _describe(self, file: h5py.File) -> None:
        self.attributes: dict[str, Any] = {key: _text(value) for key, value in file.attrs.items()}
        self._check_format()
        self.rows = int(file["spectra"].shape[0])
        try:
            self.axis = SpectralAxis(whole(file["axis"]), _text(file["axis"].attrs["unit"]))
        except UserError as error:
            raise UserError(f"{self.path}: damaged shard: {error}") from error
        self.dtype = np.dtype(file["spectra"].dtype).newbyteorder("=")
        self.labelled = "label" in file
        self._crc32 = whole(file["crc32"])
        self.checksum = table_checksum(self._crc32)
        self._checked = np.zeros(len(self._crc32), dtype=bool)
        self._check_shapes(file)

    def _check_format(self) -> None:
        if self.attributes.get("format") != FORMAT:
            raise UserError(f"{self.path}: an HDF5 file, but not a shard; make shards with deepspec ingest")
        version = int(self.attributes.get("version", 0))
        if version != VERSION:
            raise UserError(f"{self.path}: shard version {version}, this deepspec reads version {VERSION}")

    def _check_shapes(self, file: h5py.File) -> None:
        shapes: dict[str, tuple[int, ...]] = {"spectra": (self.rows, self.axis.channels), "pixel": (self.rows, 3)}
        if self.labelled:
            shapes["label"] = (self.rows,)
        shapes["crc32"] = (-(-self.rows // CHUNK_ROWS),)
        for name, shape in shapes.items():
            if file[name].shape != shape:
                raise UserError(f"{self.path}: damaged shard: '{name}' is {file[name].shape}, expected {shape}")
        if self.dtype.name not in DTYPES:
            raise UserError(f"{self.path}: damaged shard: spectra are {self.dtype}, expected {' or '.join(DTYPES)}")

    def _open(self) -> h5py.File:
        if self._file is None or self._owner != os.getpid():
            # Shards never change once named, so no lock is needed; locks fail on some network file systems.
            self._datasets = {}
            # Whole chunks are read once an epoch: a cache would only take memory, for every open shard.
            self._file = read_hdf5(self.path, locking=False, rdcc_nbytes=0)
            self._owner = os.getpid()
        return self._file

    def _parts(self) -> dict[str, tuple[h5py.h5d.DatasetID, h5py.h5s.SpaceID]]:
        """The datasets of the open file; looking one up takes as long as reading a third of a chunk."""
        file = self._open()
        if not self._datasets:
            ids = {name: file[name].id for name in SpectraBlock._fields if name in file}
            self._datasets = {name: (dataset, dataset.get_space()) for name, dataset in ids.items()}
        return self._datasets

    def read(self, start: int, stop: int, into: SpectraBlock | None = None) -> SpectraBlock:
        """Read rows `start` to `stop` (not included).

        Whole chunks are read, and compared with their checksums the first time.

        Args:
            start: first row.
            stop: row after the last.
            into: stop - start rows to fill, which saves a copy; default new arrays. Without a label in it, labels
                are not returned.

        Returns:
            `into`, or a new block.

        Raises:
            UserError: if the rows do not exist or their content is damaged.
        """
        if not 0 <= start < stop <= self.rows:
            raise UserError(f"{self.path}: rows {start}:{stop} asked of a shard with {self.rows}")
        first = start // CHUNK_ROWS * CHUNK_ROWS
        last = min(self.rows, -(-stop // CHUNK_ROWS) * CHUNK_ROWS)
        exact = into is not None and (first, last) == (start, stop)
        block = into if into is not None and exact else self._empty_block(last - first)
        chunks = slice(first // CHUNK_ROWS, -(-last // CHUNK_ROWS))
        if self._checked[chunks].all():
            self._fill(block, first)
        else:
            if self.labelled and block.label is None:  # the checksum goes over it
                block = block._replace(label=np.empty(last - first, np.int16))
            self._fill(block, first)
            self._compare(block, first)
            self._checked[chunks] = True
        if into is not None and exact:
            return into
        found = block.rows(start - first, stop - first)
        if into is None:
            return found
        for target, part in zip(into, found, strict=True):
            if target is not None and part is not None:
                np.copyto(target, part)
        return into

    def _fill(self, block: SpectraBlock, first: int) -> None:
        """Read the rows from `first` on into the arrays of a block.

        Through h5py's low-level interface: `Dataset.read_direct` takes 80 microseconds more per chunk, a tenth of
        what reading one takes.
        """
        with reading(self.path, f"rows {first}:{first + len(block.spectra)} of a shard"):
            parts = self._parts()
            for name, part in zip(SpectraBlock._fields, block, strict=True):
                if part is not None:
                    dataset, space = parts[name]
                    space.select_hyperslab((first,) + (0,) * (part.ndim - 1), part.shape)
                    dataset.read(h5py.h5s.create_simple(part.shape), space, part)

    def _empty_block(self, rows: int) -> SpectraBlock:
        return empty_block(rows, self.axis.channels, self.dtype, self.labelled)

    def _compare(self, block: SpectraBlock, first: int) -> None:
        found = chunk_checksums(block)
        expected = self._crc32[first // CHUNK_ROWS : first // CHUNK_ROWS + len(found)]
        wrong = np.flatnonzero(found != expected)
        if wrong.size:
            row = first + int(wrong[0]) * CHUNK_ROWS
            raise UserError(
                f"{self.path}: damaged shard: rows {row}:{min(row + CHUNK_ROWS, self.rows)} do not match their "
                "checksum; write the shards again"
            )

    def verify(self) -> None:
        """Read everything and compare it with the checksums.

        Raises:
            UserError: at the first damaged chunk.
        """
        self._checked[:] = False
        for start in range(0, self.rows, 8 * CHUNK_ROWS):
            self.read(start, min(start + 8 * CHUNK_ROWS, self.rows))

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        if self._file is not None and self._owner == os.getpid():
            self._file.close()
        self._file, self._datasets = None, {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_datasets": {}}

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _text(attribute: Any) -> Any:
    """An attribute, decoded if it is a text of fixed length."""
    return attribute.decode() if isinstance(attribute, bytes) else attribute
