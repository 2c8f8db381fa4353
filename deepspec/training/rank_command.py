"""The command with which rank 0 starts the other ranks of its machine.

Lightning starts again what `sys.argv` and `__main__` name, which is the right command for `python -m deepspec.fit`
alone: of `deepspec fit` they name a script without its verb, and of a program that calls `deepspec.fit.main` the whole
program. Each rank is `python -m deepspec.fit` with the same words, whatever rank 0 was started as.
"""

from __future__ import annotations

import os
import sys
from types import MethodType
from typing import TYPE_CHECKING

from lightning.pytorch.strategies.launchers import subprocess_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

_COMMAND = "_basic_subprocess_cmd"
"""Lightning's function for the words of a rank's command; there is no public way to give it others."""


def start_ranks_as(launcher: _SubprocessScriptLauncher, args: Sequence[str]) -> None:
    """Let a launcher start its ranks as `python -m deepspec.fit` with these words.

    Args:
        launcher: of the trainer's strategy, before it has started any.
        args: the command line of `fit`, without the program's name.
    """
    start = launcher._call_children_scripts

    def started(_self: _SubprocessScriptLauncher) -> None:
        lightnings, path = getattr(subprocess_script, _COMMAND), os.environ.get("PYTHONPATH")
        setattr(subprocess_script, _COMMAND, lambda: command(args))
        # The same modules as here, also those beside a user's own program: -P adds no folder of its own.
        os.environ["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        try:
            start()
        finally:
            setattr(subprocess_script, _COMMAND, lightnings)
            if path is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = path

    launcher._call_children_scripts = MethodType(started, launcher)  # type: ignore[method-assign]


def command(args: Sequence[str]) -> list[str]:
    """The words of a rank's command."""
    return [sys.executable, "-P", "-m", "deepspec.fit", *args]
