"""`python tether.py PARENT COMMAND...`: become COMMAND, as a process that is told to end when its parent is gone.

Run as a file and with nothing imported that takes time. Linux only does it; elsewhere the command just runs on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then replace it."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # gone before the line above took effect
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
