"""What the library has to say that is no error: what it took from a file, what it left out, what will take long.

It goes to the logger `deepspec`, whose lines stand on standard error as they are. A program silences it with
`logging.getLogger("deepspec").setLevel("WARNING")`, or sends it elsewhere with a handler of its own.
"""

from __future__ import annotations

import logging
import sys

_LOGGER = logging.getLogger("deepspec")


class _OnStandardError(logging.Handler):
    """Writes to what `sys.stderr` is at the moment, which notebooks, tests and jobs put others in the place of."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        print(self.format(record), file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Say something in a line."""
    if not _LOGGER.handlers:
        _LOGGER.addHandler(_OnStandardError())
        _LOGGER.propagate = False  # else a program that logs to the terminal shows each line twice
    if _LOGGER.level == logging.NOTSET:
        _LOGGER.setLevel(logging.INFO)
    _LOGGER.info(text)
