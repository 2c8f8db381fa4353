"""MATLAB files of version 5 to 7 (version 7.3 is HDF5). Scenes are stored (row, column, band).

The chosen array is mapped, or decompressed once to disk: one may have 2 GB. The arrays are found without reading them:
such a file is a row of elements, each a tag with type and length and then the content, which may be compressed as a
whole. The layout is that of "MAT-File Format" (MathWorks), chapter on level 5 files.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.archive_check import MOST_DEFLATED
from deepspec.data.layout import spectral_by_shape
from deepspec.data.readers.file_numbers import FileNumbers, check_size
from deepspec.data.readers.stored import (
    AxisCandidate,
    Stored,
    axis_unit,
    choose_key,
    is_list,
    pixel_grid,
    reading,
)
from deepspec.data.readers.unpacked import spool
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO, Literal

    from numpy.typing import NDArray


_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC = range(6, 16)  # classes double, single and the integers
_MATRIX, _COMPRESSED = 14, 15
_STRUCTURE, _COMPLEX = 2, 0x800
_SKIPPED = 2**18  # bytes read at once on the way to the next field
_Described = tuple[str, "tuple[int, ...]", "np.dtype[Any]", int]
_FILE_HEADER = 128  # bytes before the first element
_LONGEST = 4096  # bytes; more than names and lists of dimensions have


@dataclass(frozen=True)
class Variable:
    """A numeric array: where its values lie.

    Attributes:
        start: byte of the file at which the content of its element starts.
        length: bytes of that content in the file.
        compressed: whether that content is a zlib stream.
        shape: in MATLAB's order; the values are in Fortran order.
        dtype: of the values in the file: MATLAB keeps whole numbers of type double as the smallest integer that fits.
        offset: bytes from the start of the (decompressed) content to the values.
    """

    start: int
    length: int
    compressed: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int


def matlab_variables(path: Path) -> dict[str, Variable]:
    """The real numeric arrays of a file by name.

    Raises:
        UserError: if the file is cut short, or a header within it contradicts itself.
        zlib.error, EOFError: if the start of a compressed element is damaged.
    """
    found = {}
    with path.open("rb") as file:
        order = _byte_order(path, file)
        for start, kind, length in _elements(path, file, order):
            file.seek(start)
            if kind == _COMPRESSED:
                content = _Content(path, inflated(file, length), order)
                inner, _ = content.numbers("II")
                described = content.describe() if inner == _MATRIX else []
            else:
                described = _Content(path, file, order).describe() if kind == _MATRIX else []
            for name, shape, dtype, offset in described:
                found[name] = Variable(start, length, kind == _COMPRESSED, shape, dtype, offset)
    return found


def inflated(file: IO[bytes], length: int) -> io.BufferedReader:
    """The decompressed content of the next `length` bytes of a file.

    Raises:
        zlib.error, EOFError: when what is read is damaged or ends early.
    """
    return io.BufferedReader(_Inflated(file, length))


class _Inflated(io.RawIOBase):
    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left, self._zlib = file, length, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        source = self._zlib.unconsumed_tail
        while not self._zlib.eof:
            piece = self._zlib.decompress(source, len(buffer))
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
            if not self._zlib.eof:
                source = self._zlib.unconsumed_tail or self._next()
        return 0

    def _next(self) -> bytes:
        piece = self._file.read(min(self._left, 2**16))
        if not piece:
            raise EOFError("a compressed array ends early")
        self._left -= len(piece)
        return piece


def _byte_order(path: Path, file: IO[bytes]) -> Literal["<", ">"]:
    file.seek(_FILE_HEADER - 2)
    mark = file.read(2)
    if mark not in (b"IM", b"MI"):
        raise UserError(f"{path}: not a complete MATLAB file: its byte order is given as {mark!r}")
    return "<" if mark == b"IM" else ">"


def _elements(path: Path, file: IO[bytes], order: Literal["<", ">"]) -> Iterator[tuple[int, int, int]]:
    """Start of the content, type and length of each element of the file."""
    end = path.stat().st_size
    start = _FILE_HEADER
    while start < end:
        file.seek(start)
        tag = file.read(8)
        if len(tag) < 8:
            raise UserError(f"{path}: cut short: it ends within an array's header")
        kind, length = struct.unpack(f"{order}II", tag)
        start += 8
        if start + length > end:
            raise UserError(f"{path}: damaged or cut short: an array ends at byte {start + length}, the file at {end}")
        yield start, kind, length
        start += length


class _Content:
    """Reads the parts of an array's element one after the other."""

    def __init__(self, path: Path, stream: IO[bytes], order: Literal["<", ">"]) -> None:
        self._path, self._stream, self._order, self._read = path, stream, order, 0

    def describe(self, field: str | None = None) -> list[_Described]:
        """Name, shape, type, and offset of the values of an array of real numbers, or of each in a single structure.

        Args:
            field: name of a structure's field with a dot before, where this is its array, which has no name itself.
        """
        flags = self._part()
        kind = struct.unpack(f"{self._order}I", flags[:4])[0] if len(flags) == 8 else 0
        shape_bytes, name = self._part(), self._part()
        text = name.decode("latin-1") if field is None else field
        if kind & 0xFF == _STRUCTURE:
            one = all(n == 1 for n in struct.unpack(f"{self._order}{len(shape_bytes) // 4}i", shape_bytes))
            return self._fields(text) if one else []
        if kind & 0xFF not in _NUMERIC or kind & _COMPLEX:
            return []
        shape = struct.unpack(f"{self._order}{len(shape_bytes) // 4}i", shape_bytes)
        stored, length, _ = self._tag()
        if stored not in _TYPES:
            raise UserError(f"{self._path}: damaged: an array has values of the unknown type {stored}")
        dtype = np.dtype(_TYPES[stored]).newbyteorder(self._order)
        if min(shape, default=-1) < 0 or math.prod(shape) * dtype.itemsize != length:
            raise UserError(f"{self._path}: damaged: an array of shape {shape} has {length} bytes of {dtype.name}")
        return [(text, shape, dtype, self._read)]

    def _fields(self, name: str) -> list[_Described]:
        """The arrays in the fields of a structure, as `name.field`."""
        (width,) = struct.unpack(f"{self._order}i", self._part()[:4])
        texts = self._part()
        if not 0 < width <= _LONGEST:
            raise UserError(f"{self._path}: damaged: a structure has fields with names of {width} bytes")
        found = []
        for start in range(0, len(texts) - width + 1, width):
            kind, length, room = self._tag()
            end = self._read + room
            if kind == _MATRIX and length:
                field = texts[start : start + width].partition(b"\0")[0].decode("latin-1")
                found += self.describe(f"{name}.{field}")
            self._skip(end - self._read)
        return found

    def _skip(self, count: int) -> None:
        if count < 0:
            raise UserError(f"{self._path}: damaged: an array in a structure is longer than its field")
        while count:
            count -= len(self._bytes(min(count, _SKIPPED)))

    def numbers(self, form: str) -> tuple[int, ...]:
        """The next few bytes as numbers."""
        form = self._order + form
        return struct.unpack(form, self._bytes(struct.calcsize(form)))

    def _part(self) -> bytes:
        """The next short part: array flags, dimensions or name."""
        _, length, room = self._tag()
        if length > _LONGEST:
            raise UserError(f"{self._path}: damaged: a header has a part of {length} bytes")
        return self._bytes(room)[:length]

    def _tag(self) -> tuple[int, int, int]:
        """Type of a part, its length, and the bytes up to the next part; a short part lies within its tag."""
        (first,) = self.numbers("I")
        if first >> 16:
            return first & 0xFFFF, first >> 16, 4
        (length,) = self.numbers("I")
        return first, length, -(-length // 8) * 8

    def _bytes(self, count: int) -> bytes:
        found = self._stream.read(count)
        if len(found) < count:
            raise UserError(f"{self._path}: damaged or cut short: it ends within an array's header")
        self._read += count
        return found


_MOST_BANDS = 64


def open_matlab(path: Path, variable: str | None, dims: Sequence[int]) -> Stored:
    """Map one variable of a MATLAB file, and load what may be its spectral axis.

    Raises:
        UserError: if the file is damaged or has no such variable.
    """
    with reading(path, "MATLAB"):
        variables = matlab_variables(path)
        shapes = {name: found.shape for name, found in variables.items()}
        grid = pixel_grid(shapes, variable, lambda n: float(load_whole(path, n, variables[n]).ravel()[0]))
        grid = None if 2 in dims else grid  # the user gives the rows and columns
        chosen, notes = choose_key(path, shapes, variable, dims) if grid is None else (grid[0], [])
        axes = []
        for name, shape in shapes.items():
            unit = axis_unit(name.rpartition(".")[2])
            if unit is not None and is_list(shape, shapes[chosen]):
                values = load_whole(path, name, variables[name]).astype(float).ravel()
                axes.append(AxisCandidate(name, values, unit or None))
        array = load_variable(path, chosen, variables[chosen])
    return Stored(
        arrays=[array],
        name=f"{path}:{chosen}",
        spectral_dim=_spectral_dim(tuple(array.shape)),
        spatial_shape=None if grid is None else grid[1],
        order="F",
        axes=axes,
        notes=notes,
    )


def _spectral_dim(shape: tuple[int, ...]) -> int | None:
    """The last, as MATLAB's scenes have it, unless the shape is that of an image with few bands first."""
    last = len(shape) - 1
    if last < 2:
        return None
    if last == 2:
        likely, _ = spectral_by_shape(shape, range(3))
        if likely != last and shape[likely] <= _MOST_BANDS:
            return None
    return last


def load_whole(path: Path, name: str, variable: Variable) -> NDArray[Any]:
    """An array in memory, in MATLAB's order of dimensions."""
    if 0 in variable.shape:
        return np.empty(variable.shape, variable.dtype)
    return np.array(load_variable(path, name, variable))


def load_variable(path: Path, name: str, variable: Variable) -> NDArray[Any] | FileNumbers:
    """The array, left in the file or decompressed to disk, in MATLAB's order of dimensions; it must not be empty.

    Raises:
        UserError: if the file is cut short or its compressed part is damaged.
    """
    size = math.prod(variable.shape) * variable.dtype.itemsize
    if variable.compressed:
        if size > MOST_DEFLATED * variable.length:
            raise UserError(
                f"{path}: damaged: {variable.length} bytes of '{name}' cannot hold {variable.shape} {variable.dtype}"
            )
        with path.open("rb") as file:
            file.seek(variable.start)
            stream = inflated(file, variable.length)
            stream.read(variable.offset)
            array = spool(stream, variable.shape, variable.dtype, f"{path}:{name}", "F")
            while stream.read(2**16):  # the end of the stream holds its checksum
                pass
        return array
    offset = variable.start + variable.offset
    check_size(path, variable.dtype, variable.shape, offset)
    return FileNumbers(path, variable.dtype, variable.shape, offset, "F")
