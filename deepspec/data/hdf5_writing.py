"""Writing HDF5 files so that a full disk is an error of Python's.

The HDF5 library does not survive a write that fails: what it could not write it tries again when the file is closed
and when the process ends, and there it crashes. So it writes through Python, which keeps the first failure to itself
until the library is done.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import h5py

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


@contextmanager
def write_hdf5(path: Path, mode: Literal["w", "r+"] = "w", **options: Any) -> Iterator[h5py.File]:
    """Make an HDF5 file, or change one, while the block runs.

    Args:
        path: of the file; a temporary name, for after a failure it holds a part of what it should.
        mode: `w` makes it anew, `r+` changes what is there.
        options: of `h5py.File`, such as `libver`.

    Raises:
        OSError: the disk is full, or fails otherwise.
    """
    with path.open("w+b" if mode == "w" else "r+b") as stream:
        disk = _Disk(stream)
        try:
            with h5py.File(disk, mode, **options) as file:
                yield file
        finally:
            if disk.failure is not None:
                raise disk.failure


class _Disk(io.RawIOBase):
    """A file that takes everything; what fails is kept in `failure`, and all that comes after is dropped."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._tried(lambda: self._stream.seek(offset, whence), offset)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._tried(lambda: self._stream.readinto(view), 0)  # type: ignore[attr-defined]
        view[found:] = bytes(len(view) - found)
        return len(view)

    def write(self, data: Any) -> int:
        return self._tried(lambda: self._stream.write(data), memoryview(data).nbytes)

    def truncate(self, size: int | None = None) -> int:
        return self._tried(lambda: self._stream.truncate(size), size or 0)

    def flush(self) -> None:
        self._tried(lambda: self._stream.flush() or 0, 0)

    def _tried(self, work: Any, otherwise: int) -> int:
        if self.failure is not None:
            return otherwise
        try:
            return int(work())
        except OSError as error:
            self.failure = error
            return otherwise
