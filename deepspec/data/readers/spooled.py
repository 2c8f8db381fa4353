"""Decompress an array once into a temporary file without a name, and map that: memory stays bounded."""

from __future__ import annotations

import math
import os
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from typing import IO, Literal

    from numpy.typing import NDArray

_BIG = 256 * 2**20  # bytes; below it takes about a second and nothing is said
_PIECE = 2**18


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
        print(f"{name}: decompressing {size / 1e9:.1f} GB once into a temporary file in {folder}", file=sys.stderr)
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
        piece = stream.read(min(_PIECE, len(target) - filled))
        if not piece:
            raise UserError(f"{name}: cut short: {filled} of {len(target)} bytes of shape {shape} {dtype.name}")
        target[filled : filled + len(piece)] = piece
        filled += len(piece)
    return np.asarray(array)
