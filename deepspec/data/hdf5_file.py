"""How the package writes and reads HDF5 files: a full disk is an error, a damaged file is told before it is used.

Writing: the HDF5 library does not survive a write that fails: what it could not write it tries again when the file is
closed and when the process ends, and there it crashes. So it writes through Python, which keeps the first failure to
itself until the library is done.

Seals: HDF5 lets a file begin with a "user block" that belongs to whoever writes it. Ours holds one line of text, the
SHA-256 of all that follows, and is otherwise empty:

    deepspec sha256 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

Any HDF5 program reads such a file; one that changes it breaks the seal. Files of before there were seals have none.

Reading: `read_hdf5` is the one door through which the package opens HDF5 files. What a file can do to its reader is
dealt with there, once: damage that would hang the library, a broken seal, which is compared before HDF5 itself sees any
byte, and data that lie in other files, which may be any file of the machine.
"""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import h5py

from deepspec.data.hdf5_check import check_heaps
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator


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


_BLOCK = 512  # bytes; the smallest user block
_MARK = b"deepspec sha256 "
_PIECE = 2**20


@contextmanager
def sealed_hdf5(path: Path) -> Iterator[h5py.File]:
    """Make an HDF5 file to write into, which is sealed when the block ends.

    Args:
        path: a temporary name, which the caller then gives up for the final one.
    """
    with write_hdf5(path, userblock_size=_BLOCK) as file:
        yield file
    seal(path)


def seal(path: Path) -> None:
    """Write the checksum of a file that has a user block; one that has none of ours is left as it is."""
    with path.open("r+b") as file:
        head = file.read(_BLOCK)
        if head.strip(b"\0") and not head.startswith(_MARK):
            return
        line = _MARK + _digest(file).encode() + b"\n"
        file.seek(0)
        file.write(line.ljust(_BLOCK, b"\0"))


def check_seal(path: Path) -> None:
    """Compare a file with its seal, if it has one.

    Raises:
        UserError: the file is damaged, or was changed by another program.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_BLOCK)
        if _is_sealed(head) and head != (_MARK + _digest(file).encode() + b"\n").ljust(_BLOCK, b"\0"):
            raise UserError(
                f"{path}: damaged: its content does not match its checksum, so a part of it was lost or it was "
                "changed by another program; make it again"
            )


def _is_sealed(head: bytes) -> bool:
    """Whether a file begins with our line, or with what may be left of it.

    A whole user block that is empty is that of a file whose writer died; HDF5 never leaves one of its own accord.
    """
    return head[: len(_MARK)] == _MARK or (len(head) == _BLOCK and not head.startswith(b"\x89HDF") and _near(head))


def _near(head: bytes) -> bool:
    """Whether a damaged line is ours: more of its first letters are right than chance would give."""
    return sum(a == b for a, b in zip(head, _MARK, strict=False)) > len(_MARK) // 2 or not head.strip(b"\0")


def _digest(file: BinaryIO) -> str:
    file.seek(_BLOCK)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


ELSEWHERE = "DEEPSPEC_EXTERNAL_FILES"
"""Environment variable; `allow` lets HDF5 files take their data from other files, wherever these lie."""

_DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    NotImplementedError,
    MemoryError,
    SystemError,  # what becomes of an error while h5py calls back, as of a name that is no text
)


def read_hdf5(path: Path, **options: Any) -> h5py.File:
    """Open an HDF5 file to read it.

    HDF5 data may lie in other files: as raw bytes ("external storage"), as parts of a virtual data set, or behind a
    link. Those are taken from the folder of the file and from below it; from elsewhere if $DEEPSPEC_EXTERNAL_FILES is
    `allow`.

    Args:
        path: the file.
        options: of `h5py.File`, such as `locking`.

    Returns:
        The open file.

    Raises:
        UserError: the file is damaged, or takes data from elsewhere.
        OSError: it is no HDF5 file, or cannot be read.
    """
    check_heaps(path)
    check_seal(path)
    file = h5py.File(path, "r", **options)
    try:
        if os.environ.get(ELSEWHERE) != "allow":
            _refuse_elsewhere(path, file, _folders(path), {path.resolve()})
    except UserError:
        file.close()
        raise
    except _DAMAGE as error:
        file.close()
        raise UserError(f"{path}: damaged HDF5 file: {' '.join(str(error).split())}") from error
    return file


def _folders(path: Path) -> set[Path]:
    return {path.absolute().parent.resolve(), path.resolve().parent}


def _refuse_elsewhere(path: Path, file: h5py.File, folders: set[Path], seen: set[Path]) -> None:
    for name, other, is_link in _others(file):
        # HDF5 looks for a relative name in the folder of the file, or where the command was started.
        for place in {(path.absolute().parent / other).resolve(), (Path.cwd() / other).resolve()}:
            # A link into a file that is not there leads nowhere. "%b" counts the parts of a virtual set.
            there = place.exists() or (Path(other).is_absolute() and not is_link) or "%" in other
            if there and not any(place.is_relative_to(folder) for folder in folders):
                raise UserError(
                    f"{path}: '{name}' is not in the file but in {other}, outside its folder; "
                    f"if you trust the file, set {ELSEWHERE}=allow"
                )
            if place not in seen and place.is_file() and h5py.is_hdf5(place):
                seen.add(place)
                check_heaps(place)
                with h5py.File(place, "r", locking=False) as further:
                    _refuse_elsewhere(place, further, folders, seen)


def _others(file: h5py.File) -> Iterator[tuple[str, str, bool]]:
    """Each thing that lies in another file: its name, that file's, and whether it is a link."""
    found: list[tuple[str, str, bool]] = []

    def linked(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append((name, os.fsdecode(link.filename), True))

    def stored(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        found.extend((name, os.fsdecode(other), False) for other, _, _ in item.external or ())
        if item.is_virtual:
            found.extend((name, os.fsdecode(part.file_name), False) for part in item.virtual_sources())

    file.visititems_links(linked)
    file.visititems(stored)
    yield from (one for one in found if one[1] != ".")  # "." is the file itself
