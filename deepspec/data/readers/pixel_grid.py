"""Rows and columns that a file names beside a list of pixels, as the unmixing scenes in MATLAB files have them.

`nRow` and `nCol` stand beside `V` or `Y` (bands, pixels), with the pixels counted along the columns, as MATLAB does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAMES = (
    ("nrow", "ncol"),
    ("nrows", "ncols"),
    ("n_rows", "n_cols"),
    ("rows", "cols"),
    ("rows", "columns"),
    ("lines", "samples"),
    ("height", "width"),
    ("h", "w"),
)


def pixel_grid(
    shapes: Mapping[str, tuple[int, ...]], wanted: str | None, number: Callable[[str], float]
) -> tuple[str, tuple[int, int]] | None:
    """The list of pixels in a file, and the rows and columns that the file gives for it.

    Args:
        shapes: of all arrays.
        wanted: the array that the user chose; None = any, if no array is an image by itself.
        number: reads an array of one number.

    Returns:
        The name of the array and its rows and columns, if there are two such numbers and one array of two dimensions,
        one of which is as long as their product; of several the largest. None otherwise.
    """
    if wanted is None and any(sum(n > 1 for n in shape) > 2 for shape in shapes.values()):
        return None
    single = {name.lower(): name for name, shape in shapes.items() if shape and max(shape) == min(shape) == 1}
    for names in _NAMES:
        if not all(name in single for name in names):
            continue
        rows, columns = (number(single[name]) for name in names)
        if rows < 1 or columns < 1 or rows % 1 or columns % 1:
            continue
        pixels = int(rows) * int(columns)
        lists = [
            name
            for name, shape in shapes.items()
            if len(shape) == 2 and shape.count(pixels) == 1 and min(shape) > 1 and wanted in (None, name)
        ]
        if lists:
            largest = max(lists, key=lambda name: shapes[name][0] * shapes[name][1])
            return largest, (int(rows), int(columns))
    return None
