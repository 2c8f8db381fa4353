"""Ripple (RPL/RAW): a text header NAME.rpl of keys and values, and a file of bare numbers NAME.raw."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from deepspec.axis import find_unit
from deepspec.data.readers.file_numbers import data_of, map_raw
from deepspec.data.readers.signature import header_of
from deepspec.data.readers.stored import AxisCandidate, Stored, check_dims, reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_KINDS = {"signed": "i", "unsigned": "u", "float": "f"}
_BYTES = {"little-endian": "<", "big-endian": ">", "dont-care": "="}
_KEPT = ("title", "date", "time", "signal", "beam-energy", "live-time")


def open_ripple(path: Path, dims: Sequence[int]) -> Stored:
    """Memory-map a ripple cube.

    The axis is that of `depth-scale`, `depth-origin` and `depth-units`, else `ev-per-chan` from zero on.

    Args:
        path: the header or the file with the numbers.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if a part of the pair is missing, the header lacks or contradicts something, or the file with the
            numbers is shorter than it says.
    """
    with reading(path, "RPL"):
        beside = header_of(path) if path.suffix.lower() != ".rpl" else None
        header = path if beside is None else beside[1]
        fields = parse_header(header.read_text(encoding="utf-8", errors="replace"))
        dtype = _dtype(header, fields)
        width, height, depth = (_integer(header, fields, name) for name in ("width", "height", "depth"))
        by_image = _one_of(header, fields, "record-by", ("image", "vector", "dont-care")) == "image"
        shape = (depth, height, width) if by_image else (height, width, depth)
        data = path if path != header else data_of(header, (".raw",))
        notes: list[str] = []
        array = map_raw(data, dtype, shape, _integer(header, fields, "offset"), notes)
        check_dims(path, data.name, shape, dims)
        return Stored(
            arrays=[array],
            name=str(path),
            spectral_dim=0 if by_image else 2,
            axes=_axis(header, fields, depth),
            metadata={key: fields[key] for key in _KEPT if fields.get(key)},
            notes=notes,
        )


def parse_header(text: str) -> dict[str, str]:
    r"""Keys, in lower case, and values of a ripple header; what follows a semicolon is a comment.

    >>> parse_header("key\tvalue\nWidth\t12 ; pixels\n;depth\t7\n")
    {'key': 'value', 'width': '12'}
    """
    lines = (line.partition(";")[0].strip() for line in text.splitlines())
    pairs = (re.split(r"\s+", line, maxsplit=1) for line in lines if line)
    return {pair[0].lower(): pair[1] for pair in pairs if len(pair) == 2}


def _dtype(header: Path, fields: Mapping[str, str]) -> np.dtype[np.generic]:
    kind = _KINDS[_one_of(header, fields, "data-type", tuple(_KINDS))]
    size = _one_of(header, fields, "data-length", ("4", "8") if kind == "f" else ("1", "2", "4", "8"))
    order = _BYTES[_one_of(header, fields, "byte-order", tuple(_BYTES))]
    if order == "=" and size != "1":
        order = "<"  # the format was made on, and is written by, little-endian machines
    return np.dtype(f"{order}{kind}{size}")


def _one_of(header: Path, fields: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    found = fields.get(name, "").lower()
    if found not in choices:
        raise UserError(f"{header}: '{name}' is '{found}', expected one of {', '.join(choices)}")
    return found


def _integer(header: Path, fields: Mapping[str, str], name: str) -> int:
    try:
        return int(fields.get(name, "0" if name == "offset" else ""))
    except ValueError:
        raise UserError(f"{header}: '{name}' is '{fields.get(name, '')}', expected a whole number") from None


def _number(header: Path, fields: Mapping[str, str], name: str, default: str) -> float:
    try:
        return float(fields.get(name, default))
    except ValueError:
        raise UserError(f"{header}: '{name}' is '{fields[name]}', expected a number") from None


def _axis(header: Path, fields: Mapping[str, str], depth: int) -> list[AxisCandidate]:
    units = fields.get("depth-units", "").strip()
    if "depth-scale" in fields and units and (find_unit(units) is not None or "ev-per-chan" not in fields):
        unit, name = fields["depth-units"], "depth-scale"
        first, step = _number(header, fields, "depth-origin", "0"), _number(header, fields, name, "")
    elif "ev-per-chan" in fields:
        unit, name = "eV", "ev-per-chan"
        first, step = 0.0, _number(header, fields, name, "")
    else:
        return []
    if step == 0 or not np.isfinite([first, step]).all():
        raise UserError(f"{header}: '{name}' is {step:g} from {first:g} on, no axis")
    return [AxisCandidate(name, first + step * np.arange(depth, dtype=np.float64), unit, "stated")]
