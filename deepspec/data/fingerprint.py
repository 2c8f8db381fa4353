"""What a result was made from and how: fingerprints of files, and a record in the result for a later run to compare."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from deepspec.data.hdf5_file import read_hdf5
from deepspec.data.hdf5_writing import write_hdf5
from deepspec.data.sealed_file import seal
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

HASHED_BYTES = 4 * 2**30
"""Larger files are not hashed: reading them once more would take longer than segmenting them."""

_ATTRIBUTE = "request"


def sha256_of(path: Path, stopped: Callable[[], bool] = lambda: False) -> str:
    """SHA-256 of a file's content in hexadecimal.

    Args:
        path: the file.
        stopped: asked after each MiB whether to leave off; the result is then worth nothing.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while not stopped() and (block := stream.read(2**20)):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of a file above `HASHED_BYTES` its size and the time of its last change.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    if status.st_size > HASHED_BYTES:
        return f"{status.st_size} bytes of {status.st_mtime_ns}"
    return sha256_of(path)


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
    return found
