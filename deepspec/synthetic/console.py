"""What the commands that synthesize say on the terminal, and how they keep settings with the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from deepspec.data.shards.manifest import ShardSet


def say(progress: Progress, text: str) -> None:
    """Print a line above a progress bar."""
    progress.console.print(text, soft_wrap=True, highlight=False)


def plain(value: Any) -> str | int | float:
    """The value of a setting as HDF5 attributes hold it."""
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return value if isinstance(value, (str, int, float)) else str(value)


def contents(shards: ShardSet) -> str:
    """What a set of shards holds, for a reader."""
    rows = ", ".join(f"{shards.rows(split)} {split}" for split in shards.splits)
    size = sum(entry.bytes for split in shards.splits for entry in shards.entries(split))
    return f"{rows} spectra, {shards.axis}, {size / 1e6:.0f} MB"
