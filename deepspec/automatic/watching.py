"""Progress of a training, from the lines that it prints, for a caller that shows bars instead of lines."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Show = Callable[[str, int, int], None]

_EPOCH = re.compile(r"epoch (?P<epoch>\d+)(?:/(?P<epochs>\d+)|, step (?P<step>\d+)/(?P<steps>\d+))")


@contextlib.contextmanager
def lines_as_progress(show: Show, step: str = "training") -> Iterator[None]:
    """Take what is printed to standard output while the block runs, and show the epochs among it as progress.

    Args:
        show: called with `step`, the epochs or steps that are done, and all.
        step: what the progress is called.
    """

    def seen(line: str) -> None:
        found = _EPOCH.match(line)
        if found is not None:
            done, total = found["step"] or found["epoch"], found["steps"] or found["epochs"]
            show(step, int(done), int(total))

    with contextlib.redirect_stdout(_Lines(seen)):
        yield


class _Lines(io.TextIOBase):
    """Hands on whole lines."""

    def __init__(self, seen: Callable[[str], None]) -> None:
        self._seen, self._begun = seen, ""

    def writable(self) -> bool:
        """Whether it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Take a piece of text."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._seen(line)
        return len(text)
