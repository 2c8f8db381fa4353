"""The hidden folder that a set of shards is written in, and what becomes of one that a killed writer left behind.

A writer holds a lock on its folder as long as it lives; the system releases it however the process ends. A folder that
nobody holds is a dead writer's: the next writer removes it and starts afresh.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = ".partial-"
_JOURNAL = "publishing.json"


class UnfinishedFolder:
    """A new hidden folder inside `out_dir` for what is not complete yet.

    Args:
        out_dir: where the set will be.
        manifest: name of the file that makes a set complete.

    Attributes:
        path: the folder.
    """

    def __init__(self, out_dir: Path, manifest: str) -> None:
        self._manifest = manifest
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=out_dir))
        self._handle = os.open(self.path, os.O_RDONLY)
        _lock(self._handle)

    def announce(self, names: Iterable[str]) -> None:
        """Note which files of `out_dir` are about to be replaced or removed, while it has no manifest."""
        temporary = self.path / f"{_JOURNAL}.part"
        temporary.write_text(json.dumps(sorted(names)), encoding="utf-8")
        os.replace(temporary, self.path / _JOURNAL)

    def remove(self) -> None:
        """Remove the folder with all that is in it, and the shards that got their names without a manifest."""
        if self._handle >= 0:
            _undo(self.path, self._manifest)
            os.close(self._handle)
            self._handle = -1


def clear_unfinished(out_dir: Path, manifest: str) -> None:
    """Remove what writers left in `out_dir` that were killed.

    A writer that died while it gave the shards their names leaves some of them without a manifest: these go too.

    Args:
        out_dir: an existing folder.
        manifest: name of the file that makes a set complete.

    Raises:
        UserError: if another process is writing there.
    """
    for folder in sorted(out_dir.glob(f"{_PREFIX}*")):
        handle = os.open(folder, os.O_RDONLY)
        try:
            if not _lock(handle):
                raise UserError(
                    f"{out_dir}: another process is writing shards here; wait for it, or remove {folder.name} "
                    "if there is none"
                )
            _undo(folder, manifest)
        finally:
            os.close(handle)


def _undo(folder: Path, manifest: str) -> None:
    journal, out_dir = folder / _JOURNAL, folder.parent
    if journal.exists() and not (out_dir / manifest).exists():
        for name in json.loads(journal.read_text(encoding="utf-8")):
            (out_dir / Path(name).name).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _lock(handle: int) -> bool:
    """Lock an open folder for as long as it is open; whether nobody else holds it and the file system can tell."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
