"""Jobs in processes of this node, handed out one at a time, and what is said of them meanwhile and in the end.

A process that dies takes nothing with it but the job it was at; another takes its place. If this process ends, however
it does, its workers end too.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter, deque
from contextlib import closing, suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from deepspec.progress import progress_bars
from deepspec.workers.job import Outcome, RefusedError
from deepspec.workers.process import end, ended_by, tethered

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from deepspec.workers.job import Job


STOPPED = 130
"""Exit status after Ctrl-C, as shells have it."""


def follow(outcomes: Generator[Outcome, None, None], total: int, what: str) -> None:
    """Print a line for each job as it ends, and at last those that failed.

    Args:
        outcomes: of the jobs; closed if not all of them are wanted.
        total: how many there are.
        what: what they are called, such as cubes.

    Raises:
        RefusedError: the options cannot be followed for any job.
        SystemExit: status 1 if some failed; 130 after Ctrl-C.
    """
    ended: list[Outcome] = []
    try:
        with closing(outcomes), progress_bars() as show:
            show(what, 0, total)
            for outcome in outcomes:
                if outcome.state == "refused":
                    raise RefusedError(outcome.text)
                ended.append(outcome)
                _tell(outcome, f"[{len(ended)}/{total}]")
                show(what, len(ended), total)
    except KeyboardInterrupt:
        _complain(f"stopped after {len(ended)} of {total} {what}; the same command goes on from there")
        raise SystemExit(STOPPED) from None
    count = Counter(outcome.state for outcome in ended)
    failed = count["failed"] + count["crashed"]
    print(f"{total} {what}: {count['done']} done, {count['kept']} kept from before, {failed} failed", flush=True)
    if failed:
        _complain("failed, and will be tried again by the same command:")
        for outcome in ended:
            if outcome.state in ("failed", "crashed"):
                _complain(f"  {_named(outcome, outcome.text)}")
        raise SystemExit(1)


def _tell(outcome: Outcome, place: str) -> None:
    for note in outcome.notes.splitlines():
        _complain(_named(outcome, note))
    if outcome.state in ("failed", "crashed"):
        _complain(f"{place} failed: {_named(outcome, outcome.text)}")
    else:
        seconds = f" ({outcome.seconds:.0f} s)" if outcome.state == "done" else ""
        print(f"{place} {_named(outcome, outcome.text)}{seconds}", flush=True)


def _named(outcome: Outcome, text: str) -> str:
    """A line about a job, which may begin with its name already."""
    return text if text.startswith(outcome.name) else f"{outcome.name}: {text}"


def _complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


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
    """A process that runs `deepspec.workers.worker`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.is_fit = True
        self._process = subprocess.Popen(
            tethered([sys.executable, "-m", "deepspec.workers.worker"]),
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
        return f"its process was {ended_by(status)}"

    def end(self) -> None:
        end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
