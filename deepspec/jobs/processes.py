"""Jobs in processes of this node, handed out one at a time.

A process that dies takes nothing with it but the job it was at; another takes its place. If this process ends, however
it does, its workers end too.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from contextlib import suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from deepspec.jobs.attempt import Outcome
from deepspec.sweeping import tether
from deepspec.sweeping.trial import OUT_OF_MEMORY, end

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from deepspec.jobs.attempt import Job


def run_in_processes(jobs: Sequence[Job], environments: Sequence[Mapping[str, str]]) -> Generator[Outcome, None, None]:
    """Run jobs side by side.

    Args:
        jobs: what to do, begun in this order.
        environments: one for each process: which GPU it sees, how many threads it uses.

    Yields:
        What became of each job, as they end. To stop, close the generator: no process is left.
    """
    waiting = deque(jobs)
    busy: dict[Any, _Worker] = {}  # by the pipe that its next outcome comes through
    try:
        for environment in environments[: len(jobs)]:
            worker = _Worker(environment)
            busy[worker.pipe] = worker
            worker.give(waiting.popleft())
        while busy:
            for pipe in wait(list(busy)):
                worker = busy[pipe]
                outcome = worker.outcome()
                if not waiting or not worker.is_fit:
                    worker.end()
                    del busy[pipe]
                if waiting:
                    worker = worker if worker.is_fit else _Worker(worker.environment)
                    busy[worker.pipe] = worker
                    worker.give(waiting.popleft())
                yield outcome
    finally:
        for worker in busy.values():
            worker.end()


class _Worker:
    """A process that runs `deepspec.jobs.worker`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.is_fit = True
        own = [sys.executable, "-m", "deepspec.jobs.worker"]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(tether.__file__), str(os.getpid()), *own],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which then ends its workers
        )
        self._job: Job | None = None

    @property
    def pipe(self) -> Any:
        return self._process.stdout

    def give(self, job: Job) -> None:
        self._job = job
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, which `outcome` will notice
            pickle.dump(job, self._process.stdin)
            self._process.stdin.flush()

    def outcome(self) -> Outcome:
        """What became of its job; waits for it."""
        assert self._job is not None
        try:
            found = pickle.load(self.pipe)
        except (EOFError, pickle.UnpicklingError):
            self.is_fit = False
            return Outcome(self._job.name, "crashed", self._last_words())
        assert isinstance(found, Outcome)
        # A GPU is of no more use to a process after some errors, and memory may be lost after others.
        self.is_fit = found.state != "crashed"
        return found

    def _last_words(self) -> str:
        status = self._process.wait()
        if status >= 0:
            return f"its process ended with status {status}"
        hint = ": out of memory?" if status == OUT_OF_MEMORY else ""
        return f"its process was ended by signal {-status}{hint}"

    def end(self) -> None:
        end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
