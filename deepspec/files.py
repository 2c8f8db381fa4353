"""The files that deepspec writes: their names, how tables are written, and that they appear when they are complete.

A file is written under a temporary name beside its own and renamed. The folder that a verb writes its results into is
written under a hidden name beside it, `.NAME.HOST.PROCESS.part`, which its writer holds a lock on. An earlier result is
moved aside, to `.NAME.HOST.PROCESS.old`, before the new one takes its name, and removed after. So whenever the writer
is killed, either of them is there as a whole; the next writer gives an earlier result its name back.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import glob
import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.pretrained import is_ready_model, ready_model

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


CONFIG = "config.yaml"
"""Of a run: the configuration with every default, as `fit` resolved it."""

METRICS = "metrics.csv"
"""Of a run: a row of numbers for each epoch."""

MODEL = "model.ckpt"
"""Of a run: the trained model."""

SEGMENTATION = "segmentation.h5"
"""Of the folder that `segment` and `baseline` write."""

REPORT = "report.html"
"""The page that a person reads first, of a segmentation, an evaluation or a sweep."""

EVALUATION = "evaluation.json"
"""Of the folder that `evaluate` writes: every number."""

CLUSTERS = "clusters.csv"
"""Of an evaluation: a row for each class and its cluster."""

MAPS = "maps.h5"
"""Of an evaluation: label maps. Of `maps`: images of lines."""

SCORES = "scores.csv"
"""Of several evaluations: a row for each."""


_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""That a formula of a spreadsheet begins with."""

_CLAIMED: dict[Path, Path] = {}
"""Folders that this process will write, and the hidden folder of each."""


def model_file(path: str | Path) -> Path:
    """The checkpoint that a path means: that of a run folder which has one, else the path itself.

    Args:
        path: of a file or a run folder; or the name of a ready model, as `pretrained:xrf`.

    Raises:
        UserError: there is no ready model of that name, or its file was damaged.
    """
    if is_ready_model(path):
        return ready_model(path)
    path = Path(path)
    inside = path / MODEL
    return inside if path.is_dir() and inside.is_file() else path


@contextmanager
def complete_or_absent(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary name beside `path` to write to: renamed when all went well, removed when not.

    Args:
        path: of the file.
        durable: whether the file outlives a loss of power from then on, which waits for the disk. What processes left
            that were killed while they wrote it is then removed too.
    """
    if durable:
        _remove_left(path)
    part = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        yield part
        if durable:
            flush_to_disk(part)
        os.replace(part, path)
        if durable:
            flush_to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems flush no folders; whatever else it is would be the loss of the file.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or path.is_file():
            raise
    finally:
        os.close(handle)


def _remove_left(path: Path) -> None:
    """Remove the temporary files of processes of this machine that are no more."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        host, _, process = left.name.removeprefix(f"{path.name}.").removesuffix(".part").rpartition(".")
        if host == socket.gethostname() and process.isdecimal() and not _is_alive(int(process)):
            with suppress(FileNotFoundError):  # another process removes them too
                left.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def as_cell(value: object) -> object:
    """A value as it is written: a text that begins like a formula gets an apostrophe before it, a number does not.

    >>> as_cell("=1+1"), as_cell("@SUM(A1)"), as_cell("-1.5e3"), as_cell(-2), as_cell("Fe Ka")
    ("'=1+1", "'@SUM(A1)", '-1.5e3', -2, 'Fe Ka')
    """
    if not isinstance(value, str) or not value.startswith(_SIGNS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def write_csv(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[object] | Mapping[str, object]],
    *,
    line_end: str = "\r\n",
    durable: bool = False,
) -> None:
    """Write a table, which appears under its name when complete.

    Names of files and settings come from others, and a cell such as `=cmd|' /C calc'!A0` is a command to some programs:
    a text that begins like a formula is marked as a text (`as_cell`).

    Args:
        path: of the file.
        columns: their names.
        rows: a value for each column, in their order or by their names; what is missing by name is empty.
        line_end: between rows; what RFC 4180 asks for.
        durable: as `complete_or_absent`.
    """
    with complete_or_absent(path, durable=durable) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator=line_end)
        writer.writerow([as_cell(name) for name in columns])
        for row in rows:
            values = [row.get(name) for name in columns] if isinstance(row, Mapping) else row
            writer.writerow([as_cell(value) for value in values])


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
    recover_folder(folder)
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


def recover_folder(folder: Path) -> None:
    """Put right what writers left that were killed: a result that was moved aside gets its name back.

    Raises:
        UserError: another process is writing the folder.
    """
    place = folder.absolute()
    for left in _hidden(place, "part"):
        if left == _CLAIMED.get(place):
            return
        with suppress(FileNotFoundError), locked(left) as alone:
            if not alone:
                raise _two(place)
            shutil.rmtree(left)
    for left in _hidden(place, "old"):
        if place.exists():
            shutil.rmtree(left)
        else:
            left.rename(place)


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """Hold the right to write a folder while its content is worked out, so that nothing is worked out in vain.

    Raises:
        UserError: another process is about to write it.
        OSError: it cannot be written.
    """
    place = folder.absolute()
    if place in _CLAIMED:
        yield
        return
    recover_folder(place)
    part = place.with_name(f".{place.name}.{socket.gethostname()}.{os.getpid()}.part")
    made = _make_parents(place.parent)
    part.mkdir()
    _CLAIMED[place] = part
    try:
        with locked(part):
            _refuse_two(place, part)
            yield
    finally:
        del _CLAIMED[place]
        shutil.rmtree(part, ignore_errors=True)
        for parent in reversed(made):  # those that nothing came into
            with suppress(OSError):
                parent.rmdir()


@contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside `folder` to write into: renamed when all went well, removed when not.

    Raises:
        UserError: another process is writing it.
    """
    place = folder.absolute()
    with claimed_folder(place):
        part = _CLAIMED[place]
        yield part
        aside = part.with_suffix(".old")
        if place.exists():
            place.rename(aside)
        try:
            part.rename(place)
        except BaseException:
            if aside.exists():
                aside.rename(place)
            raise
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold a folder while the block runs, until the process ends at the latest.

    Yields:
        Whether nobody else holds it. True where the file system has no locks: then nobody can tell.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder; returns those that were missing, the outermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
    return missing[::-1]


def _hidden(place: Path, suffix: str) -> list[Path]:
    return sorted(place.parent.glob(f".{glob.escape(place.name)}.*.{suffix}")) if place.parent.is_dir() else []


def _refuse_two(place: Path, part: Path) -> None:
    """Of two that began at the same moment let one go on, and the same one in the eyes of both."""
    for other in _hidden(place, "part"):
        if other < part:
            with suppress(FileNotFoundError), locked(other) as alone:
                if not alone:
                    raise _two(place)


def _two(place: Path) -> UserError:
    return UserError(f"{place}: another process is writing this folder; wait for it, or give another --out")
