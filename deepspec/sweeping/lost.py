"""Trials whose worker has ended: found, marked as failed and queued again. And which trials count.

Each worker of this node locks a file of its own, and the kernel takes the lock back at its end.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import uuid
import warnings
from contextlib import contextmanager
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
        locks: folder of the workers' locks on this node; see `worker_lock`.
    """

    def __init__(self, study: optuna.Study, locks: Path) -> None:
        self._study, self._locks = study, locks
        # By our own clock: the clocks and time zones of other nodes may differ.
        self._unnamed: dict[int, float] = {}

    @property
    def unclear(self) -> bool:
        """Whether there is a trial of which it will soon be known whether it has a worker."""
        return bool(self._unnamed)

    def requeue(self) -> list[int]:
        """Fail and requeue them: those of this node by their locks, of others by the storage's heartbeat.

        Returns:
            Numbers of the trials of this node.
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
            dead = is_dead(self._locks, worker) if worker else time.monotonic() - since > UNNAMED_FOR
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
