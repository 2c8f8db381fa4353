"""One trial: a process that runs `fit` on a complete configuration of its own, watched through its metrics.csv."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import yaml

from deepspec.files import METRICS
from deepspec.runs.folder import TRIAL, read_rows
from deepspec.sweeping.experiment import FIT, last_lines
from deepspec.workers import tether

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from threading import Event

    from deepspec.runs.folder import Row

POLL = 0.5
"""Seconds between looks at a trial."""

PATIENCE = 20
"""Seconds between asking a trial to end and making it."""

OUT_OF_MEMORY = -signal.SIGKILL


class TrialError(Exception):
    """A trial has failed, and the study goes on; with the last lines of what it printed."""


class Interrupted(Exception):
    """The worker was asked to stop."""


def run_trial(
    config: Mapping[str, Any],
    folder: Path,
    environment: Mapping[str, str],
    *,
    stop: Event,
    seconds: float | None,
    on_rows: Callable[[list[Row]], None],
) -> list[Row]:
    """Run `fit` in a folder of its own, to its end.

    Args:
        config: complete configuration; its `run_dir` is `folder`.
        folder: of the run; it gets trial.yaml and log.txt besides what `fit` writes.
        environment: of the process.
        stop: when set, the process is ended.
        seconds: that it may take.
        on_rows: called with the rows of metrics.csv when there are new ones; may raise, which ends the process.

    Returns:
        All rows.

    Raises:
        TrialError: it failed or took too long.
        Interrupted: `stop` was set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / TRIAL
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    command = [sys.executable, "-I", "-S", str(tether.__file__), str(os.getpid()), *FIT, "--config", str(file)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _watch(process, folder / METRICS, stop, seconds, on_rows)
    finally:
        end(process)
    if process.returncode != 0:
        hint = ": out of memory?" if process.returncode == OUT_OF_MEMORY else ""
        ended = f"ended by signal {-process.returncode}{hint}" if process.returncode < 0 else "failed"
        printed = last_lines((folder / "log.txt").read_text(errors="replace"))
        raise TrialError(f"{printed}\n(fit {ended})" if process.returncode < 0 else printed or "fit failed silently")
    return read_rows(folder / METRICS)


def _watch(
    process: subprocess.Popen[bytes],
    metrics: Path,
    stop: Event,
    seconds: float | None,
    on_rows: Callable[[list[Row]], None],
) -> None:
    begun = time.monotonic()
    seen = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
        rows = read_rows(metrics)
        if len(rows) > seen:
            seen = len(rows)
            on_rows(rows)
        if process.returncode is not None:
            return
        if stop.is_set():
            raise Interrupted
        if seconds is not None and time.monotonic() - begun > seconds:
            raise TrialError(f"stopped after {seconds / 3600:g} hours, the limit of a trial")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and all that it started to end; after a while, make them."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # further ranks, if any are left
    process.wait()
