"""Pieces of HTML pages: tables, figures, and a plain page of them that needs neither a network nor a script."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from deepspec.files import complete_or_absent
from deepspec.texts import value_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

_LIGHT = 2**16
"""Bytes of a figure that is put into a page as it is; a larger one is given a palette of 256 colours, which makes it
a quarter of the size."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
figure { margin: 1rem 0 } figcaption { color: #555; font-size: 13px }
.scroll { overflow-x: auto } img { max-width: 100% } .failed { color: #a33 } .best { background: #fff3d6 }
pre { background: #f5f5f5; padding: .6rem; overflow-x: auto; font-size: 13px }
"""


def write_plain_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page, which appears under its name when complete.

    Args:
        path: of the page.
        title: plain text, also the heading.
        parts: trusted HTML: escape what comes from outside.
    """
    heading = escape(title)
    head = f"<meta charset=utf-8><title>{heading}</title><style>{_STYLE}</style>"
    page = f"<!doctype html><html lang=en>{head}<h1>{heading}</h1>{''.join(parts)}</html>"
    with complete_or_absent(path) as part:
        part.write_text(page, encoding="utf-8")


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def table_html(head: Sequence[str], rows: Sequence[Sequence[object]], kinds: Sequence[str] = ()) -> str:
    """A table; numbers stand on the right.

    Args:
        head: titles of the columns, plain text.
        rows: their values; floats are given with four digits, None is left empty.
        kinds: class of each row, such as `best` or `failed`; default none.
    """

    def cell(value: object, tag: str = "td") -> str:
        kind = "number" if isinstance(value, (int, float)) else "wide"
        text = "" if value is None else value_text(value)
        return f'<{tag} class="{kind}">{escape(text)}</{tag}>'

    body = ""
    for row, kind in zip(rows, kinds or [""] * len(rows), strict=True):
        mark = f' class="{escape(kind)}"' if kind else ""
        body += f"<tr{mark}>{''.join(cell(value) for value in row)}</tr>"
    titles = "".join(cell(title, "th") for title in head)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def figure_html(figure: bytes | Figure, caption: str) -> str:
    """A figure with its caption.

    Args:
        figure: content of a PNG file, or a figure of matplotlib, which is shown at 100 pixels an inch.
        caption: plain text.
    """
    width = ""
    if not isinstance(figure, bytes):
        width = f' width="{round(figure.get_figwidth() * 100)}"'
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        figure = stream.getvalue()
    content = base64.b64encode(_light(figure)).decode("ascii")
    caption = escape(caption)
    image = f'<img src="data:image/png;base64,{content}" alt="{caption}"{width}>'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _light(png: bytes) -> bytes:
    """The same picture in fewer bytes, if it is large."""
    from PIL import Image

    if len(png) <= _LIGHT:
        return png
    with Image.open(io.BytesIO(png)) as image:
        fewer = image.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    content = io.BytesIO()
    fewer.save(content, format="PNG", compress_level=6)
    return min(png, content.getvalue(), key=len)
