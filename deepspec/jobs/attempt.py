"""One piece of work, tried so that its failure is a result like any other."""

from __future__ import annotations

import contextlib
import io
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Literal, Protocol

from deepspec.errors import UserError, failure_of_the_system

_ALONE = threading.Lock()


class RefusedError(UserError):
    """A mistake in the options that all jobs share: no job can do it."""


@dataclass(frozen=True)
class Finished:
    """What a job found."""

    summary: str
    """In a line."""
    kept: bool = False
    """Whether it had been done before."""


class Job(Protocol):
    """A piece of work that can be pickled."""

    @property
    def name(self) -> str:
        """What to call it, in a word."""

    def anywhere(self) -> Job:
        """The same with absolute names of all files, for processes that work elsewhere."""

    def run(self) -> Finished:
        """Do it.

        Raises:
            RefusedError: no job of this kind can be done.
            UserError: this one cannot be done.
        """


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    name: str
    """Of the job."""
    state: Literal["done", "kept", "failed", "crashed", "refused"]
    """kept: it had been done before; failed: as it must; crashed: for a reason that nobody foresaw, after which the
    process may not be fit for another job; refused: as every other one would be."""
    text: str
    """What was found, or why not, in a line."""
    notes: str = ""
    """What was printed meanwhile, and the traceback of a crash."""
    seconds: float = 0.0
    """That it took."""


def attempt(job: Job) -> Outcome:
    """Run a job; one at a time in a process, for memory and because torch's settings belong to the process."""
    printed = io.StringIO()
    with _ALONE:
        begun = time.monotonic()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                found = job.run()
        except UserError as error:
            state: Literal["refused", "failed"] = "refused" if isinstance(error, RefusedError) else "failed"
            return Outcome(job.name, state, str(error), printed.getvalue(), time.monotonic() - begun)
        except Exception as error:  # noqa: BLE001, told to the user, and the other jobs do not suffer from it
            failure = failure_of_the_system(error)
            if failure is not None:
                return Outcome(job.name, "failed", failure[0], printed.getvalue(), time.monotonic() - begun)
            text = " ".join(f"{type(error).__name__}: {error}".split())
            notes = printed.getvalue() + traceback.format_exc()
            return Outcome(job.name, "crashed", text, notes, time.monotonic() - begun)
        seconds = time.monotonic() - begun
    return Outcome(job.name, "kept" if found.kept else "done", found.summary, printed.getvalue(), seconds)
