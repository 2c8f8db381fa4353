"""An HTML page of headings, tables and pictures: one file that needs no network, and no script.

Numbers, settings and their names as tables and pages show them.
"""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

from deepspec.files import complete_or_absent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure


def number_text(value: float) -> str:
    """Four significant digits.

    >>> number_text(0.00123456), number_text(512)
    ('0.001235', '512')
    """
    return f"{value:.4g}"


def value_text(value: object) -> str:
    """A parameter's value, short."""
    return number_text(value) if isinstance(value, float) else str(value)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted name, and as many more as tell it apart from the others.

    >>> short_names(["model.network.latent", "beta.value", "loss.gamma.value"])
    {'model.network.latent': 'latent', 'beta.value': 'beta.value', 'loss.gamma.value': 'gamma.value'}
    """
    found = {}
    for name in names:
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            found[name] = ".".join(parts[-count:])
            if sum(f".{other}".endswith(f".{found[name]}") for other in names) == 1:
                break
    return found


STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
.wide { overflow-x: auto } img { max-width: 100% } .failed { color: #a33 } .best { background: #fff3d6 }
pre { background: #f5f5f5; padding: .6rem; overflow-x: auto; font-size: 13px }
"""


def write_plain_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page, which appears under its name when complete.

    Args:
        path: of the page.
        title: plain text, also the heading.
        parts: trusted HTML: escape what comes from outside.
    """
    heading = html.escape(title)
    head = f"<meta charset=utf-8><title>{heading}</title><style>{STYLE}</style>"
    page = f"<!doctype html><html lang=en>{head}<h1>{heading}</h1>{''.join(parts)}</html>"
    with complete_or_absent(path) as part:
        part.write_text(page, encoding="utf-8")


def plain_table(rows: Sequence[Sequence[object]], columns: Sequence[str], kinds: Sequence[str] | None = None) -> str:
    """A table.

    Args:
        rows: values; None is left empty.
        columns: headings, plain text.
        kinds: class of each row, such as `best` or `failed`.
    """
    head = "".join(f"<th>{cell_text(name)}</th>" for name in columns)
    body = []
    for row, kind in zip(rows, kinds or [""] * len(rows), strict=True):
        cells = "".join(f"<td>{cell_text(value)}</td>" for value in row)
        body.append(f'<tr class="{html.escape(kind)}">{cells}</tr>')
    return f"<div class=wide><table><tr>{head}</tr>{''.join(body)}</table></div>"


def plain_figure(figure: Figure, description: str) -> str:
    """A picture.

    Args:
        figure: as matplotlib has it.
        description: plain text, for who cannot see it.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    data = base64.b64encode(stream.getvalue()).decode()
    width = round(figure.get_figwidth() * 100)
    return f'<img alt="{html.escape(description)}" width="{width}" src="data:image/png;base64,{data}">'


def cell_text(value: object) -> str:
    """A value as escaped text; None is empty."""
    return "" if value is None else html.escape(value_text(value))
