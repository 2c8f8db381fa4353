"""Files packed by gzip, as surveys publish FITS cubes: unpacked once into a temporary folder, and read there."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.data.readers.signature import file_format
from deepspec.data.readers.stored import reading
from deepspec.data.readers.table import READERS
from deepspec.errors import UserError
from deepspec.notes import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.data.readers.stored import Stored

_MOST_PACKED = 300  # bytes for one; measured data are packed far less, gzip itself reaches 1,032 on zeros
_BIG = 256 * 2**20  # bytes; below it nothing is said
_PIECE = 2**20
_SPARED = 2**28  # bytes of the disk that are left


def open_gzip(path: Path, dataset: str | None, dims: Sequence[int]) -> Stored:
    """Open the cube in a file that gzip packed; the unpacked copy vanishes when it is closed.

    Args:
        path: the file, of any format that is one file.
        dataset: name of the array, as the format has it.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: the file is damaged or cut short, unpacks to far more than data do, or to more than the folder of
            temporary files has room for; or what is in it cannot be read.
    """
    folder = tempfile.TemporaryDirectory(prefix="deepspec-")
    try:
        inner = Path(folder.name) / (path.stem or "unpacked")
        with reading(path, "gzip"):
            _unpack(path, inner)
        try:
            kind = file_format(inner)
            if kind not in READERS or kind == "gzip":
                raise UserError(f"{path}: a {kind} file within a gzip file holds no cube that is read")
            stored = READERS[kind].open(inner, dataset, dims)
        except UserError as error:
            raise UserError(str(error).replace(str(inner), str(path))) from error
    except BaseException:
        folder.cleanup()
        raise
    stored.name = stored.name.replace(str(inner), str(path))
    close = stored.close

    def close_both() -> None:
        close()
        folder.cleanup()

    stored.close = close_both
    return stored


def _unpack(path: Path, target: Path) -> None:
    """Write the content of a file, whose checksum gzip compares at its end."""
    packed = path.stat().st_size
    most = min(_MOST_PACKED * packed + _PIECE, shutil.disk_usage(target.parent).free - _SPARED)
    written = 0
    with gzip.open(path) as source, target.open("wb") as file:
        while piece := source.read(_PIECE):
            if written <= _BIG < written + len(piece):
                note(f"{path}: unpacking it once into a temporary file in {target.parent.parent}")
            written += len(piece)
            if written > most:
                why = (
                    f"to more than {_MOST_PACKED} times its size, as no measured data do"
                    if written > _MOST_PACKED * packed
                    else f"to more than {target.parent.parent} has room for; set TMPDIR to a folder with more"
                )
                raise UserError(f"{path}: it unpacks {why}")
            file.write(piece)
