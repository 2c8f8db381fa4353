"""The folder that a verb writes its results into: it appears under its name when it is complete."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


def check_result_folder(folder: Path, names: Collection[str], what: str, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything but an earlier result, and that too unless it may be replaced.

    Args:
        folder: where the result shall go; it need not exist.
        names: of the files that a result consists of.
        what: what the result is called, with its article, as in "an evaluation".
        overwrite: whether an earlier one may be replaced.

    Raises:
        UserError: it must not be written there.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; give another folder with --out")
    found = sorted(path.name for path in folder.iterdir())
    others = [name for name in found if name not in names]
    if others:
        raise UserError(f"{folder} holds something else than {what} ({others[0]}); give another --out")
    if found and not overwrite:
        raise UserError(f"{folder} holds {what} of an earlier run; --overwrite true replaces it, or give another --out")


@contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside `folder` to write into: renamed when all went well, removed when not.

    It is locked while it is written to. One that nobody holds was left by a process that was killed, and is removed.
    """
    place = folder.absolute()
    if place.parent.is_dir():
        for left in place.parent.glob(f".{glob.escape(place.name)}.*.part"):
            with _locked(left) as alone:
                if alone:
                    shutil.rmtree(left)
    part = place.with_name(f".{place.name}.{socket.gethostname()}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        with _locked(part):
            yield part
            if place.exists():
                shutil.rmtree(place)
            part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold a folder while the block runs; whether nobody else holds it, and the file system can tell."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except OSError:
        alone = False
    try:
        yield alone
    finally:
        os.close(handle)
