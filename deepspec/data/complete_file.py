"""Files that appear under their name when they are complete."""

from __future__ import annotations

import errno
import glob
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def complete_or_absent(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary name beside `path` to write to: renamed when all went well, removed when not.

    Args:
        path: of the file.
        durable: whether the file outlives a loss of power from then on, which waits for the disk. What processes left
            that were killed while they wrote it is then removed too.
    """
    if durable:
        _remove_left(path)
    part = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        yield part
        if durable:
            flush_to_disk(part)
        os.replace(part, path)
        if durable:
            flush_to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems flush no folders; whatever else it is would be the loss of the file.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or path.is_file():
            raise
    finally:
        os.close(handle)


def _remove_left(path: Path) -> None:
    """Remove the temporary files of processes of this machine that are no more."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        host, _, process = left.name.removeprefix(f"{path.name}.").removesuffix(".part").rpartition(".")
        if host == socket.gethostname() and process.isdecimal() and not _is_alive(int(process)):
            with suppress(FileNotFoundError):  # another process removes them too
                left.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True
