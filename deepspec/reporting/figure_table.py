"""One form for all figures that a verb writes: a caption, when there is something to draw, and how to draw it.

Tables of them are in `figures` (of a segmentation), `evaluation` (of an evaluation, and of several) and
`training_figures` (of a training). An entry is all that a new figure takes: its file, its place and caption on
the page, the names that a folder may hold and the exports that may be asked for follow from it.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from deepspec.drawing import FORMATS, save_figure
from deepspec.errors import UserError
from deepspec.extensions import Extensible

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

C = TypeVar("C")
"""What a figure is drawn from, such as `FigureContext` or `Evaluation`."""


def always(_: object) -> bool:
    """There is something to draw in any case."""
    return True


@dataclass(frozen=True)
class ReportFigure(Generic[C]):
    """A figure of a table; its name there is that of its file."""

    caption: str
    """Under the figure on the page; plain text."""
    draw: Callable[[C], Figure]
    """Draws it, on a canvas of its own: `deepspec.drawing` has figures apart from pyplot's."""
    when: Callable[[C], bool] = always
    """Whether there is something to draw."""
    export: str = ""
    """Drawn only where `--export` has this word; empty: always."""
    missing: str = ""
    """Said where the export was asked for and there is nothing to draw."""
    section: str = ""
    """Part of the page that it stands in, of those that the table's page has; empty: where most figures are."""


def figure_table(
    group: str, own: Mapping[str, ReportFigure[C]], sections: Collection[str] = ()
) -> Extensible[ReportFigure[C]]:
    """A table of figures that other packages can add to.

    Args:
        group: of entry points, such as `"deepspec.figures"`.
        own: ours by name.
        sections: that the page has for figures besides the usual place.
    """

    def check(name: str, figure: object) -> None:
        if not isinstance(figure, ReportFigure):
            raise TypeError(f"expected a deepspec.reporting.ReportFigure, got a {type(figure).__name__}")
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            raise UserError(f"figure {name!r}: its files have this name: use small letters, digits, - and _ only")
        if figure.section not in ("", *sections):
            choices = " or ".join(["empty", *sections])
            raise UserError(f"figure {name!r}: section: expected {choices}, got {figure.section!r}")

    return Extensible("figure", group, own, check)


def file_names(table: Iterable[str]) -> frozenset[str]:
    """Names of all files that the figures of a table may be written to."""
    return frozenset(f"{name}.{kind}" for name in table for kind in FORMATS)


def draw_table(table: Extensible[ReportFigure[C]], context: C, exports: Collection[str] = ()) -> dict[str, Figure]:
    """Draw all figures of a table that there is something to show in; see `save_table`, which needs less memory."""
    found = {}
    for name, entry in _asked_for(table, exports):
        with others_may_fail(table, name):
            if (figure := _draw(entry, context)) is not None:
                found[name] = figure
    return found


def save_table(
    table: Extensible[ReportFigure[C]],
    context: C,
    folder: Path,
    formats: Sequence[str],
    exports: Collection[str] = (),
) -> list[Path]:
    """Draw all figures of a table that there is something to show in, one after the other.

    What could not be drawn though it was asked for is logged as a warning, and so is a figure of another package that
    fails: a result that took an hour is not lost with it.

    Args:
        table: of figures by name.
        context: what they are drawn from.
        folder: an existing one; earlier figures in it are replaced.
        formats: png, svg, pdf, one file each.
        exports: what was asked for.

    Returns:
        The files written, in the order of the table.
    """
    written = []
    for name, entry in _asked_for(table, exports):
        with others_may_fail(table, name):
            if (figure := _draw(entry, context)) is not None:
                for kind in formats:
                    path = folder / f"{name}.{kind}"
                    save_figure(figure, path)
                    written.append(path)
    return written


def _asked_for(table: Extensible[ReportFigure[C]], exports: Collection[str]) -> list[tuple[str, ReportFigure[C]]]:
    return [(name, entry) for name, entry in table.items() if not entry.export or entry.export in exports]


def _draw(entry: ReportFigure[C], context: C) -> Figure | None:
    if entry.when(context):
        return entry.draw(context)
    if entry.missing:
        logger.warning(entry.missing)
    return None


@contextmanager
def others_may_fail(table: Extensible[Any], name: str) -> Iterator[None]:
    """Log what goes wrong in the block as a warning, if the thing of that name is another package's."""
    try:
        yield
    except Exception as error:
        if name not in table.added:
            raise
        what = f"no {table.kind} '{name}', of another package: it fails with {type(error).__name__}: {error}"
        logger.warning(what)
