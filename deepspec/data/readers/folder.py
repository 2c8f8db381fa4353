"""The cubes in a folder, told by their content."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.data.readers.signature import CUBE_FORMATS, file_format, header_of
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence


def cube_files(paths: Sequence[str]) -> list[str]:
    """Put the files with cubes of each folder, by name, in its place; other paths stay as they are.

    Of a header and its file of numbers the header counts. What is left out is printed.

    Raises:
        UserError: if a folder has no file with a cube.
    """
    files: list[str] = []
    for path in paths:
        files += _in_folder(Path(path)) if Path(path).is_dir() else [path]
    return files


def _in_folder(folder: Path) -> list[str]:
    taken, left = [], []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            try:
                fits = file_format(path) in (*CUBE_FORMATS, "RosettaSciIO")
            except UserError:
                fits = False
            if not fits:
                left.append(path.name)
            elif not _is_numbers(path):
                taken.append(str(path))
    if not taken:
        raise UserError(f"{folder}: no file with a cube in this folder")
    print(
        f"{folder}: {len(taken)} files with cubes" + (f", left out: {', '.join(left)}" if left else ""), file=sys.stderr
    )
    return taken


def _is_numbers(path: Path) -> bool:
    """Whether a file holds the numbers that a header beside it describes."""
    return file_format(path) in ("ENVI", "RPL") and header_of(path) is not None
