"""Ends all processes of a run when one of them has died, and says which.

Lightning starts ranks 1, 2, ... of a machine as children of rank 0. Left alone, a rank that dies leaves the others with
pages of traceback from a broken connection, or, on GPUs, waiting for it for half an hour; Lightning's own watch kills
them without a word. And a SIGTERM, with which schedulers end jobs, makes Lightning's ranks wait for each other forever.

Where torchrun or SLURM start the ranks, they see to all this.

Rank 0 starts the other ranks of its machine by a command. Lightning would start again what `sys.argv` and `__main__`
name, which is the right command for `python -m deepspec.fit` alone: of `deepspec fit` they name a script without its
verb, and of a program that calls `deepspec.fit.main` the whole program. Each rank is `python -m deepspec.fit` with the
same words, whatever rank 0 was started as.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import MethodType
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher, subprocess_script

from deepspec.errors import UserError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from types import FrameType
    from typing import NoReturn, Self

    import lightning


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


_PARENT = "DEEPSPEC_FIRST_RANK"
"""Environment variable with the process number of rank 0, by which a process knows that rank 0 started it."""

_LOOK = 0.5
"""Seconds between looks for rank 0, and for children that have been started."""

_FIRST_SAYS = 1.0
_OTHERS_SAY = 3.0
"""Seconds that an error waits, on rank 0 and on the others: it may be the echo of another's death, or everyone's."""

_LAST_STEPS = 30.0
"""Seconds that the other ranks may take to end after rank 0 is done."""


class RankWatch(Callback):
    """Watches the processes of a run as a context around it; does nothing if there is one process.

    Also a callback, because Lightning takes over SIGTERM when training starts: the ranks give it back, so that it ends
    them. On rank 0 it ends the run as an error would, and loggers close their files.

    Args:
        args: the command line of `fit`, without the program's name, that the other ranks are started with.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self._args = list(args)
        self._over = threading.Event()
        self._children: list[subprocess.Popen[bytes]] = []
        self._launcher: Any = None

    def watch(self, trainer: lightning.Trainer) -> Self:
        """Watch the run of a trainer that has this among its callbacks, in a `with` statement.

        Raises:
            UserError: the trainer's strategy starts processes in a way that the command line cannot follow.
        """
        self._launcher = trainer.strategy.launcher
        if not isinstance(self._launcher, (_SubprocessScriptLauncher, type(None))):
            raise UserError("trainer.strategy: expected one that starts the command again for each rank, such as ddp")
        if self._launcher is not None:
            start_ranks_as(self._launcher, self._args)
        return self

    def __enter__(self) -> Self:
        if _started_by_first_rank():
            _thread(self._follow_first_rank)
        elif self._launcher is not None:
            os.environ[_PARENT] = str(os.getpid())  # for the children
            _thread(self._find_children)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and self._in_company():
            time.sleep(_OTHERS_SAY if _started_by_first_rank() else _FIRST_SAYS)
        self._over.set()
        if os.environ.get(_PARENT) == str(os.getpid()):
            del os.environ[_PARENT]
        deadline = time.monotonic() + (_LAST_STEPS if error is None else 0)
        for child in self._children:
            while child.poll() is None and time.monotonic() < deadline:
                time.sleep(_LOOK / 10)
            if child.poll() is None:
                child.kill()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take SIGTERM back from Lightning, which ends a lone process without a word and with status 0."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL if _started_by_first_rank() else self._stop)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Let Ctrl-C end the children without calling it a failure."""
        if isinstance(exception, KeyboardInterrupt):
            self._over.set()

    def _in_company(self) -> bool:
        return _started_by_first_rank() or bool(self._children)

    def _stop(self, signum: int, frame: FrameType | None) -> NoReturn:
        self._over.set()
        for child in self._children:
            child.kill()
        _thread(_end_later, 128 + signum)
        _say(f"ended by signal {signum} ({signal.Signals(signum).name}); --ckpt_path last continues")
        sys.exit(128 + signum)

    # Rank 0

    def _find_children(self) -> None:
        while not self._over.wait(_LOOK):
            if self._launcher.procs:
                self._children = list(self._launcher.procs)
                for rank, child in enumerate(self._children, 1):
                    _thread(self._follow_child, rank, child)
                return

    def _follow_child(self, rank: int, child: subprocess.Popen[bytes]) -> None:
        # Blocked in here, the child is not seen to be dead by Lightning's watch before it is by this one.
        status = child.wait()
        if status == 0 or self._over.is_set():
            return
        self._over.set()
        if status < 0:
            hint = ": out of memory?" if status == -signal.SIGKILL else ""
            ended = f"was ended by signal {-status} ({signal.Signals(-status).name}{hint})"
        else:
            ended = f"failed with status {status}, see above"
        _say(f"local rank {rank} (process {child.pid}) {ended}, and the run with it; --ckpt_path last continues")
        for other in self._children:
            if other is not child:
                other.kill()
        _end(max(status, 1))

    # The others

    def _follow_first_rank(self) -> None:
        first = int(os.environ[_PARENT])
        while not self._over.wait(_LOOK):
            if os.getppid() != first:
                _say(f"rank 0 (process {first}) is gone, so its rank {os.environ['LOCAL_RANK']} ends")
                _end(1)


def _started_by_first_rank() -> bool:
    return os.environ.get("LOCAL_RANK", "0") != "0" and os.environ.get(_PARENT, "") not in ("", str(os.getpid()))


def _thread(target: Any, *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def _say(message: str) -> None:
    print(f"deepspec fit: error: {message}", file=sys.stderr, flush=True)


def _end_later(status: int) -> None:
    time.sleep(_LAST_STEPS / 3)
    _end(status)


def _end(status: int) -> NoReturn:
    """End at once: the main thread may wait for a process that is gone, and hear nothing."""
    sys.stdout.flush()
    os._exit(status)
