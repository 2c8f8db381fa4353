"""Where a segmentation comes from: hashes of the files, worked out beside everything else, and versions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.data.fingerprint import HASHED_BYTES, sha256_of, size_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from deepspec.segmentation.options import ClustersMode


@dataclass(frozen=True)
class Provenance:
    """What a segmentation was made from and with."""

    cube: str
    """Path of the cube; empty for one in memory."""
    cube_sha256: str
    """Of the file; empty where there is none, or where hashing was left out and a note says so."""
    checkpoint: str
    """Path of the checkpoint; empty for a model in memory."""
    checkpoint_sha256: str
    """Likewise."""
    clusters: ClustersMode
    """frozen: the clusters of the checkpoint; refit: found in this cube."""
    seed: int
    """Of all random choices."""
    deepspec: str
    """Version."""
    torch: str
    """Version."""
    numpy: str
    """Version."""
    created: str
    """Date and time in UTC, ISO 8601."""


class Origin:
    """Hashes the files in a thread while the segmentation is made; use it as a context manager.

    Args:
        cube: file of the cube, None for one in memory.
        checkpoint: file of the model, None for one in memory.
    """

    def __init__(self, cube: Path | None, checkpoint: Path | None) -> None:
        self._files = cube, checkpoint
        self._stop = False
        self._thread = ThreadPoolExecutor(1)
        self._hashes = [self._thread.submit(self._hash, file) for file in self._files]

    def provenance(self, clusters: ClustersMode, seed: int) -> tuple[Provenance, tuple[str, ...]]:
        """The record, and a note for each file that was not hashed."""
        hashes = [future.result() for future in self._hashes]
        notes = tuple(
            f"{file} was not hashed: it is larger than {HASHED_BYTES // 2**30} GiB"
            for file, found in zip(self._files, hashes, strict=True)
            if file is not None and not found
        )
        names = ["" if file is None else str(file.absolute()) for file in self._files]  # to be found from elsewhere
        record = Provenance(
            cube=names[0],
            cube_sha256=hashes[0],
            checkpoint=names[1],
            checkpoint_sha256=hashes[1],
            clusters=clusters,
            seed=seed,
            deepspec=_version(),
            torch=str(torch.__version__),  # a subclass of str, which HDF5 does not take
            numpy=np.__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return record, notes

    def _hash(self, file: Path | None) -> str:
        if file is None or size_of(file) > HASHED_BYTES:
            return ""
        return sha256_of(file, lambda: self._stop)

    def __enter__(self) -> Origin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._thread.shutdown()


def _version() -> str:
    try:
        return version("deepspec")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "not installed"
