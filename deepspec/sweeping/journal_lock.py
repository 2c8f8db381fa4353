"""The lock on a study's journal: the kernel takes it back when its holder dies.

Optuna's own locks are files that a killed worker leaves behind. The next one then waits half a minute before it takes
such a file for left behind, or for ever where the journal's name was relative.
"""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

from optuna.storages.journal._file import BaseJournalFileLock  # the interface is not exported

if TYPE_CHECKING:
    from pathlib import Path


class JournalLock(BaseJournalFileLock):
    """Held by one thread of one process of a node at a time.

    Args:
        journal: the file; the lock is one beside it, which stays.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal.absolute().with_suffix(".lock")
        self._held = threading.local()

    def acquire(self) -> bool:
        """Wait for it."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except BaseException:
            os.close(handle)
            raise
        self._held.handle = handle
        return True

    def release(self) -> None:
        """Give it back."""
        os.close(self._held.handle)
