"""Arrays that have to be unpacked to be read: each piece once, in bounded memory.

An array that is packed as a whole is unpacked once into a temporary file without a name, which is mapped.

A chunk of an array is unpacked as a whole. Where chunks are higher than the blocks of rows that are asked for (a file
with one image per chunk has chunks as high as the image), every block would unpack the same chunks again. So the chunks
across a few rows are kept in memory where they are few enough; else the whole array is unpacked once into such a file.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.errors import UserError
from deepspec.notes import note
from deepspec.progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Literal

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray


_BIG = 256 * 2**20  # bytes; below it takes about a second and nothing is said
_SPOOL_PIECE = 2**18


def spooled_array(shape: tuple[int, ...], dtype: np.dtype[Any], name: str, order: Literal["C", "F"] = "C") -> Any:
    """An array on disk to be filled, which vanishes with its last use.

    Args:
        shape: of the array, all lengths positive.
        dtype: of its values.
        name: what is decompressed, for the message that is printed if it is big.
        order: of the values on disk.

    Raises:
        UserError: if there is no room for it in the folder of temporary files.
    """
    size = math.prod(shape) * dtype.itemsize
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{name}: decompressed it takes {size / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB; "
            "set TMPDIR to a folder with more room"
        )
    if size > _BIG:
        note(f"{name}: decompressing {size / 1e9:.1f} GB once into a temporary file in {folder}")
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)  # a map into a file with holes is a crash once the disk is full
        return np.memmap(file, dtype, mode="r+", shape=shape, order=order)


def spool(
    stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], name: str, order: Literal["C", "F"] = "C"
) -> NDArray[Any]:
    """Copy the values of an array from a stream of bytes, a piece at a time.

    Args:
        stream: stands where the values start.
        shape: of the array, all lengths positive.
        dtype: of its values.
        name: what is decompressed, for messages.
        order: of the values in the stream.

    Raises:
        UserError: if the stream ends early or there is no room.
    """
    array = spooled_array(shape, dtype, name, order)
    target = memoryview(array.reshape(-1, order="A").view(np.uint8))
    filled = 0
    while filled < len(target):
        piece = stream.read(min(_SPOOL_PIECE, len(target) - filled))
        if not piece:
            raise UserError(f"{name}: cut short: {filled} of {len(target)} bytes of shape {shape} {dtype.name}")
        target[filled : filled + len(piece)] = piece
        filled += len(piece)
    return np.asarray(array)


_KEPT = 64 * 2**20  # bytes of chunks that are kept in memory
_PIECE = 64 * 2**20  # bytes unpacked at once on the way to the temporary file


class UnpackedOnce:
    """A chunked array of which each chunk is unpacked once while rows are read from the first to the last.

    Args:
        array: with an attribute `chunks`: the length of a chunk in each dimension.
        dim: the dimension of the rows.
        name: file and place, for messages.
        in_turn: whether rows are asked for in their order; if not, chunks are not kept in memory.
    """

    def __init__(self, array: StoredArray, dim: int, name: str, *, in_turn: bool = True) -> None:
        self._array, self._dim, self._name, self._in_turn = array, dim, name, in_turn
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.chunks: tuple[int, ...] = tuple(array.chunks)  # type: ignore[attr-defined]
        self._kept: tuple[int, NDArray[Any]] | None = None
        self._whole = False
        across = math.prod(n for d, n in enumerate(self.shape) if d != dim) * self.dtype.itemsize
        self._slab_bytes = across * min(self.chunks[dim], self.shape[dim])

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        start, stop, step = index[self._dim].indices(self.shape[self._dim])
        height = self.chunks[self._dim]
        aligned = start % height == 0 and (stop % height == 0 or stop == self.shape[self._dim])
        if self._whole or step != 1 or stop <= start or aligned:
            return np.asarray(self._array[index])
        if not self._fits():
            self._unpack()
            return np.asarray(self._array[index])
        parts = []
        for slab in range(start // height, (stop - 1) // height + 1):
            first = slab * height
            a, b = max(start - first, 0), min(stop - first, height)
            whole = a == 0 and b == min(height, self.shape[self._dim] - first)
            if whole:
                parts.append(np.asarray(self._array[self._rows(index, first, first + b)]))
            else:
                kept = self._slab(slab, height)
                parts.append(kept[self._rows(index, a, b)])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self._dim)

    def _fits(self) -> bool:
        slabs = -(-self.shape[self._dim] // self.chunks[self._dim])
        return self._slab_bytes <= _KEPT and (self._in_turn or slabs == 1)

    def _slab(self, slab: int, height: int) -> NDArray[Any]:
        if self._kept is None or self._kept[0] != slab:
            self._kept = None  # before the next one is made
            everything = (slice(None),) * len(self.shape)
            rows = self._rows(everything, slab * height, min((slab + 1) * height, self.shape[self._dim]))
            self._kept = (slab, np.asarray(self._array[rows]))
        return self._kept[1]

    def _rows(self, index: tuple[slice, ...], start: int, stop: int) -> tuple[slice, ...]:
        return tuple(slice(start, stop) if d == self._dim else part for d, part in enumerate(index))

    def _unpack(self) -> None:
        """Copy the array to a temporary file, whole chunks at a time; without room for it, go on as it is."""
        self._whole = True
        try:
            unpacked = spooled_array(self.shape, self.dtype.newbyteorder("="), self._name)
        except UserError as error:
            note(f"{error}; until then the chunks are unpacked again for each block of rows")
            return
        total = math.prod(self.shape)
        with progress_bars() as show:
            done = 0
            for piece in pieces(self.shape, self.chunks, self.dtype.itemsize):
                unpacked[piece] = self._array[piece]
                done += math.prod(part.stop - part.start for part in piece)
                show("unpacking", done, total)
        self._array = unpacked


def pieces(shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Parts of an array that consist of whole chunks and take about 64 MiB (or one chunk), in their order.

    Args:
        shape: of the array.
        chunks: length of a chunk in each dimension.
        itemsize: bytes of a value.
    """
    lengths = [min(n, max(c, 1)) for n, c in zip(shape, chunks, strict=True)]
    for dim in reversed(range(len(shape))):
        room = _PIECE // (math.prod(lengths) * itemsize)
        count = max(1, min(room, -(-shape[dim] // lengths[dim])))
        lengths[dim] = min(shape[dim], lengths[dim] * count)
    for starts in itertools.product(*(range(0, n, step) for n, step in zip(shape, lengths, strict=True))):
        yield tuple(slice(a, min(a + step, n)) for a, step, n in zip(starts, lengths, shape, strict=True))


def unpacked_once(array: StoredArray, dim: int, name: str, *, in_turn: bool = True) -> StoredArray:
    """`UnpackedOnce` of an array that has chunks; any other as it is."""
    chunks = getattr(array, "chunks", None)
    if chunks is None or 0 in array.shape:
        return array
    return UnpackedOnce(array, dim, name, in_turn=in_turn)
