"""What a result was made from and how: fingerprints of files, and a record in the result for a later run to compare."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import h5py

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

HASHED_BYTES = 4 * 2**30
"""Larger files are not hashed: reading them once more would take longer than segmenting them."""

_ATTRIBUTE = "request"


def sha256_of(path: Path, stopped: Callable[[], bool] = lambda: False) -> str:
    """SHA-256 of a file's content in hexadecimal; of a folder, of the names and contents of all files in it.

    Args:
        path: the file or folder.
        stopped: asked after each MiB whether to leave off; the result is then worth nothing.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    for file in _files(path):
        if file != path:
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            while not stopped() and (block := stream.read(2**20)):
                digest.update(block)
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> list[Path]:
    return [path] if not path.is_dir() else sorted(file for file in path.rglob("*") if file.is_file())


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of a file above `HASHED_BYTES` its size and the time of its last change.

    Raises:
        OSError: it cannot be read.
    """
    size = size_of(path)
    if size > HASHED_BYTES:
        return f"{size} bytes of {path.stat().st_mtime_ns}"
    return sha256_of(path)


def write_request(file: Path, request: Mapping[str, Any]) -> None:
    """Record in an HDF5 file what was asked for: plain values, as JSON in an attribute."""
    with h5py.File(file, "r+") as opened:
        opened.attrs[_ATTRIBUTE] = json.dumps(dict(request))


def read_request(file: Path) -> dict[str, Any] | None:
    """What `write_request` recorded, with lists for tuples; None if there is no such file, or no record in it."""
    try:
        with h5py.File(file, "r") as opened:
            found: dict[str, Any] = json.loads(opened.attrs[_ATTRIBUTE])
    except (OSError, KeyError, ValueError):
        return None
    return found
