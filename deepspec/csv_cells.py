"""The one writer of CSV: a text that a spreadsheet would take for a formula is marked as a text.

Names of files and settings come from others, and a cell such as `=cmd|' /C calc'!A0` is a command to some programs.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TextIO

_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_cell(value: object) -> object:
    """A value as it is written: a text that begins like a formula gets an apostrophe before it, a number does not.

    >>> as_cell("=1+1"), as_cell("@SUM(A1)"), as_cell("-1.5e3"), as_cell(-2), as_cell("Fe Ka")
    ("'=1+1", "'@SUM(A1)", '-1.5e3', -2, 'Fe Ka')
    """
    if not isinstance(value, str) or not value.startswith(_SIGNS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def write_rows(file: TextIO, rows: Iterable[Sequence[object]], line_end: str = "\r\n") -> None:
    """Write rows, the first of which is usually the names of the columns."""
    csv.writer(file, lineterminator=line_end).writerows([as_cell(value) for value in row] for row in rows)


def write_records(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write the names of the columns, and a row for each record; what a record lacks is empty."""
    write_rows(file, [columns, *([row.get(name) for name in columns] for row in rows)])
