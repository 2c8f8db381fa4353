"""Progress bars of the passes over a cube."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each pass on a terminal's standard error or in a notebook that has ipywidgets, nothing elsewhere.

    Yields:
        What to call with the name of a pass, how much is done, and the whole.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    in_notebook = console.is_jupyter and find_spec("ipywidgets") is not None
    with Progress(
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what is printed meanwhile goes above the bars, but for a file into it
        disable=not (sys.stderr.isatty() or in_notebook),
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done)

        yield show
