"""Where a study is kept: a journal file in its folder, or a database.

The journal's lock is ours, and the kernel takes it back when its holder dies. Optuna's own locks are files that a
killed worker leaves behind. The next one then waits half a minute before it takes such a file for left behind, or for
ever where the journal's name was relative.
"""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
import warnings
from typing import TYPE_CHECKING

from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.storages.journal._file import BaseJournalFileLock  # the interface is not exported

from deepspec.errors import UserError, without_passwords
from deepspec.sweeping.lost import requeue

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from optuna.trial import FrozenTrial


HEARTBEAT = 60
"""Seconds between signs of life of a trial in a database."""

GRACE = 600
"""Seconds without one after which a trial is taken for dead. Short ones kill trials whose worker is only slow."""

ATTEMPTS = 5
"""To make the tables of a database that others make at the same moment."""


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


def open_storage(url: str | None, journal: Path, workers: int) -> JournalStorage | RDBStorage:
    """Open the journal, or connect to the database.

    Args:
        url: of the database; None for the journal.
        journal: file of the journal; made if missing.
        workers: threads that will use it.

    Raises:
        UserError: the database cannot be used, or its driver is missing.
    """
    if url is None:
        journal.parent.mkdir(parents=True, exist_ok=True)
        _mend(journal)
        return JournalStorage(JournalFileBackend(str(journal), JournalLock(journal)))
    return _connect(url, 2 * workers + 4)


def _connect(url: str, connections: int) -> RDBStorage:
    from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

    for attempt in range(ATTEMPTS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    # SQLAlchemy's default driver has changed with its versions; this is the one of our extra.
                    url.replace("postgresql://", "postgresql+psycopg://", 1),
                    # Idle connections are given back: a server allows a hundred by default, and workers are many.
                    engine_kwargs={"pool_pre_ping": True, "pool_size": 1, "max_overflow": connections},
                    heartbeat_interval=HEARTBEAT,
                    grace_period=GRACE,
                    heartbeat_stale_trial_callback=_requeue_dead,
                )
        except ImportError as error:
            raise UserError(
                f"storage: the database's driver is missing ({error}): pip install 'deepspec[postgresql]', or name an "
                "installed one as in mysql+pymysql://..."
            ) from error
        except SQLAlchemyError as error:
            # Workers that start together on an empty database make the same tables: one succeeds, the rest try again.
            if isinstance(error, IntegrityError | ProgrammingError) and attempt + 1 < ATTEMPTS:
                time.sleep(random.uniform(0.5, 2))
                continue
            first = str(error).strip().splitlines()[0]
            raise UserError(f"storage: the database cannot be used: {without_passwords(first)}") from error
    raise AssertionError("unreachable")


def _requeue_dead(study: optuna.Study, trial: FrozenTrial) -> None:
    requeue(study, trial, died=True)


def _mend(journal: Path) -> None:
    """Cut off a last line that a killed machine left unfinished: with it no worker could read what follows."""
    if not journal.is_file() or journal.stat().st_size == 0:
        return
    lock = JournalLock(journal)
    lock.acquire()
    try:
        with journal.open("r+b") as file:
            content = file.read()
            if not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()
