"""Find the kinds of damage that make the HDF5 library run for ever instead of failing.

Texts of any length, most attributes among them, lie in "global heaps": a header `GCOL`, then objects with their
length. Object 0 is what is free, and comes last. Where it is shorter than what is left, as when a disk lost a block,
the library takes the rest for further objects; it is empty, so that the library steps from an object of length zero to
itself. The names of a group's members lie in a "local heap": a header `HEAP`, and a list of its free parts, each with
the place of the next. Where that comes back to an earlier part, the library follows it for ever. Such a file must not
be opened.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, NamedTuple

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WHOLE = 64 * 2**20  # bytes of a file that is searched from end to end
_WINDOW = 16 * 2**20  # of a longer one, at each end; attributes and groups are written first or last
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_GLOBAL = b"GCOL\x01\x00\x00\x00"
_LOCAL = b"HEAP\x00\x00\x00\x00"
_END_OF_LIST = 1  # where the next free part of a local heap would be, if there is none


class _Form(NamedTuple):
    """How a file writes its numbers: bytes of an address and of a length, and what addresses are counted from."""

    address: int
    length: int
    base: int


def check_heaps(path: Path) -> None:
    """Refuse an HDF5 file with a heap in which the library would loop.

    Raises:
        UserError: naming the file and the place of the damage.
    """
    size = path.stat().st_size
    if size == 0:
        return
    parts = ((0, size),) if size <= _WHOLE else ((0, _WINDOW), (size - _WINDOW, size))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        form = _form(content)
        if form is None:
            return  # HDF5 itself says so in a moment
        for start, stop in parts:
            for place in _places(content, _GLOBAL, start, stop):
                if not _is_global_heap_whole(content, place, form):
                    raise UserError(f"{path}: damaged HDF5 file: the texts at byte {place} have no valid lengths")
            for place in _places(content, _LOCAL, start, stop):
                if _comes_back(content, place, form):
                    raise UserError(f"{path}: damaged HDF5 file: the names at byte {place} have no valid end")


def _places(content: mmap.mmap, signature: bytes, start: int, stop: int) -> Iterator[int]:
    place = content.find(signature, start, stop)
    while place >= 0:
        yield place
        place = content.find(signature, place + 1, stop)


def _form(content: mmap.mmap) -> _Form | None:
    """What the superblock says, which lies at byte 0, 512, 1024, 2048, ...; None if there is none that can be read."""
    start = 0
    while start < len(content):
        block = content[start : start + 64]
        if block.startswith(_SIGNATURE) and len(block) == 64:
            version = block[8]
            sizes, base = (13, 24 if version == 0 else 28) if version < 2 else (9, 12)
            address, length = block[sizes], block[sizes + 1]
            if address not in (2, 4, 8, 16, 32) or length not in (2, 4, 8, 16, 32):
                return None
            return _Form(address, length, int.from_bytes(block[base : base + min(address, 8)], "little"))
        start = max(512, 2 * start)
    return None


def _is_global_heap_whole(content: mmap.mmap, start: int, form: _Form) -> bool:
    """Whether the objects of a heap fill it exactly: walks as the library does, which asks less."""
    header = 8 + form.length
    if start + header > len(content):
        return True  # a part of the data that looks like a heap, or a file that is cut short
    length = _number(content, start + 8, form.length)
    place, end = start + -(-header // 8) * 8, start + length
    if end > len(content) or length < header:
        return True  # the library refuses it
    object_header = -(-(8 + form.length) // 8) * 8
    while place + object_header <= end:
        number = _number(content, place, 2)
        size = _number(content, place + 8, form.length)
        if number == 0:
            return place + size == end
        place += object_header + -(-size // 8) * 8
    return place <= end


def _comes_back(content: mmap.mmap, start: int, form: _Form) -> bool:
    """Whether the list of free parts of a local heap comes to a part that it was at before."""
    fields = start + 8
    if fields + 2 * form.length + form.address > len(content):
        return False
    size = _number(content, fields, form.length)
    free = _number(content, fields + form.length, form.length)
    data = form.base + _number(content, fields + 2 * form.length, form.address)
    seen: set[int] = set()
    while free != _END_OF_LIST:
        if free in seen:
            return True
        if free + 2 * form.length > size or data + free + 2 * form.length > len(content):
            return False  # the library refuses it
        seen.add(free)
        free = _number(content, data + free, form.length)
    return False


def _number(content: mmap.mmap, place: int, size: int) -> int:
    return int.from_bytes(content[place : place + size], "little")
