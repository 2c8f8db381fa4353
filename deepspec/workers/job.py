"""A job of a verb: what one process does for one input, tried so that its failure is a result like any other.

What a result was made from is recorded in it, the files that options name among it, wherever they lie; a later run
compares that record and knows whether the job was done before.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from deepspec.data.fingerprint import fingerprint, read_request
from deepspec.data.hdf5_file import other_files
from deepspec.data.readers.signature import file_format
from deepspec.errors import UserError, failure_of_the_system
from deepspec.files import recover_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_ALONE = threading.Lock()


class RefusedError(UserError):
    """A mistake in the options that all jobs share: no job can do it."""


@dataclass(frozen=True)
class Finished:
    """What a job found."""

    summary: str
    """In a line."""
    kept: bool = False
    """Whether it had been done before."""


class Job(Protocol):
    """A piece of work that can be pickled."""

    @property
    def name(self) -> str:
        """What to call it, in a word."""

    def anywhere(self) -> Job:
        """The same with absolute names of all files, for processes that work elsewhere."""

    def run(self) -> Finished:
        """Run the job.

        Raises:
            RefusedError: no job of this kind can be done.
            UserError: this one cannot be done.
        """


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    name: str
    """Of the job."""
    state: Literal["done", "kept", "failed", "crashed", "refused"]
    """kept: it had been done before; failed: as it must; crashed: for a reason that nobody foresaw, after which the
    process may not be fit for another job; refused: as every other one would be."""
    text: str
    """What was found, or why not, in a line."""
    notes: str = ""
    """What was printed meanwhile, and the traceback of a crash."""
    seconds: float = 0.0
    """That it took."""


def attempt(job: Job) -> Outcome:
    """Run a job; one at a time in a process, for memory and because torch's settings belong to the process."""
    printed = io.StringIO()
    with _ALONE:
        begun = time.monotonic()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                found = job.run()
        except UserError as error:
            state: Literal["refused", "failed"] = "refused" if isinstance(error, RefusedError) else "failed"
            return Outcome(job.name, state, str(error), printed.getvalue(), time.monotonic() - begun)
        except Exception as error:  # noqa: BLE001, told to the user, and the other jobs do not suffer from it
            failure = failure_of_the_system(error)
            if failure is not None:
                return Outcome(job.name, "failed", failure[0], printed.getvalue(), time.monotonic() - begun)
            text = " ".join(f"{type(error).__name__}: {error}".split())
            notes = printed.getvalue() + traceback.format_exc()
            return Outcome(job.name, "crashed", text, notes, time.monotonic() - begun)
        seconds = time.monotonic() - begun
    return Outcome(job.name, "kept" if found.kept else "done", found.summary, printed.getvalue(), seconds)


def kept_result(
    file: Path,
    request: Mapping[str, Any],
    what: str,
    *,
    overwrite: bool,
    differs: Callable[[Mapping[str, Any]], list[str]] = lambda earlier: [],
) -> Finished | None:
    """An earlier result that is what would be made now.

    Args:
        file: of the result, with the record of `write_request`.
        request: what the result depends on.
        what: what the result is called, with its article, as in "an evaluation".
        overwrite: whether one that was made otherwise may be replaced.
        differs: names of what else is not as recorded; asked only where all of `request` is.

    Returns:
        None if it has to be made.

    Raises:
        UserError: it was made otherwise, is damaged or has lost files, and must not be replaced.
    """
    recover_folder(file.parent)
    try:
        earlier = read_request(file)
    except UserError as error:  # damaged
        if overwrite:
            return None
        raise UserError(f"{error}: --overwrite true does so") from error
    if earlier is None:
        return None
    changed = [name for name in request if earlier.get(name) != request[name]] or differs(earlier)
    lost = [name for name in earlier.get("files", []) if not (file.parent / name).is_file()]
    if not changed and lost and not overwrite:
        raise UserError(f"{file.parent} has lost {', '.join(lost)}; --overwrite true makes {what} anew")
    if not changed and not lost:
        return Finished(f"{file.parent} is kept, made before from the same files with the same options", kept=True)
    if overwrite:
        return None
    raise UserError(
        f"{file.parent} holds {what} that was made otherwise ({', '.join(changed)}); "
        "--overwrite true replaces it, or give another --out"
    )


def absolute(text: str) -> str:
    """`FILE`, `FILE:KEY` or `FILE:KEY:UNIT` with the file's absolute name; a text that names no file as it is."""
    file, rest = _split(text)
    return text if file is None else f"{file.absolute()}{rest}"


def by_content(text: str | None) -> str | None:
    """The same with the file's fingerprint instead of its name: equal for equal content, wherever it lies."""
    file, rest = (None, "") if text is None else _split(text)
    return text if file is None else f"{fingerprint(file)}{rest}"


def companions(cube: Path) -> dict[str, str]:
    """Fingerprints of the other files that a cube consists of.

    Returns:
        By extension of a header and a file of numbers; by relative name of the files that an HDF5 file's links, virtual
        data sets and external storage lead to.

    Raises:
        UserError: the file is of no known kind.
    """
    kind = file_format(cube)
    if kind == "HDF5":
        return {os.path.relpath(path, cube.absolute().parent): fingerprint(path) for path in other_files(cube)}
    if kind not in ("ENVI", "RPL"):
        return {}
    stem = cube.stem.lower()
    others = (path for path in sorted(cube.parent.iterdir()) if path.is_file() and path.name != cube.name)
    return {
        path.suffix.lower(): fingerprint(path)
        for path in others
        if path.stem.lower() in (stem, cube.name.lower()) or path.name.lower() == stem
    }


def _split(text: str) -> tuple[Path | None, str]:
    """The file that a text starts with, and the rest of it with its colon."""
    name = text
    while name:
        if Path(name).is_file():
            return Path(name), text[len(name) :]
        name = name.rpartition(":")[0]
    return None, ""
