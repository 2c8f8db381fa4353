"""`python -m deepspec.workers.worker`: a process of `run_in_processes`. Jobs come in and outcomes go out, pickled."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from deepspec.workers.job import attempt

if TYPE_CHECKING:
    from typing import BinaryIO


def main() -> None:
    """Work until there is no more, or until a job has left the process in doubt."""
    signal.signal(signal.SIGTERM, _leave)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get between the answers
        _serve(sys.stdin.buffer, answers)


def _serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    while True:
        try:
            job = pickle.load(jobs)
        except EOFError:
            return
        outcome = attempt(job)
        pickle.dump(outcome, answers)
        answers.flush()
        if outcome.state == "crashed":
            return


def _leave(signum: int, _: Any) -> NoReturn:
    """Let half-written folders be removed on the way out."""
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    main()
