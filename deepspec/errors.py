"""What the user, or whoever looks after the machine, can mend; said in one line."""

from __future__ import annotations

import difflib
import errno
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class UserError(ValueError):
    """Bad input or configuration: printed as one line without a traceback, exit status 2.

    The message says what was expected, what came, and how to mend it.
    """


def without_passwords(text: str) -> str:
    """A text in which no URL has its password; up to the last @ of a word, for a password may have one too.

    >>> without_passwords("cannot open ftp+x://me:p@ss:/w@db.org/a, nor http://db.org:80/b")
    'cannot open ftp+x://me:***@db.org/a, nor http://db.org:80/b'
    """
    return re.sub(r"(\w://[^\s:@/]*):(?!PASSWORD@)\S*@", r"\1:***@", text)


def described(value: object) -> str:
    """What came in place of what was expected, for a message: its type, and the shape of an array.

    >>> described(b"a"), described(None)
    ('a value of type bytes', 'None')
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"an array of shape {tuple(int(n) for n in shape)}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "", most: int = 1) -> str:
    """The end of a message on a name that does not exist: the nearest one that does.

    Args:
        word: what was given.
        known: the names that exist.
        otherwise: what to say where none is near; `"list"` names them all.
        most: how many near ones are named, as of words of two letters.

    >>> did_you_mean("gama", ["beta", "gamma"])
    " (did you mean 'gamma'?)"
    >>> did_you_mean("x", ["beta", "gamma"]), did_you_mean("x", ["beta", "gamma"], otherwise="list")
    ('', '; expected one of beta, gamma')
    """
    names = list(known)
    spelt = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(word.lower(), spelt, n=most, cutoff=0.5)
    if near:
        return f" (did you mean {' or '.join(repr(spelt[name]) for name in near)}?)"
    if otherwise != "list":
        return otherwise
    return f"; expected one of {', '.join(names)}" if names else "; there are none"


FULL = (errno.ENOSPC, errno.EDQUOT)
"""Of a disk that is full, or of which a user has had his share."""

_HINTS = {
    errno.ENOSPC: "make room, and give the same command again",
    errno.EDQUOT: "make room, and give the same command again",
    errno.EROFS: "give another place to write to",
    errno.EACCES: "give another place, or ask for the right to use this one",
    errno.EPERM: "give another place, or ask for the right to use this one",
    errno.EMFILE: "raise the limit (`ulimit -n`), or give fewer files",
    errno.ENFILE: "wait for other programs of this machine to end",
    errno.ENOMEM: "give less to do at once, or take a machine with more memory",
    errno.EIO: "the disk or the network fails",
    errno.ENAMETOOLONG: "give a shorter name",
}


def failure_of_the_system(error: BaseException) -> tuple[str, int] | None:
    """What the system refused, in one line, and the exit status: 1 for a full disk, 2 for all else.

    Args:
        error: anything that was raised, such as an `OSError` or what a library made of one.

    Returns:
        None if it was something else.
    """
    for found in _chain(error):
        if isinstance(found, MemoryError):
            return f"not enough memory ({_line(found) or 'for what was asked'}); {_HINTS[errno.ENOMEM]}", 2
        number = _number(found)
        if number is not None:
            name = f"{found.filename}: " if isinstance(found, OSError) and found.filename is not None else ""
            hint = f"; {_HINTS[number]}" if number in _HINTS else ""
            return f"{name}{os.strerror(number)}{hint}", 1 if number in FULL else 2
    return None


def is_of_the_system(error: BaseException) -> bool:
    """Whether an error speaks of the machine and not of the file that was being read."""
    return isinstance(error, MemoryError) or _number(error) in {*_HINTS} - {errno.EIO}


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if isinstance(error, (OSError, RuntimeError)):  # HDF5 and torch say it in words
        return next((number for number in _HINTS if os.strerror(number) in str(error)), None)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came of."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        yield link
        # What was being handled meanwhile is the reason only where a library says it again in its own words.
        link = link.__cause__ or (link.__context__ if isinstance(link, (OSError, RuntimeError)) else None)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
