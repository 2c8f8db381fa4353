"""HDF5 files with a checksum over all their bytes, which is compared before HDF5 itself sees any of them.

HDF5 lets a file begin with a "user block" that belongs to whoever writes it. Ours holds one line of text, the SHA-256
of all that follows, and is otherwise empty:

    deepspec sha256 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

Any HDF5 program reads such a file; one that changes it breaks the seal. Files of before there were seals have none.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from deepspec.data.hdf5_writing import write_hdf5
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import h5py

_BLOCK = 512  # bytes; the smallest user block
_MARK = b"deepspec sha256 "
_PIECE = 2**20


@contextmanager
def sealed_hdf5(path: Path) -> Iterator[h5py.File]:
    """Make an HDF5 file to write into, which is sealed when the block ends.

    Args:
        path: a temporary name, which the caller then gives up for the final one.
    """
    with write_hdf5(path, userblock_size=_BLOCK) as file:
        yield file
    seal(path)


def seal(path: Path) -> None:
    """Write the checksum of a file that has a user block; one that has none of ours is left as it is."""
    with path.open("r+b") as file:
        head = file.read(_BLOCK)
        if head.strip(b"\0") and not head.startswith(_MARK):
            return
        line = _MARK + _digest(file).encode() + b"\n"
        file.seek(0)
        file.write(line.ljust(_BLOCK, b"\0"))


def check_seal(path: Path) -> None:
    """Compare a file with its seal, if it has one.

    Raises:
        UserError: the file is damaged, or was changed by another program.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_BLOCK)
        if _is_sealed(head) and head != (_MARK + _digest(file).encode() + b"\n").ljust(_BLOCK, b"\0"):
            raise UserError(
                f"{path}: damaged: its content does not match its checksum, so a part of it was lost or it was "
                "changed by another program; make it again"
            )


def _is_sealed(head: bytes) -> bool:
    """Whether a file begins with our line, or with what may be left of it.

    A whole user block that is empty is that of a file whose writer died; HDF5 never leaves one of its own accord.
    """
    return head[: len(_MARK)] == _MARK or (len(head) == _BLOCK and not head.startswith(b"\x89HDF") and _near(head))


def _near(head: bytes) -> bool:
    """Whether a damaged line is ours: more of its first letters are right than chance would give."""
    return sum(a == b for a, b in zip(head, _MARK, strict=False)) > len(_MARK) // 2 or not head.strip(b"\0")


def _digest(file: BinaryIO) -> str:
    file.seek(_BLOCK)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
