"""A process that this one starts: tied to it, ended with all that it started, and what its end says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from deepspec.workers import tether

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 20
"""Seconds between asking a process to end and making it."""


def tethered(command: Sequence[str]) -> list[str]:
    """A command whose process is told to end when this one is gone, however that ends.

    It is to be started with `start_new_session=True`: Ctrl-C is for this process, and `end` ends the whole session.
    """
    return [sys.executable, "-I", "-S", str(tether.__file__), str(os.getpid()), *command]


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and all that it started to end; after a while, make them."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # such as further ranks, if any are left
    process.wait()


def ended_by(status: int) -> str:
    """What ended a process that did not end by itself, from its negative exit status.

    >>> ended_by(-15), ended_by(-9)
    ('ended by signal 15', 'ended by signal 9: out of memory?')
    """
    return f"ended by signal {-status}{': out of memory?' if status == -signal.SIGKILL else ''}"
