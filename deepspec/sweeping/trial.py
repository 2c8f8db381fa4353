"""One trial: a process that runs `fit` on a complete configuration of its own, watched through its metrics.csv."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import TYPE_CHECKING, Any

import yaml

from deepspec.files import METRICS
from deepspec.runs.folder import TRIAL, read_rows
from deepspec.sweeping.experiment import FIT, last_lines
from deepspec.workers.process import end, ended_by, tethered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from threading import Event

    from deepspec.runs.folder import Row

LOG = "log.txt"
"""What a trial printed, in its folder."""

POLL = 0.5
"""Seconds between looks at a trial."""


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
        folder: of the run; it gets `TRIAL` and `LOG` besides what `fit` writes.
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
    command = tethered([*FIT, "--config", str(file)])
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _watch(process, folder / METRICS, stop, seconds, on_rows)
    finally:
        end(process)
    if process.returncode != 0:
        printed = last_lines((folder / LOG).read_text(errors="replace"))
        if process.returncode < 0:
            raise TrialError(f"{printed}\n(fit {ended_by(process.returncode)})")
        raise TrialError(printed or "fit failed silently")
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
