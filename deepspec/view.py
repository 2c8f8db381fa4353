"""`deepspec view SEGMENTATION`: open the report of a result in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.command import run_command
from deepspec.errors import UserError
from deepspec.files import REPORT

if TYPE_CHECKING:
    from collections.abc import Sequence


def view(result: str, no_open: bool = False) -> None:
    """Open report.html of a segmentation, an evaluation or a sweep in the browser, and print where it lies.

    Args:
        result: folder of the result, or a file in it.
        no_open: only print the path, as on a machine without a screen.
    """
    place = Path(result)
    if not place.exists():
        raise UserError(f"{result}: no such file or folder; expected the folder that `segment` or `evaluate` wrote")
    page = place if place.name == REPORT else (place if place.is_dir() else place.parent) / REPORT
    if not page.is_file():
        raise UserError(f"{page}: there is no report; `segment --export report`, or auto, writes one")
    print(page.absolute())
    if not no_open:
        import webbrowser

        if not webbrowser.open(page.absolute().as_uri()):
            raise UserError(f"{page}: no browser can be started here; open the file by hand, or give --no_open")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(view, prog="deepspec view", positional="result", args=args)


if __name__ == "__main__":
    main()
