"""Find the one kind of damage that makes the HDF5 library run for ever instead of failing.

Texts of any length, most attributes among them, lie in "global heaps": a header `GCOL`, then objects with their
length. Object 0 is what is free at the end; when its length is zero, as where a disk lost a block, the library steps
from it to itself. Such a file must not be opened.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from deepspec.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

_WINDOW = 8 * 2**20  # bytes at each end of the file; attributes are written first or last
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = struct.Struct("<8sQ")
_OBJECT = struct.Struct("<HH4xQ")


def check_heaps(path: Path) -> None:
    """Refuse an HDF5 file with a global heap in which the library would loop.

    Raises:
        UserError: naming the file and the place of the damage.
    """
    size = path.stat().st_size
    if size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start, stop in ((0, min(size, _WINDOW)), (max(_WINDOW, size - _WINDOW), size)):
            place = content.find(_SIGNATURE, start, stop)
            while place >= 0:
                if _loops(content, place):
                    raise UserError(f"{path}: damaged HDF5 file: the texts at byte {place} have no valid lengths")
                place = content.find(_SIGNATURE, place + 1, stop)


def _loops(content: mmap.mmap, start: int) -> bool:
    if start + _HEADER.size > len(content):
        return False
    _, length = _HEADER.unpack_from(content, start)
    place, end = start + _HEADER.size, min(start + length, len(content))
    while place + _OBJECT.size <= end:
        number, _, size = _OBJECT.unpack_from(content, place)
        if number == 0:
            return bool(size == 0)
        place += _OBJECT.size + -(-size // 8) * 8
    return False
