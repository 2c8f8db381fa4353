"""One file per format; `open_stored` picks the reader by the file's content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.data.readers.signature import file_format
from deepspec.data.readers.table import READERS, cube_formats
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepspec.data.readers.stored import Stored


def open_stored(path: Path, dataset: str | None, dims: Sequence[int]) -> Stored:
    """Open the array named `dataset` (default: guessed) of a file, with one of `dims` numbers of dimensions.

    Raises:
        UserError: if the file is missing, damaged, of an unknown format, or has no such array.
    """
    kind = file_format(path)
    if kind not in READERS:
        raise UserError(f"{path}: a {kind} file holds no cube, expected one of {', '.join(cube_formats())}")
    return READERS[kind].open(path, dataset, dims)
