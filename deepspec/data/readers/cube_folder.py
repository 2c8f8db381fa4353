"""Folders that are one cube: a file for each pixel, or for each line of a scan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from deepspec.data.readers.edf import open_edf_folder
from deepspec.data.readers.emsa import read_emsa
from deepspec.data.readers.spectrum_files import SPECTRUM_SUFFIXES, Spectrum, read_spectrum
from deepspec.data.readers.stored import Stored
from deepspec.data.readers.unpacked import spooled_array
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def open_folder(folder: Path, dims: Sequence[int]) -> Stored:
    """Open the files of a folder as one cube, in the natural order of their names (2 before 10).

    Files of one spectrum (.mca, .spe, .msa) are the pixels, along the rows; `read_cube` is told rows and columns. EDF
    files are the lines, or the images of the channels. Other files are passed over.

    Args:
        folder: with files of one of these kinds.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if there are no such files, they are of several kinds or differ in their number of channels, or the
            rows and columns are not given.
    """
    kinds = kinds_in(folder)
    if len(kinds) != 1:
        said = f"holds files of {len(kinds)} kinds, {', '.join(kinds)}" if kinds else "holds no file of a cube's part"
        raise UserError(f"{folder}: this folder {said}: expected .edf, or one of {', '.join(SPECTRUM_SUFFIXES)}")
    kind, paths = next(iter(kinds.items()))
    if kind == "EDF":
        return open_edf_folder(paths, folder, dims)
    if 2 not in dims:
        raise UserError(
            f"{folder}: {len(paths)} spectra ({kind}) in this folder; for a cube of them give "
            "--spatial_shape ROWS COLUMNS"
        )
    first = _read(paths[0], kind)
    channels = first.counts.size
    array = spooled_array((len(paths), channels), np.dtype(np.float64), str(folder))
    whole = True
    for number, path in enumerate(paths):
        found = first if number == 0 else _read(path, kind)
        if found.counts.size != channels:
            raise UserError(f"{path}: {found.counts.size} channels, {paths[0].name} has {channels}")
        whole = whole and found.counts.dtype.kind == "u"
        array[number] = found.counts
    if whole:
        counts = spooled_array(array.shape, np.dtype(np.uint32), str(folder))
        counts[...] = array
        array = counts
    return Stored(
        arrays=[array],
        name=str(folder),
        spectral_dim=1,
        axes=[] if first.axis is None else [first.axis],
        metadata=first.metadata,
        notes=[f"took {len(paths)} spectra as pixels, in the order of their names, {paths[0].name} first"],
    )


def kinds_in(folder: Path) -> dict[str, list[Path]]:
    """The files in a folder that may be parts of a cube, by kind, in natural order."""
    suffixes = SPECTRUM_SUFFIXES | {".edf": "EDF"}
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: _natural(path.name)):
        kind = suffixes.get(path.suffix.lower())
        if kind is not None and path.is_file() and not path.name.startswith("."):
            found.setdefault(kind, []).append(path)
    return found


def _read(path: Path, kind: str) -> Spectrum:
    return read_emsa(path) if kind == "EMSA" else read_spectrum(path, kind)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name.lower())]
