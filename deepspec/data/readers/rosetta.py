"""What RosettaSciIO reads: Bruker .bcf and many formats of electron microscopes and spectrometers.

The library is under the GPL: it is an extra that is imported when such a file is opened, and no part of deepspec.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.readers.described import Described
from deepspec.data.readers.hyperspy import hyperspy_described
from deepspec.data.readers.signature import FOREIGN
from deepspec.data.readers.stored import Stored, choose_key, reading
from deepspec.data.readers.unpacked import spooled_array
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EXTRA = "rosettasciio"


def open_rosetta(path: Path, signal: str | None, dims: Sequence[int]) -> Stored:
    """Open a cube through RosettaSciIO.

    It is asked to read lazily. Blocks of rows are read from files that it divides into parts; a file that it can only
    read as a whole (.bcf) is decoded once and kept in a temporary file.

    Args:
        path: the file.
        signal: name or number of the data set in the file; default the largest.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if the extra is not installed, or the library cannot read the file.
    """
    reader = _reader(path)
    kind = f"{FOREIGN[path.suffix.lower()]} by RosettaSciIO"
    with reading(path, kind):
        try:
            found = reader.file_reader(str(path), lazy=True)
        except NotImplementedError:  # the library has a few formats without a lazy way
            found = reader.file_reader(str(path), lazy=False)
        signals = {_name(item, i): item for i, item in enumerate(found)}
        shapes = {
            name: tuple(item["data"].shape) for name, item in signals.items() if item["data"].dtype.kind in "iufb"
        }
        if signal is not None and signal.isdigit() and int(signal) < len(signals):
            signal = list(signals)[int(signal)]
        chosen, notes = choose_key(path, shapes, signal, dims)
        item = signals[chosen]
        axes = item["axes"] if len(item["axes"]) == len(shapes[chosen]) else []
        described = hyperspy_described(item["data"], shapes[chosen], axes) or Described(item["data"])
        return Stored(
            arrays=[_RowsInTurn(path, item["data"])],
            name=f"{path}:{chosen}",
            spectral_dim=described.spectral_dim,
            detector_dim=described.detector_dim,
            image=described.image,
            axes=described.axes,
            metadata=_metadata(item.get("metadata", {})),
            notes=notes,
        )


def _reader(path: Path) -> Any:
    """The module of the library that reads files of this extension."""
    extension = path.suffix.lower()
    try:
        library = importlib.import_module("rsciio")
    except ImportError as error:
        raise UserError(
            f"{path}: {FOREIGN[extension]} files ({extension}) are read by RosettaSciIO, which is not installed: "
            f"pip install 'deepspec[{EXTRA}]' (its licence is the GPL)"
        ) from error
    for plugin in library.IO_PLUGINS:
        if extension[1:] in (name.lower() for name in plugin["file_extensions"]):
            with reading(path, FOREIGN[extension]):
                return importlib.import_module(plugin["api"])
    raise UserError(f"{path}: the installed RosettaSciIO reads no {extension} files")


class _RowsInTurn:
    """A dask array of the library, computed where it is indexed; in one piece it is computed once and kept on disk."""

    def __init__(self, path: Path, data: Any) -> None:
        self._data, self._path = data, path
        self.shape, self.dtype = tuple(data.shape), np.dtype(data.dtype)
        self._whole = not hasattr(data, "npartitions")
        parts = getattr(data, "npartitions", 1)
        self.chunks: tuple[int, ...] | None = tuple(data.chunksize) if parts > 1 else None

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        if not self._whole and self._data.npartitions == 1:
            kept = spooled_array(self.shape, self.dtype, str(self._path))
            kept[...] = self._data.compute(scheduler="synchronous")
            self._data, self._whole = kept, True
        part = self._data[index]
        return part if self._whole else part.compute(scheduler="synchronous")


def _name(item: Mapping[str, Any], number: int) -> str:
    title = item.get("metadata", {}).get("General", {}).get("title") or "signal"
    return f"{number}:{title}" if number else str(title)


def _metadata(tree: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Plain values of the general part of the library's metadata."""
    general = tree.get("General", {})
    return {str(k): v for k, v in general.items() if isinstance(v, (str, int, float)) and v != ""}
