"""Bare numbers in a file, read where they are indexed, and cubes in two files: a text header beside bare numbers.

The file is read, not mapped: under a map a file that somebody cuts short meanwhile ends the process (SIGBUS), here it
is an error like any other.
"""

from __future__ import annotations

import itertools
import math
import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


_SHORT = 4096  # bytes; shorter runs are read together with what lies between them
_BATCH = 2**18  # bytes read at once where most of them are not wanted


class FileNumbers:
    """An array whose values follow each other in a file.

    Args:
        path: the file, long enough for all values.
        dtype: of the values.
        shape: of the array.
        offset: byte of the first value.
        order: "C": the last dimension runs fastest; "F": the first.
    """

    def __init__(
        self, path: Path, dtype: np.dtype[Any], shape: Sequence[int], offset: int, order: Literal["C", "F"] = "C"
    ) -> None:
        self._path, self._offset, self._order = path, offset, order
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[tuple(slice(None) for _ in self.shape)]
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """A part of the array, a slice for each dimension.

        Raises:
            UserError: if the file is shorter than it was.
        """
        steps = [part.indices(n) for part, n in zip(index, self.shape, strict=True)]
        around = [_span(*step) for step in steps]
        if self._order == "F":
            part = self._read(self.shape[::-1], around[::-1]).transpose()
        else:
            part = self._read(self.shape, around)
        return part[tuple(slice(None, None, step) for _, _, step in steps)]

    def _read(self, shape: tuple[int, ...], spans: Sequence[tuple[int, int]]) -> NDArray[Any]:
        """The values between starts and stops of each dimension, the last dimension running fastest."""
        lengths = [stop - start for start, stop in spans]
        out = np.empty(lengths, self.dtype)
        if out.size == 0:
            return out
        partial = [d for d, n in enumerate(shape) if lengths[d] != n]
        level = last = max(partial, default=0)
        inner = math.prod(shape[level + 1 :]) * self.dtype.itemsize  # bytes of one step along dimension `level`
        if inner * lengths[level] < _SHORT:
            while level > 0 and inner < _SHORT:
                level -= 1
                inner *= shape[level + 1]
        wanted = tuple(slice(*spans[d]) for d in range(level + 1, len(shape)))
        with self._path.open("rb", buffering=0) as file:
            for outer in itertools.product(*(range(*span) for span in spans[:level])):
                place = 0
                for number, n in zip(outer, shape, strict=False):
                    place = place * n + number
                start = place * shape[level] + spans[level][0]
                target = out[tuple(number - spans[d][0] for d, number in enumerate(outer))]
                if level == last:
                    self._fill(file.fileno(), target, self._offset + start * inner)
                    continue
                for a, b in _batches(lengths[level], max(1, _BATCH // inner)):
                    part = np.empty((b - a, *shape[level + 1 :]), self.dtype)
                    self._fill(file.fileno(), part, self._offset + (start + a) * inner)
                    target[a:b] = part[(slice(None), *wanted)]
        return out

    def _fill(self, file: int, target: NDArray[Any], place: int) -> None:
        left = memoryview(target.reshape(-1).view(np.uint8).data)
        while left:
            count = os.preadv(file, [left], place)
            if count == 0:
                size = os.fstat(file).st_size
                raise UserError(
                    f"{self._path}: cut short while it was read: it has {size} bytes, "
                    f"at byte {place} there should be more"
                )
            left, place = left[count:], place + count


def _span(start: int, stop: int, step: int) -> tuple[int, int]:
    """First and last place, plus one, of a slice, whose step must be positive."""
    if step < 1:
        raise ValueError("arrays in files are read forwards")
    return start, max(start, stop)


def _batches(length: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, size):
        yield start, min(start + size, length)


def data_of(header: Path, extensions: Sequence[str], size: int | None = None) -> Path:
    """The file with the numbers that `header` describes: of the same name, with one of `extensions` in any case.

    Args:
        header: the file that describes them.
        extensions: usual ones.
        size: bytes that the header asks for: a file with another extension is taken if it alone has just as many.

    Raises:
        UserError: if there is none, or more than one.
    """
    stem = header.stem.lower()
    names = {stem + extension for extension in extensions}
    beside = {p.name.lower(): p for p in sorted(header.parent.iterdir()) if p.is_file() and p != header}
    found = [p for name, p in beside.items() if name in names]
    if len(found) > 1:  # NAME.EXT.hdr describes NAME.EXT alone
        found = [p for p in found if f"{p.name.lower()}{header.suffix.lower()}" not in beside] or found
    if not found and size is not None:
        found = [p for name, p in beside.items() if name.startswith(f"{stem}.") and p.stat().st_size == size]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(extension or "no extension" for extension in extensions)
    if not found:
        raise UserError(
            f"{header}: the file with the numbers is missing: expected {header.stem} beside it, with {listed}"
        )
    raise UserError(
        f"{header}: several files may hold its numbers: {', '.join(p.name for p in found)}; open the right one of them"
    )


def map_raw(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, notes: list[str] | None = None
) -> FileNumbers:
    """Numbers that lie in a file in C order, read where they are indexed.

    Args:
        path: the file.
        dtype: of the values.
        shape: of the array.
        offset: byte of the first value.
        notes: gets a line if the file has more bytes.

    Raises:
        UserError: if a length is not positive or the file is shorter than its header says.
    """
    check_size(path, dtype, shape, offset)
    more = path.stat().st_size - offset - math.prod(shape) * dtype.itemsize
    if more and notes is not None:
        notes.append(f"the file with the numbers has {more} bytes more than the header says")
    return FileNumbers(path, dtype, shape, offset)


def check_size(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> None:
    """Raise a `UserError` unless the file is long enough for an array that starts at byte `offset`."""
    if min(shape) < 1 or offset < 0:
        raise UserError(f"{path}: its header gives shape {shape} from byte {offset}, which cannot be")
    expected = offset + math.prod(shape) * dtype.itemsize
    found = path.stat().st_size
    if found < expected:
        raise UserError(
            f"{path}: cut short or described wrongly: its header says {shape} {dtype.name} from byte {offset}, "
            f"which ends at byte {expected}, the file has {found}"
        )
