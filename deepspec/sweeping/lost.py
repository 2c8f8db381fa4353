"""Trials whose worker has ended: found, marked as failed and queued again. And which trials count.

Each worker locks a file of its own, and the kernel takes the lock back at its end: workers of one machine know each
other's end at once. Of other machines, and of containers, the lock may not be seen; a worker also touches its file
again and again, and one that has not done so for long is taken for dead.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import time
import uuid
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from optuna.trial import FrozenTrial


MOST_DEATHS = 3
"""A trial that took its worker with it so often is not tried again."""

UNNAMED_FOR = 30.0
"""Seconds that a running trial may be without its worker's name, which it gets right after its start."""


BEAT = 10.0
"""Seconds between two touches of a worker's file."""

SILENT_FOR = 300.0
"""Seconds without a touch after which a worker of another machine is taken for dead: network file systems show one to
others only after up to a minute, and a worker may wait for the storage."""


@dataclass(frozen=True)
class WorkerFile:
    """What a living worker has in the folder of the locks."""

    name: str
    """HOST:PID:RANDOM, unique over nodes and restarts."""
    path: Path
    """The file that it has locked."""

    def touch(self) -> None:
        """Show that the worker lives, if the last time was a while ago."""
        if time.time() - self.path.stat().st_mtime > BEAT:
            os.utime(self.path)


@contextmanager
def worker_lock(folder: Path) -> Iterator[WorkerFile]:
    """Hold a lock while the block runs.

    Args:
        folder: of the locks; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    path = _path(folder, name)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield WorkerFile(name, path)
        finally:
            path.unlink(missing_ok=True)


def is_dead(folder: Path, worker: str, *, shared: bool = False) -> bool:
    """Whether a worker has ended; False where that cannot be told.

    Args:
        folder: of the workers' files.
        worker: its name.
        shared: whether all workers of the study have this folder, so that one without a file has left it.
    """
    path = _path(folder, worker)
    try:
        if _is_locked(path):
            return False
        # Locks of other machines may or may not be seen over a network file system.
        return worker.split(":")[0] == socket.gethostname() or _silence(path) > SILENT_FOR
    except FileNotFoundError:
        return shared


def _is_locked(path: Path) -> bool:
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
    return False


def _silence(path: Path) -> float:
    """Seconds since a file was touched, by the clock that gave it its time: that of the file system."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".now-") as now:
        return os.stat(now.name).st_mtime - path.stat().st_mtime


def _path(folder: Path, worker: str) -> Path:
    return folder / f"{worker.replace(':', '-')}.lock"


def requeue(study: optuna.Study, trial: FrozenTrial, *, died: bool) -> None:
    """Queue a trial's parameters and seed again as a new trial, unless it was, or has killed too many workers.

    Args:
        study: the trial's study.
        trial: which was lost.
        died: whether its worker died, rather than being asked to stop.
    """
    deaths = trial.user_attrs.get("deaths", 0) + died
    if deaths > MOST_DEATHS or trial.number in superseded(study.get_trials(deepcopy=False)):
        return
    kept = {key: trial.user_attrs[key] for key in ("seed",) if key in trial.user_attrs}
    study.enqueue_trial(
        {**trial.system_attrs.get("fixed_params", {}), **trial.params},
        user_attrs={**kept, "retry_of": trial.number, "deaths": deaths},
    )


class LostTrials:
    """Finds the trials of workers that have died.

    Args:
        study: which.
        locks: folder of the workers' files; see `worker_lock`.
        shared: whether all workers have it, as those of a journal do.
    """

    def __init__(self, study: optuna.Study, locks: Path, *, shared: bool = False) -> None:
        self._study, self._locks, self._shared = study, locks, shared
        # By our own clock: the clocks and time zones of other nodes may differ.
        self._unnamed: dict[int, float] = {}

    @property
    def unclear(self) -> bool:
        """Whether there is a trial of which it will soon be known whether it has a worker."""
        return bool(self._unnamed)

    def requeue(self) -> list[int]:
        """Fail and requeue them, by the files of their workers or by the heartbeat of a database.

        Returns:
            Numbers of the trials that their workers' files told of.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        seen = self._unnamed
        self._unnamed = {}
        found = []
        for trial in running:
            worker = trial.user_attrs.get("worker")
            since = seen.get(trial.number, time.monotonic())
            dead = (
                is_dead(self._locks, worker, shared=self._shared) if worker else time.monotonic() - since > UNNAMED_FOR
            )
            if dead and give_up(self._study, trial.number):
                requeue(self._study, trial, died=True)
                found.append(trial.number)
            elif not worker and not dead:
                self._unnamed[trial.number] = since
        return found


def requeue_failed(study: optuna.Study) -> int:
    """Queue all trials again that have failed by themselves; returns how many."""
    failed = [trial for trial in counted(study.get_trials(deepcopy=False)) if trial.state == TrialState.FAIL]
    for trial in failed:
        requeue(study, trial, died=False)
    return len(failed)


def give_up(study: optuna.Study, number: int) -> bool:
    """Mark a running trial as failed; False if another worker was quicker."""
    try:
        study.tell(number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return False
    return True


def superseded(trials: Sequence[FrozenTrial]) -> set[int]:
    """Numbers of the trials that were queued again."""
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count towards the number wanted: not those queued again, nor those that were one too many."""
    again = superseded(trials)
    return [trial for trial in trials if trial.number not in again and not trial.user_attrs.get("surplus")]
