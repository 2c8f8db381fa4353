"""Which workers of this node are alive: each locks a file of its own, and the kernel takes the lock back at its end."""

from __future__ import annotations

import fcntl
import os
import socket
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def worker_lock(folder: Path) -> Iterator[str]:
    """Hold a lock while the block runs.

    Args:
        folder: of the locks; made if missing.

    Yields:
        The worker's name, HOST:PID:RANDOM, unique over nodes and restarts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    path = _path(folder, name)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield name
        finally:
            path.unlink(missing_ok=True)


def is_dead(folder: Path, worker: str) -> bool:
    """Whether a worker of this node has ended without taking leave; False where that cannot be told."""
    path = _path(folder, worker)
    if worker.split(":")[0] != socket.gethostname() or not path.is_file():
        return False  # locks of other nodes may or may not be seen over a network file system
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _path(folder: Path, worker: str) -> Path:
    return folder / f"{worker.replace(':', '-')}.lock"
