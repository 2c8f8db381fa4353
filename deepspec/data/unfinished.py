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
_OLD = "old"


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
        try:
            _refuse_two(out_dir, self.path)
        except UserError:
            self.remove()
            raise

    def set_aside(self, old: Iterable[str], new: Iterable[str]) -> None:
        """Move the shards of an older set and its manifest into this folder, noting what is about to happen.

        A writer that dies from here on, before the new manifest is there, has changed nothing: see `_undo`.

        Args:
            old: shards of `out_dir` that the older set consists of.
            new: names that shards are about to get there.
        """
        old, out_dir = sorted(old), self.path.parent
        temporary = self.path / f"{_JOURNAL}.part"
        temporary.write_text(json.dumps({"old": old, "new": sorted(new)}), encoding="utf-8")
        os.replace(temporary, self.path / _JOURNAL)
        aside = self.path / _OLD
        aside.mkdir()
        for name in (self._manifest, *old):  # without its manifest a folder is no set
            if (out_dir / name).exists():
                os.replace(out_dir / name, aside / name)

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
    (out_dir / f".{manifest}.partial").unlink(missing_ok=True)  # of a version that wrote the manifest beside its place
    for folder in sorted(out_dir.glob(f"{_PREFIX}*")):
        handle = os.open(folder, os.O_RDONLY)
        try:
            if not _lock(handle):
                raise _two(out_dir, folder)
            _undo(folder, manifest)
        finally:
            os.close(handle)


def _refuse_two(out_dir: Path, own: Path) -> None:
    """Of two writers that began at the same moment let one go on, and the same one in the eyes of both."""
    for folder in sorted(out_dir.glob(f"{_PREFIX}*")):
        if folder < own:
            handle = os.open(folder, os.O_RDONLY)
            try:
                if not _lock(handle):
                    raise _two(out_dir, folder)
            finally:
                os.close(handle)


def _two(out_dir: Path, folder: Path) -> UserError:
    return UserError(
        f"{out_dir}: another process is writing shards here; wait for it, or remove {folder.name} if there is none"
    )


def _undo(folder: Path, manifest: str) -> None:
    """Remove a writer's folder; if it died while it gave its shards their names, put the older set back before."""
    journal, out_dir, aside = folder / _JOURNAL, folder.parent, folder / _OLD
    if journal.exists() and not (out_dir / manifest).exists():
        noted = json.loads(journal.read_text(encoding="utf-8"))
        if isinstance(noted, list):  # of a version that removed the older set first
            noted = {"old": [], "new": noted}
        for name in map(_bare, noted["new"]):
            if name not in noted["old"] or (aside / name).exists():  # else it is the older one still
                (out_dir / name).unlink(missing_ok=True)
        for name in (*map(_bare, noted["old"]), manifest):
            if (aside / name).exists():
                os.replace(aside / name, out_dir / name)
    shutil.rmtree(folder)


def _bare(name: str) -> str:
    return Path(name).name


def _lock(handle: int) -> bool:
    """Lock an open folder for as long as it is open; whether nobody else holds it and the file system can tell."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
