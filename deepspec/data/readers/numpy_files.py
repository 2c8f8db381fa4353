"""NPY and NPZ. Both are read where they are indexed; a compressed array of a NPZ file is decompressed once to disk."""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from deepspec.data.archive_check import MOST_DEFLATED, check_members
from deepspec.data.readers.file_numbers import FileNumbers, check_size
from deepspec.data.readers.stored import AxisCandidate, Stored, axis_unit, check_dims, choose_key, is_list, reading
from deepspec.data.readers.unpacked import spool
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

_LOCAL_HEADER = 30  # bytes of a member's own header in a ZIP file, before its name and extra field


class _Header(NamedTuple):
    """What the header of a NPY array says, and its own length in bytes."""

    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype[Any]
    length: int


def open_npy(path: Path, dims: Sequence[int]) -> Stored:
    """Open a NPY file.

    Raises:
        UserError: if the file is cut short, holds Python objects, or has another number of dimensions.
    """
    with reading(path, "NPY"), path.open("rb") as file:
        header = _read_header(file)
        _check_numeric(path, path.name, header)
        check_dims(path, path.name, header.shape, dims)
        array = _map(path, header, header.length)
    return Stored(arrays=[array], name=str(path))


def load_npy(path: Path) -> NDArray[Any]:
    """All values of a NPY file, whose length is compared with its header first.

    Raises:
        UserError: if the file is cut short or does not hold numbers.
    """
    with path.open("rb") as file:
        header = _read_header(file)
    _check_numeric(path, path.name, header)
    if min(header.shape, default=0) < 1:  # of one number or none
        return np.asarray(np.load(path, allow_pickle=False))
    return np.array(_map(path, header, header.length))


def open_npz(path: Path, key: str | None, dims: Sequence[int]) -> Stored:
    """Open one array of a NPZ file, and load what may be its spectral axis.

    Raises:
        UserError: if the file is damaged or has no such array.
    """
    with reading(path, "NPZ"), zipfile.ZipFile(path) as archive:
        headers = npz_headers(archive)
        shapes = {name: header.shape for name, header in headers.items()}
        chosen, notes = choose_key(path, shapes, key, dims)
        axes = [
            AxisCandidate(name, np.asarray(load_member(path, archive, name), dtype=np.float64).ravel(), unit or None)
            for name, shape in shapes.items()
            if (unit := axis_unit(name)) is not None and is_list(shape, shapes[chosen])
        ]
        array = load_member(path, archive, chosen)
    return Stored(arrays=[array], name=f"{path}:{chosen}", axes=axes, notes=notes)


def npz_headers(archive: zipfile.ZipFile) -> dict[str, _Header]:
    """Header of each numeric array of a NPZ file; the arrays themselves are not read."""
    headers = {}
    for member in archive.namelist():
        if member.endswith(".npy"):
            with archive.open(member) as stream:
                header = _read_header(stream)
            if header.dtype.kind in "iufb":
                headers[member.removesuffix(".npy")] = header
    return headers


def load_member(path: Path, archive: zipfile.ZipFile, name: str) -> NDArray[Any] | FileNumbers:
    """One array of an open NPZ file: left there where it is stored plainly, else decompressed once to disk.

    Raises:
        UserError: if the file is cut short.
    """
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        header = _read_header(stream)
        if min(header.shape, default=1) < 1:
            return np.empty(header.shape, header.dtype)
        if info.compress_type != zipfile.ZIP_STORED:
            size = header.length + math.prod(header.shape) * header.dtype.itemsize
            if size > info.file_size or size > MOST_DEFLATED * max(info.compress_size, 1):
                raise UserError(
                    f"{path}: damaged: '{name}' should have shape {header.shape} {header.dtype}, its archive has "
                    f"{info.compress_size} bytes of it"
                )
            array = spool(stream, header.shape, header.dtype, f"{path}:{name}", header.order)
            stream.read()  # reaching the end is what compares the checksum
            return array
    check_members(path, archive, [info])  # a map reads past the checksum
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(_LOCAL_HEADER)
    start = info.header_offset + _LOCAL_HEADER + int.from_bytes(local[26:28], "little")
    return _map(path, header, start + int.from_bytes(local[28:30], "little") + header.length)


def _read_header(stream: IO[bytes]) -> _Header:
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = npy_format.read_array_header_1_0(stream)
    else:
        shape, fortran, dtype = npy_format.read_array_header_2_0(stream)
    return _Header(shape, "F" if fortran else "C", dtype, stream.tell())


def _check_numeric(path: Path, name: str, header: _Header) -> None:
    if header.dtype.kind not in "iufb":
        raise UserError(f"{path}: '{name}' holds {header.dtype}, expected integer or real numbers")


def _map(path: Path, header: _Header, offset: int) -> FileNumbers:
    check_size(path, header.dtype, header.shape, offset)
    return FileNumbers(path, header.dtype, header.shape, offset, header.order)
