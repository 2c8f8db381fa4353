"""One table of many evaluations, read from what they wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deepspec.csv_cells import write_records
from deepspec.data.complete_file import complete_or_absent
from deepspec.errors import UserError
from deepspec.evaluation.files import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

TABLE = "scores.csv"

COLUMNS = {
    "segmentation": ("segmentation",),
    "method": ("method",),
    "reference": ("reference", "source"),
    "pixels": ("pixels",),
    "k": ("k",),
    "classes": ("reference", "classes"),
    "ari": ("agreement", "ari"),
    "nmi": ("agreement", "nmi"),
    "overall_accuracy": ("agreement", "overall_accuracy"),
    "weighted_f1": ("agreement", "weighted_f1"),
    "macro_f1": ("agreement", "macro_f1"),
    "macro_tversky": ("agreement", "macro_tversky"),
    "silhouette": ("internal", "silhouette_samples", "score"),
    "silhouette_input_space": ("internal_input_space", "silhouette_samples", "score"),
    "stability": ("stability", "ari"),
    "structure": ("structure", "verdict"),
}
"""Of the table, and where each value is in `evaluation.json`; of the classes their number."""


def write_overview(folders: Iterable[Path], file: Path) -> int:
    """Write a row for each folder that holds an evaluation; no file if none does.

    Returns:
        The number of rows.

    Raises:
        UserError: what is in a folder cannot be read.
    """
    rows = [_row(_read(folder / NUMBERS)) for folder in folders if (folder / NUMBERS).is_file()]
    if rows:
        with complete_or_absent(file) as part, part.open("w", newline="", encoding="utf-8") as stream:
            write_records(stream, list(COLUMNS), rows)
    return len(rows)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is no evaluation: {error}") from None
    if not isinstance(found, dict) or found.get("format") != "deepspec-evaluation":
        raise UserError(f"{file} is no evaluation of one segmentation")
    return found


def _row(found: Mapping[str, Any]) -> dict[str, str | int | float | None]:
    row = {name: _at(found, path) for name, path in COLUMNS.items()}
    classes = row["classes"]
    return {**row, "classes": None if classes is None else len(classes)}


def _at(found: Any, path: tuple[str, ...]) -> Any:
    """A value of nested mappings; None where one of them is not there."""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found
