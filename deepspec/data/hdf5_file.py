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
import itertools
import math
import os
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import h5py
import numpy as np

from deepspec.data.hdf5_check import check_heaps
from deepspec.data.memory import check_memory
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


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


_CERTAIN = 2**26  # bytes of a dataset that may be what they are
_MOST_PACKED = 10**5  # bytes for one in the file; zeros alone are packed as tightly


def check_stored(dataset: h5py.Dataset) -> None:
    """Refuse a dataset that is said to hold far more than the file has of it, before room is made for it.

    Raises:
        UserError: nothing or next to nothing of it was written, or one of its chunks does not fit into the memory.
    """
    claimed = dataset.size * dataset.dtype.itemsize if dataset.shape is not None else 0
    if claimed <= _CERTAIN or dataset.is_virtual or dataset.external:
        return
    stored = dataset.id.get_storage_size()
    if claimed > _MOST_PACKED * stored:
        raise UserError(
            f"{dataset.file.filename}: '{dataset.name}' should have shape {dataset.shape}, {claimed / 1e9:.1f} GB, of "
            f"which the file has {stored} bytes: it was never written, or is damaged"
        )
    if dataset.chunks:
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
        check_memory(2 * chunk, f"{dataset.file.filename}: a chunk of '{dataset.name}', shape {dataset.chunks},")


def whole(dataset: h5py.Dataset) -> NDArray[Any]:
    """All values of a dataset, compared with the file and the memory before room is made for them.

    Raises:
        UserError: the file cannot hold them, or the memory.
    """
    check_stored(dataset)
    if dataset.shape is not None:
        check_memory(dataset.size * dataset.dtype.itemsize, f"{dataset.file.filename}: '{dataset.name}'")
    return np.asarray(dataset[()])


def other_files(path: Path) -> list[Path]:
    """The files that an HDF5 file takes data from, and those that they take data from, as far as they are there.

    Args:
        path: the file.

    Returns:
        Their names, sorted, without `path` itself; nothing for a file that is damaged, which its reader will say.

    Raises:
        UserError: the file is damaged, or takes data from elsewhere; see `read_hdf5`.
        OSError: it is no HDF5 file, or cannot be read.
    """
    found: set[Path] = set()
    left = [path]
    while left:
        here = left.pop()
        with read_hdf5(here, locking=False) as file:
            names = {other for _, other, _ in _others(file)}
        for name in names:
            for place in _places(here.absolute().parent, name):
                if place.is_file() and place.resolve() not in {known.resolve() for known in (*found, path)}:
                    found.add(place)
                    if h5py.is_hdf5(place):
                        left.append(place)
    return sorted(found)


def _places(folder: Path, name: str) -> Iterator[Path]:
    """Where a file that another one names may lie: as it says, or beside; "%b" counts the parts of a virtual set."""
    for number in itertools.count():
        numbered = name.replace("%b", str(number))
        places = [folder / numbered, folder / PureWindowsPath(numbered).name]
        yield from places
        if numbered == name or not any(place.is_file() for place in places):
            return


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
