"""Tell how many jobs do while they run, and what failed in the end."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from deepspec.jobs.attempt import RefusedError
from deepspec.progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Generator

    from deepspec.jobs.attempt import Outcome

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
