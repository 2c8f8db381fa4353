"""ENVI: a text header NAME.hdr and a file of bare numbers; opened by either of the two."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.axis import normalise_unit
from deepspec.data.readers.raw_pair import data_of, map_raw
from deepspec.data.readers.signature import header_of
from deepspec.data.readers.stored import AxisCandidate, Stored, check_dims, reading
from deepspec.data.readers.values import physical
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_EXTENSIONS = ("", ".raw", ".img", ".dat", ".bil", ".bip", ".bsq", ".bin")
_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_ORDERS = {  # names of the stored dimensions, the slowest first
    "bsq": ("bands", "lines", "samples"),
    "bil": ("lines", "bands", "samples"),
    "bip": ("lines", "samples", "bands"),
}


def open_envi(path: Path, dims: Sequence[int]) -> Stored:
    """Memory-map an ENVI cube.

    Channels that the header's `bbl` marks as bad are left out unless `channels` chooses; numbers equal to its
    `data ignore value` become NaN.

    Args:
        path: the header or the file with the numbers.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if a part of the pair is missing, the header lacks or contradicts something, or the file with the
            numbers is shorter than it says.
    """
    with reading(path, "ENVI"):
        beside = header_of(path) if _is_data(path) else None
        header = path if beside is None else beside[1]
        text = header.read_text(encoding="utf-8", errors="replace")
        if text.count("{") != text.count("}"):
            raise UserError(f"{header}: damaged or cut short: a list in it has no end")
        fields = parse_header(text)
        try:
            return _open(path, header, fields, dims)
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{header}: damaged ENVI header: {error}") from error


def parse_header(text: str) -> dict[str, str]:
    r"""Fields of an ENVI header, their names in lower case; lists keep the text between their braces.

    >>> parse_header("ENVI\nSamples = 3\nbbl = {1,\n 0}")
    {'samples': '3', 'bbl': '1, 0'}
    """
    pairs = re.findall(r"^[ \t]*([^=\n;{}]+?)[ \t]*=[ \t]*(\{[^{}]*\}|[^\n{}]*)", text, re.MULTILINE)
    return {" ".join(name.lower().split()): " ".join(value.strip("{} \t\r\n").split()) for name, value in pairs}


def _is_data(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) != b"ENVI"


def _open(path: Path, header: Path, fields: Mapping[str, str], dims: Sequence[int]) -> Stored:
    if "spectral library" in fields.get("file type", "").lower():
        raise UserError(f"{header}: an ENVI spectral library is a list of spectra, not a cube")
    if _integer(header, fields, "file compression", 0):
        raise UserError(f"{header}: compressed ENVI files are not read: write it uncompressed")
    interleave = fields.get("interleave", "").lower()
    code = _integer(header, fields, "data type")
    order = _integer(header, fields, "byte order", 0 if code == 1 else None)
    if interleave not in _ORDERS:
        raise UserError(f"{header}: interleave '{interleave}' is none of {', '.join(_ORDERS)}")
    if code not in _TYPES or order not in (0, 1):
        raise UserError(
            f"{header}: data type {code} with byte order {order} is not read: expected one of the types "
            f"{', '.join(map(str, _TYPES))} (integer or real numbers) and byte order 0 or 1"
        )
    dtype = np.dtype("<>"[order] + _TYPES[code])
    shape = tuple(_integer(header, fields, name) for name in _ORDERS[interleave])
    data = path if path != header else data_of(header, _EXTENSIONS)
    notes: list[str] = []
    array: Any = map_raw(data, dtype, shape, _integer(header, fields, "header offset", 0), notes)
    check_dims(path, data.name, shape, dims)
    bands = shape[_ORDERS[interleave].index("bands")]
    if (text := fields.get("data ignore value")) is not None:
        array = physical(array, [float(text)])
    return Stored(
        arrays=[array],
        name=str(path),
        spectral_dim=_ORDERS[interleave].index("bands"),
        axes=_wavelengths(header, fields, notes),
        bad_channels=_bad_bands(header, fields, bands),
        metadata={k: fields[k] for k in ("description", "sensor type", "acquisition time") if fields.get(k)},
        notes=notes,
    )


def _integer(header: Path, fields: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = fields.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        found = "is missing" if text is None else f"is '{text}', expected a whole number"
        raise UserError(f"{header}: '{name}' {found}") from None


def _numbers(header: Path, name: str, text: str) -> NDArray[np.float64]:
    try:
        return np.array([float(part) for part in text.replace(",", " ").split()])
    except ValueError as error:
        raise UserError(f"{header}: '{name}' is no list of numbers: {error}") from None


def _wavelengths(header: Path, fields: Mapping[str, str], notes: list[str]) -> list[AxisCandidate]:
    if "wavelength" not in fields:
        return []
    unit: str | None = fields.get("wavelength units", "unknown")
    if unit is None or unit.lower() in ("unknown", ""):
        unit = None
    else:
        try:
            normalise_unit(unit)
        except UserError:
            notes.append(f"the header gives its channels in '{unit}', which is not understood: channels are counted")
            return []
    return [AxisCandidate("wavelength", _numbers(header, "wavelength", fields["wavelength"]), unit)]


def _bad_bands(header: Path, fields: Mapping[str, str], bands: int) -> NDArray[np.bool_] | None:
    """(C,) True where `bbl` says 0."""
    if "bbl" not in fields:
        return None
    good = _numbers(header, "bbl", fields["bbl"])
    if good.size != bands:
        raise UserError(f"{header}: 'bbl' has {good.size} values for {bands} bands")
    return np.asarray(good == 0)
