"""Cubes in two files: a text header, and bare numbers beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from deepspec.data.readers.file_numbers import FileNumbers
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np


def data_of(header: Path, extensions: Sequence[str]) -> Path:
    """The file with the numbers that `header` describes: of the same name, with one of `extensions` in any case.

    Raises:
        UserError: if there is none, or more than one.
    """
    stem = header.stem.lower()
    names = {stem + extension for extension in extensions}
    beside = {p.name.lower(): p for p in sorted(header.parent.iterdir()) if p.is_file() and p != header}
    found = [p for name, p in beside.items() if name in names]
    if len(found) > 1:  # NAME.EXT.hdr describes NAME.EXT alone
        found = [p for p in found if f"{p.name.lower()}{header.suffix.lower()}" not in beside] or found
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
