"""Compare every member of a ZIP archive with its checksum before anything of it is used.

Checkpoints, `.pt` files and NPZ are ZIP archives. Each member has a CRC-32 in the archive's list, but neither torch nor
a memory map looks at it: a flipped bit in a weight would be another weight, without a word.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
)
"""What Python's zipfile raises on an archive that is damaged."""

_PIECE = 2**20
MOST_DEFLATED = 1032  # to 1: what deflate reaches at most


def check_archive(path: Path) -> None:
    """Read all members of an archive and compare each with its checksum.

    Raises:
        UserError: the archive or one of its members is damaged; the message names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive, archive.infolist())
    except UserError:
        raise
    except DAMAGE as error:
        raise _damaged(path, str(error)) from error


def check_members(path: Path, archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo]) -> None:
    """Read some members of an open archive and compare each with its checksum.

    Args:
        path: the archive's file, for messages.
        archive: it, open for reading.
        members: which.

    Raises:
        UserError: one of them is damaged.
    """
    for member in members:
        if member.file_size > MOST_DEFLATED * max(member.compress_size, 1):
            raise _damaged(path, f"{member.compress_size} bytes of '{member.filename}' cannot be {member.file_size}")
        try:
            with archive.open(member) as stream:
                while stream.read(_PIECE):  # zipfile compares at the end of each member
                    pass
        except DAMAGE as error:
            raise _damaged(path, f"'{member.filename}': {error}") from error


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path}: damaged archive, its content does not match its checksums ({' '.join(reason.split())}); "
        "copy or make it again"
    )
