"""The cubes in a folder, told by their content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.data.readers.signature import PARTS, file_format, header_of, is_zarr_folder
from deepspec.data.readers.table import READERS
from deepspec.errors import UserError
from deepspec.notes import note

if TYPE_CHECKING:
    from collections.abc import Sequence


def cube_files(paths: Sequence[str], spatial_shape: tuple[int, int] | None = None) -> list[str]:
    """Put the files with cubes of each folder, by name, in its place; other paths stay as they are.

    Of a header and its file of numbers the header counts. A folder that is one cube stays too: a zarr store, EDF files
    of one frame, and files of one spectrum if the rows and columns of the image are given. What is left out is printed.

    Args:
        paths: files and folders.
        spatial_shape: rows and columns, as the user gives them.

    Raises:
        UserError: if a folder has no file with a cube.
    """
    files: list[str] = []
    for path in paths:
        files += _in_folder(Path(path)) if Path(path).is_dir() and not is_one_cube(path, spatial_shape) else [path]
    return files


def is_one_cube(path: str | Path, spatial_shape: tuple[int, int] | None = None) -> bool:
    """Whether a folder is one cube by itself; see `cube_files`."""
    folder = Path(path)
    if not folder.is_dir():
        return False
    if is_zarr_folder(folder):
        return True
    suffixes = {inner.suffix.lower() for inner in folder.iterdir() if not inner.name.startswith(".")}
    parts = suffixes & set(PARTS)
    return parts == {".edf"} or (bool(parts) and ".edf" not in parts and spatial_shape is not None)


def _in_folder(folder: Path) -> list[str]:
    taken, left = [], []
    for path in sorted(folder.iterdir()):
        if (path.is_file() or is_zarr_folder(path)) and not path.name.startswith("."):
            try:
                fits = file_format(path) in READERS
            except UserError:
                fits = False
            if not fits:
                left.append(path.name)
            elif not _is_numbers(path):
                taken.append(str(path))
    if not taken:
        raise UserError(f"{folder}: no file with a cube in this folder")
    note(f"{folder}: {len(taken)} files with cubes" + (f", left out: {', '.join(left)}" if left else ""))
    return taken


def _is_numbers(path: Path) -> bool:
    """Whether a file holds the numbers that a header beside it describes."""
    return path.is_file() and file_format(path) in ("ENVI", "RPL") and header_of(path) is not None
