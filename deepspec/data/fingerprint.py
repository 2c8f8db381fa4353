"""What a result was made from and how: fingerprints of files, and a record in the result for a later run to compare."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from deepspec.data.hdf5_file import read_hdf5, seal, write_hdf5
from deepspec.errors import UserError
from deepspec.renamed import OPTIONS, in_new_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

HASHED_BYTES = 4 * 2**30
"""Of larger files only some blocks are hashed: reading all once more would take longer than segmenting them."""

BLOCKS, BLOCK_BYTES = 512, 2**20
"""Blocks of a larger file that are hashed, evenly spaced from its begin to its end."""

_ATTRIBUTE = "request"


_KNOWN: dict[tuple[str, int, int, int], str] = {}
"""Hashes of files that were read whole, by name, number on the disk, size and time of the last change."""

_MOST_KNOWN = 1024

_SETTLED = 2.0
"""Seconds after a change until which a file may change again without another time of change."""


def sha256_of(path: Path, stopped: Callable[[], bool] = lambda: False) -> str:
    """SHA-256 of a file's content in hexadecimal; of a folder, of the names and contents of all files in it.

    A file that has not changed since this process hashed it is not read again.

    Args:
        path: the file or folder.
        stopped: asked after each MiB whether to leave off; the result is then worth nothing.

    Raises:
        OSError: it cannot be read.
    """
    state = None if path.is_dir() else _state(path)
    if state is not None and state in _KNOWN:
        return _KNOWN[state]
    digest = hashlib.sha256()
    for file in _files(path):
        if file != path:
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            while not stopped() and (block := stream.read(2**20)):
                digest.update(block)
    found = digest.hexdigest()
    if state is not None and not stopped() and _state(path) == state and time.time() - state[-1] / 1e9 > _SETTLED:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[state] = found
    return found


def _state(path: Path) -> tuple[str, int, int, int]:
    """What changes when a file does."""
    stat = path.stat()
    return str(path.absolute()), stat.st_ino, stat.st_size, stat.st_mtime_ns


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> list[Path]:
    return [path] if not path.is_dir() else sorted(file for file in path.rglob("*") if file.is_file())


def fingerprint(path: Path) -> str:
    """SHA-256 of a file or folder; above `HASHED_BYTES` of `BLOCKS` of its blocks, with sizes and times of last change.

    A block that lies between those is known by the time alone, so both have to be the same.

    Raises:
        OSError: it cannot be read.
    """
    size = size_of(path)
    if size <= HASHED_BYTES:
        return sha256_of(path)
    files = _files(path)
    digest = hashlib.sha256()
    for file in files:
        found = file.stat()
        digest.update(f"{file.relative_to(path)} {found.st_size} {found.st_mtime_ns}\0".encode())
        with file.open("rb") as stream:
            for start in _places(found.st_size, max(2, BLOCKS // len(files))):
                stream.seek(start)
                digest.update(stream.read(BLOCK_BYTES))
    return f"{size} bytes, blocks {digest.hexdigest()}"


def _places(size: int, count: int) -> list[int]:
    """Where `count` blocks of a file begin, the first at its begin and the last at its end."""
    last = max(0, size - BLOCK_BYTES)
    return sorted({last * number // (count - 1) for number in range(count)})


def with_files(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A request with the names of all files of the result, by which a later run sees whether one is missing."""
    return {**request, "files": sorted(path.name for path in folder.iterdir())}


def write_request(file: Path, request: Mapping[str, Any]) -> None:
    """Record in an HDF5 file what was asked for: plain values, as JSON in an attribute."""
    with write_hdf5(file, "r+") as opened:
        opened.attrs[_ATTRIBUTE] = json.dumps(dict(request))
    seal(file)


def read_request(file: Path) -> dict[str, Any] | None:
    """What `write_request` recorded, with lists for tuples; None if there is no such file, or no record in it.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with read_hdf5(file) as opened:
            found: dict[str, Any] = json.loads(opened.attrs[_ATTRIBUTE])
    except UserError:
        raise
    except (OSError, LookupError, ValueError, TypeError, RuntimeError):
        return None
    return in_new_words(found, keys=OPTIONS)  # an earlier version's request is the same one
