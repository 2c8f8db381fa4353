"""Follow the links of an HDF5 file, those into other files too, but not out of the file's folder.

Beamlines write master files: external links and virtual data sets whose numbers lie in files beside them. A file from
somebody else could point anywhere, so what lies outside of the folder of the opened file is refused, as by
`read_hdf5`, through which each file is opened.
"""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from deepspec.data.hdf5_file import ELSEWHERE, read_hdf5
from deepspec.data.readers.file_numbers import map_raw
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray

CHUNK_CACHE = 64 * 2**20  # bytes
_FOLLOWED = 32  # links one after the other; more are a circle
_HINT = f"if you trust the file, set {ELSEWHERE}=allow"


class Links:
    """The objects of an HDF5 file by path, through hard, soft and external links.

    Attributes:
        broken: path of a link -> why nothing could be found there.
        file: the opened file.

    Args:
        path: the file. It is opened, and so are others that its links name; `close` closes all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folders = {path.absolute().parent.resolve(), path.resolve().parent}
        self._files: dict[Path, h5py.File] = {}
        self.broken: dict[str, str] = {}
        self.file = self._open(path)

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()

    def get(self, group: h5py.Group, name: str, left: int = _FOLLOWED) -> h5py.HLObject | None:
        """The object at a path that starts at `group` (or, with a slash in front, at its file's root).

        Args:
            group: where to start.
            name: names with slashes between them.
            left: links that may still be followed.

        Returns:
            A group, a dataset, or None if there is nothing.

        Raises:
            UserError: if a link on the way leads out of the folder, into a file that is missing, or in a circle.
        """
        here: h5py.HLObject | None = group.file["/"] if name.startswith("/") else group
        for part in name.split("/"):
            if part in ("", "."):
                continue
            if not isinstance(here, h5py.Group):
                return None
            here = self._step(here, part, left)
        return here

    def members(self, group: h5py.Group) -> Iterator[tuple[str, h5py.HLObject]]:
        """What lies in a group, by name; links that lead nowhere are remembered in `broken`."""
        for name in group:
            try:
                found = self._step(group, name, _FOLLOWED)
            except (UserError, KeyError, OSError, RuntimeError, ValueError) as error:
                self.broken[f"{group.name.rstrip('/')}/{name}"] = " ".join(str(error).split())
                continue
            if found is not None:
                yield name, found

    def walk(self) -> tuple[dict[str, h5py.Dataset], dict[str, h5py.Group]]:
        """All datasets and groups by path, each once, under the path with the fewest steps."""
        datasets: dict[str, h5py.Dataset] = {}
        groups: dict[str, h5py.Group] = {"": self.file["/"]}
        seen = {_identity(self.file["/"])}
        level = [("", self.file["/"])]
        while level:
            deeper = []
            for path, group in level:
                for name, item in self._own_first(group):
                    if (who := _identity(item)) in seen:
                        continue
                    seen.add(who)
                    inner = f"{path}/{name}" if path else name
                    if isinstance(item, h5py.Group):
                        groups[inner] = item
                        deeper.append((inner, item))
                    elif isinstance(item, h5py.Dataset):
                        datasets[inner] = item
            level = deeper
        return datasets, groups

    def _own_first(self, group: h5py.Group) -> list[tuple[str, h5py.HLObject]]:
        """Members, those that lie in the group itself before those that a link brings there."""
        found = list(self.members(group))
        own = {name for name, _ in found if isinstance(group.get(name, getlink=True), h5py.HardLink)}
        return [pair for pair in found if pair[0] in own] + [pair for pair in found if pair[0] not in own]

    def values(self, dataset: h5py.Dataset) -> StoredArray:
        """What a dataset's values are read from, after looking whether all other files are there that hold some.

        HDF5 shows zeros for the parts of a virtual dataset whose file is missing, and looks for bare numbers in the
        current directory first, which is why they are mapped here.

        Raises:
            UserError: if such a file, or the dataset in it, is missing, or it lies outside of the folder.
        """
        folder = Path(dataset.file.filename).parent
        if dataset.is_virtual:
            for source in dict.fromkeys((s.file_name, s.dset_name) for s in dataset.virtual_sources()):
                self._check_source(dataset, folder, *source)
        if not dataset.external:
            return DatasetValues(dataset, {path: path.stat().st_size for path in self._files})
        if len(dataset.external) > 1:
            raise UserError(f"{self.path}: '{dataset.name}' keeps its numbers in several files, which is not read")
        name, offset, _ = dataset.external[0]
        there = self._find(folder, name, f"'{dataset.name}' keeps its numbers")
        return map_raw(there, dataset.dtype, dataset.shape, offset)

    def _check_source(self, dataset: h5py.Dataset, folder: Path, file: str, name: str) -> None:
        if "%b" in file or "%b" in name:  # a number for each block; the first tells whether they are there
            file, name = file.replace("%b", "0"), name.replace("%b", "0")
        if file == ".":
            source = dataset.file
        else:
            source = self._open(
                self._find(folder, file, f"the virtual dataset '{dataset.name}' takes values from a dataset")
            )
        if not isinstance(self.get(source["/"], name), h5py.Dataset):
            where = "it" if file == "." else file
            raise UserError(f"{self.path}: '{dataset.name}' takes values from '{name}', which {where} has not")

    def _step(self, group: h5py.Group, name: str, left: int) -> h5py.HLObject | None:
        link = group.get(name, getlink=True)
        if link is None or left == 0:
            if left == 0:
                raise UserError(f"{self.path}: the links at '{group.name}' lead in a circle")
            return None
        if isinstance(link, h5py.SoftLink):
            return self.get(group, link.path, left - 1)
        if isinstance(link, h5py.ExternalLink):
            folder = Path(group.file.filename).parent
            target = self._find(folder, link.filename, f"'{group.name.rstrip('/')}/{name}' leads to an object")
            return self.get(self._open(target)["/"], link.path, left - 1)
        return group[name]

    def _find(self, folder: Path, name: str, what: str) -> Path:
        """Another file that one in `folder` names; a path of another machine gives way to a file beside this one."""
        beside = folder / PureWindowsPath(name).name
        given = Path(name) if Path(name).is_absolute() else folder / name
        found = given if given.is_file() else beside if beside.is_file() else None
        if found is None:
            raise UserError(f"{self.path}: {what} in {name}, which is missing: it should lie beside this file")
        inside = any(found.resolve().is_relative_to(allowed) for allowed in self._folders)
        if not inside and os.environ.get(ELSEWHERE) != "allow":
            raise UserError(f"{self.path}: {what} in {name}, outside its folder; {_HINT}")
        return found

    def _open(self, path: Path) -> h5py.File:
        where = path.resolve()
        if where not in self._files:
            self._files[where] = read_hdf5(path, locking=False, rdcc_nbytes=CHUNK_CACHE)
        return self._files[where]


class DatasetValues:
    """The values of a dataset, read as long as its file (and those that it takes values from) keep their sizes.

    HDF5 fills up with zeros what a file that was cut short meanwhile has no longer.
    """

    def __init__(self, dataset: h5py.Dataset, sizes: Mapping[Path, int]) -> None:
        self._dataset, self._sizes = dataset, sizes
        self.shape, self.dtype = tuple(dataset.shape), np.dtype(dataset.dtype)
        self.chunks: tuple[int, ...] | None = dataset.chunks

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        values = np.asarray(self._dataset[index])
        for path, size in self._sizes.items():
            found = path.stat().st_size
            if found < size:
                raise UserError(f"{path}: cut short while it was read: it has {found} bytes, it had {size}")
        return values


def _identity(item: h5py.HLObject) -> tuple[int, object]:
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr
