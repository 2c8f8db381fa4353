"""ENVI: a text header NAME.hdr and a file of bare numbers; opened by either of the two."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.readers.described import positions_in_names
from deepspec.data.readers.file_numbers import data_of, map_raw
from deepspec.data.readers.signature import header_of
from deepspec.data.readers.stored import AxisCandidate, Stored, check_dims, reading
from deepspec.data.readers.values import physical
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray

_EXTENSIONS = ("", ".raw", ".img", ".dat", ".bil", ".bip", ".bsq", ".bin")
_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_LOOKED_AT = 2**20  # bytes
_ORDERS = {  # names of the stored dimensions, the slowest first
    "bsq": ("bands", "lines", "samples"),
    "bil": ("lines", "bands", "samples"),
    "bip": ("lines", "samples", "bands"),
}


def open_envi(path: Path, dims: Sequence[int]) -> Stored:
    """Memory-map an ENVI cube.

    Channels that the header's `bbl` marks as bad are left out unless `channels` chooses; numbers equal to its
    `data ignore value` become NaN; gains and offsets of the bands, or the reflectance scale factor, are applied.

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
        text = re.sub(r"^[ \t]*;.*$", "", text, flags=re.MULTILINE)  # comments
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
    pairs = re.findall(r"^[ \t]*([^=\n;{}\s][^=\n;{}]*?)[ \t]*=[ \t]*(\{[^{}]*\}|[^\n{}]*)", text, re.MULTILINE)
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
    order = _integer(header, fields, "byte order", 0)
    if interleave not in _ORDERS:
        raise UserError(f"{header}: interleave '{interleave}' is none of {', '.join(_ORDERS)}")
    if code not in _TYPES or order not in (0, 1):
        raise UserError(
            f"{header}: data type {code} with byte order {order} is not read: expected one of the types "
            f"{', '.join(map(str, _TYPES))} (integer or real numbers) and byte order 0 or 1"
        )
    notes: list[str] = []
    shape = tuple(_integer(header, fields, name) for name in _ORDERS[interleave])
    offset = _integer(header, fields, "header offset", 0)
    size = offset + math.prod(shape) * np.dtype(_TYPES[code]).itemsize
    data = path if path != header else data_of(header, _EXTENSIONS, size)
    if "byte order" not in fields and code != 1:
        order = _likely_order(data, np.dtype(_TYPES[code]), offset)
        name = ("little", "big")[order]
        notes.append(f"its header gives no byte order: took {name}-endian, by the looks of its numbers")
    dtype = np.dtype("<>"[order] + _TYPES[code])
    array: Any = map_raw(data, dtype, shape, offset, notes)
    check_dims(path, data.name, shape, dims)
    spectral_dim = _ORDERS[interleave].index("bands")
    bands = shape[spectral_dim]
    return Stored(
        arrays=[_values(header, fields, array, spectral_dim, notes)],
        name=str(path),
        spectral_dim=spectral_dim,
        axes=_wavelengths(header, fields),
        bad_channels=_bad_bands(header, fields, bands),
        metadata={k: fields[k] for k in ("description", "sensor type", "acquisition time") if fields.get(k)},
        notes=notes,
    )


def _likely_order(data: Path, dtype: np.dtype[Any], offset: int) -> int:
    """The byte order, 0 = little-endian, in which the numbers make more sense; PlantCV's headers give none.

    Integers differ less from the next one; real numbers are zero or of a size that measurements have.
    """
    with data.open("rb") as file:
        file.seek(max(offset, 0))
        content = file.read(_LOOKED_AT)
    content = content[: len(content) // dtype.itemsize * dtype.itemsize]
    strange = []
    for stored in (dtype.newbyteorder("<"), dtype.newbyteorder(">")):
        x = np.frombuffer(content, stored).astype(np.float64)
        if dtype.kind == "f":
            size = np.abs(x)
            strange.append(float(np.count_nonzero(~((size == 0) | ((size > 1e-12) & (size < 1e15))))))
        else:
            strange.append(float(np.abs(np.diff(np.arcsinh(x))).sum()))  # one wild number must not decide
    return int(strange[1] < strange[0])


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


def _values(header: Path, fields: Mapping[str, str], array: Any, spectral_dim: int, notes: list[str]) -> StoredArray:
    """The numbers as gain x number + offset of each band, or divided by the reflectance scale factor.

    ENVI's gains make radiances of counts, and reflectances where it gives gains of those alone. Beside gains that say
    anything the factor, which is for numbers that are reflectances already, is left alone.
    """
    shape = [1] * 3
    shape[spectral_dim] = bands = array.shape[spectral_dim]
    of_bands = {}
    kind = "data" if any(fields.get(f"data {name} values") for name in ("gain", "offset")) else "data reflectance"
    for name, neutral in ((f"{kind} gain values", 1.0), (f"{kind} offset values", 0.0)):
        numbers = _numbers(header, name, fields[name]) if fields.get(name) else np.full(bands, neutral)
        if numbers.size not in (1, bands):
            raise UserError(f"{header}: '{name}' has {numbers.size} values for {bands} bands")
        of_bands[name] = np.broadcast_to(numbers, bands).reshape(shape)
    gain, offset = of_bands.values()
    text = fields.get("reflectance scale factor")
    if (gain == 1).all() and (offset == 0).all() and text:
        factor = float(text)
        gain = gain * (1 / factor if factor else 0)
    ignored = fields.get("data ignore value")
    missing = [float(ignored)] if ignored else []
    if not (np.isfinite(gain) & (gain != 0) & np.isfinite(offset)).all():
        raise UserError(f"{header}: its gains, offsets or reflectance scale factor have zeros or what is no number")
    found = physical(array, missing, scale=gain, offset=offset)
    if not ((gain == 1).all() and (offset == 0).all()):
        notes.append("its numbers are read with the gains, offsets or reflectance scale factor of the header")
    return found


# Units of ENVI that are no lengths or energies: what a number of them is as a wavelength in micrometres.
_INVERSE = {"ghz": 299792.458, "mhz": 299792458.0}
_MULTIPLES = {"mm": 1e3, "millimeters": 1e3, "cm": 1e4, "centimeters": 1e4}


def _wavelengths(header: Path, fields: Mapping[str, str]) -> list[AxisCandidate]:
    if not fields.get("wavelength"):
        named = positions_in_names(fields.get("band names", "").split(","))
        return [] if named is None else [named]
    values = _numbers(header, "wavelength", fields["wavelength"])
    unit = fields.get("wavelength units", "").strip()
    lower = unit.lower()
    if lower == "index":
        return []
    if lower in _INVERSE and (values > 0).all():
        return [AxisCandidate("wavelength", _INVERSE[lower] / values, "um", "stated")]
    if lower in _MULTIPLES:
        return [AxisCandidate("wavelength", _MULTIPLES[lower] * values, "um", "stated")]
    return [AxisCandidate("wavelength", values, None if lower in ("unknown", "") else unit, "stated")]


def _bad_bands(header: Path, fields: Mapping[str, str], bands: int) -> NDArray[np.bool_] | None:
    """(C,) True where `bbl` says 0."""
    if "bbl" not in fields:
        return None
    good = _numbers(header, "bbl", fields["bbl"])
    if good.size != bands:
        raise UserError(f"{header}: 'bbl' has {good.size} values for {bands} bands")
    return np.asarray(good == 0)
