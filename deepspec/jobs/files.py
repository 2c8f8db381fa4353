"""Files that options name, wherever they lie."""

from __future__ import annotations

from pathlib import Path

from deepspec.data.fingerprint import fingerprint
from deepspec.data.readers.signature import file_format


def absolute(text: str) -> str:
    """`FILE`, `FILE:KEY` or `FILE:KEY:UNIT` with the file's absolute name; a text that names no file as it is."""
    file, rest = _split(text)
    return text if file is None else f"{file.absolute()}{rest}"


def by_content(text: str | None) -> str | None:
    """The same with the file's fingerprint instead of its name: equal for equal content, wherever it lies."""
    file, rest = (None, "") if text is None else _split(text)
    return text if file is None else f"{fingerprint(file)}{rest}"


def companions(cube: Path) -> dict[str, str]:
    """Extension and fingerprint of the other files that a cube in a header and a file of numbers consists of.

    Raises:
        UserError: the file is of no known kind.
    """
    if file_format(cube) not in ("ENVI", "RPL"):
        return {}
    stem = cube.stem.lower()
    others = (path for path in sorted(cube.parent.iterdir()) if path.is_file() and path.name != cube.name)
    return {
        path.suffix.lower(): fingerprint(path)
        for path in others
        if path.stem.lower() in (stem, cube.name.lower()) or path.name.lower() == stem
    }


def _split(text: str) -> tuple[Path | None, str]:
    """The file that a text starts with, and the rest of it with its colon."""
    name = text
    while name:
        if Path(name).is_file():
            return Path(name), text[len(name) :]
        name = name.rpartition(":")[0]
    return None, ""
