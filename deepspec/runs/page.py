"""comparison.html: everything on one page that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.reporting.html import cell_text, plain_figure, plain_table, write_plain_page
from deepspec.runs.table import RESULTS, TITLES, epochs_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from deepspec.runs.table import Row


def write_comparison_page(
    rows: Sequence[Row], keys: Sequence[str], notes: Sequence[str], figure: Figure, path: Path
) -> None:
    """Write the page.

    Args:
        rows: of the runs, the best first.
        keys: settings in which they differ.
        notes: what should be known, in sentences.
        figure: of their courses.
        path: of the page.
    """
    shown = [name for name in RESULTS if any(row[name] is not None for row in rows)]
    kinds = ["failed" if row["problem"] else "" for row in rows]
    columns = [*shown, *(["problem"] if any(kinds) else [])]
    results = [[epochs_text(row) if name == "epochs" else row[name] for name in columns] for row in rows]
    parts = [
        "<h2>Results</h2><p>Of the epoch whose weights were kept, the best run first.</p>",
        plain_table(results, [TITLES.get(name, name) for name in columns], kinds),
        *(f"<p>{cell_text(note)}</p>" for note in notes),
        "<h2>Course</h2>",
        plain_figure(
            figure, "losses, silhouette of the sampled latents, K, weights of the loss and learning rate by epoch"
        ),
        "<h2>What differs in the configurations</h2>",
    ]
    if not keys:
        parts.append("<p>Nothing.</p>")
    elif len(keys) < len(rows):
        parts.append(plain_table([[row["run"], *(row[key] for key in keys)] for row in rows], ["run", *keys]))
    else:
        by_key = [[key, *(row[key] for row in rows)] for key in keys]
        parts.append(plain_table(by_key, ["key", *(row["run"] for row in rows)]))
    write_plain_page(path, f"Comparison of {len(rows)} runs", parts)
