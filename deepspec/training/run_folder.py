"""The folder of a run: what an earlier run left there, and one process at a time that writes it.

With `--overwrite true` the earlier run is moved into the hidden folder `.replaced` of the run's folder, and removed
when the new one has its model. A new run that fails before its first checkpoint puts it back.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.files import CONFIG, METRICS, MODEL, locked
from deepspec.runs.folder import read_cells
from deepspec.training.tracking_config import TRACKED

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST = "last.ckpt"
CHECKPOINTS = "checkpoints"

_NAMES = (MODEL, CONFIG, METRICS, CHECKPOINTS, "hparams.yaml", *TRACKED)  # in the order in which they are moved
_ASIDE = ".replaced"
_PATIENCE = 10.0  # seconds; of a run that was killed, processes that load data end within five


def earlier_run(run_dir: Path) -> list[Path]:
    """What an earlier run left."""
    return [run_dir / name for name in _NAMES if (run_dir / name).exists()]


def changed(checkpoint: Path | None) -> int:
    """When a checkpoint was last written; 0 without one."""
    return 0 if checkpoint is None else checkpoint.stat().st_mtime_ns


def refuse_earlier_run(run_dir: Path) -> None:
    """Refuse to write over a run.

    Raises:
        UserError: saying how to continue or replace it.
    """
    found = earlier_run(run_dir)
    if found:
        raise UserError(
            f"{run_dir} holds an earlier run ({found[0].name}): give --ckpt_path last to continue it, "
            "--overwrite true to replace it, or another --run_dir"
        )


def checkpoint_to_resume(run_dir: Path, given: str | None) -> Path | None:
    """The checkpoint that a run goes on from; None if it begins.

    A run that was killed before its first checkpoint begins anew, so that a job which a scheduler starts again and
    again with `last` is never stuck.

    Raises:
        UserError: there is none, although there must have been one.
    """
    if given is None:
        return None
    path = run_dir / CHECKPOINTS / LAST if given == "last" else Path(given)
    if path.is_file():
        return path
    if given == "last" and not (run_dir / MODEL).exists() and not _had_checkpoint(run_dir / METRICS):
        return None
    raise UserError(f"ckpt_path: expected a checkpoint to resume from, got {path}, which does not exist")


def _had_checkpoint(metrics: Path) -> bool:
    """Whether a run came to its second epoch, which it does once the first has its checkpoint."""
    if not metrics.is_file():
        return False
    return any(row.get("epoch") not in (None, "", "0") for row in read_cells(metrics))


@contextmanager
def one_writer(run_dir: Path) -> Iterator[None]:
    """Make the folder, and hold it while the block runs.

    Raises:
        UserError: another run writes it.
    """
    made = not run_dir.exists()
    run_dir.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE
    while True:
        with locked(run_dir) as alone:
            if alone:
                try:
                    yield
                finally:
                    # A mistake that was found before anything was written leaves no folder.
                    if made and not any(run_dir.iterdir()):
                        run_dir.rmdir()
                return
        if time.monotonic() > deadline:
            raise UserError(f"{run_dir}: another run is writing this folder; wait for it, or give another --run_dir")
        time.sleep(0.5)


def set_aside(run_dir: Path) -> None:
    """Move what an earlier run left out of the way of a new one; see `put_back` and `drop_earlier`."""
    aside = run_dir / _ASIDE
    if not earlier_run(run_dir):
        return
    if (aside / MODEL).exists() and (run_dir / MODEL).exists():
        shutil.rmtree(aside)  # of the run before the earlier one, which ended but was killed before it could do this
    aside.mkdir(exist_ok=True)
    for path in earlier_run(run_dir):
        if (aside / path.name).exists():  # set aside by a run that was killed, whose own beginnings these are
            _remove(path)
        else:
            path.rename(aside / path.name)


def put_back(run_dir: Path) -> None:
    """Give the earlier run its place back, unless the new one has come to its first checkpoint."""
    aside = run_dir / _ASIDE
    if not aside.exists() or (run_dir / CHECKPOINTS / LAST).exists():
        return
    for path in earlier_run(run_dir):
        _remove(path)
    for name in reversed(_NAMES):
        if (aside / name).exists():
            (aside / name).rename(run_dir / name)
    shutil.rmtree(aside)


def drop_earlier(run_dir: Path) -> None:
    """Remove the earlier run: the new one is complete."""
    shutil.rmtree(run_dir / _ASIDE, ignore_errors=True)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
