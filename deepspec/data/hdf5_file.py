"""The one door through which the package opens HDF5 files to read them.

What a file can do to its reader is dealt with here, once: damage that would hang the library, a broken seal, and data
that lie in other files, which may be any file of the machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from deepspec.data.hdf5_check import check_heaps
from deepspec.data.sealed_file import check_seal
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    for name, other in _others(file):
        # HDF5 looks for a relative name in the folder of the file, or where the command was started.
        for place in {(path.absolute().parent / other).resolve(), (Path.cwd() / other).resolve()}:
            there = (
                place.exists() or Path(other).is_absolute() or "%" in other
            )  # "%b" counts the parts of a virtual set
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


def _others(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Each thing that lies in another file: its name, and that file's."""
    found: list[tuple[str, str]] = []

    def linked(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append((name, os.fsdecode(link.filename)))

    def stored(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        found.extend((name, os.fsdecode(other)) for other, _, _ in item.external or ())
        if item.is_virtual:
            found.extend((name, os.fsdecode(part.file_name)) for part in item.virtual_sources())

    file.visititems_links(linked)
    file.visititems(stored)
    yield from ((name, other) for name, other in found if other != ".")  # "." is the file itself
