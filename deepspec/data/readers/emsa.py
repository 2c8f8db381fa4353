"""EMSA/MAS spectra (.msa): one spectrum as text, read as a cube of one pixel.

The standard is ISO 22029: lines `#KEYWORD : value`, then numbers, then `#ENDOFDATA`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from deepspec.data.readers.spectrum_files import Spectrum
from deepspec.data.readers.stored import AxisCandidate, Stored, check_dims, reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_TEXTS = ("TITLE", "DATE", "TIME", "OWNER", "SIGNALTYPE", "YUNITS")
_NUMBERS = ("LIVETIME", "REALTIME", "BEAMKV", "PROBECUR")


def open_emsa(path: Path, dims: Sequence[int]) -> Stored:
    """Read a spectrum as a cube (1, 1, C), with its axis.

    Channel i lies at OFFSET + i XPERCHAN (DATATYPE Y), or at the x of its pair (DATATYPE XY). Counts written as
    `12.0` are integers.

    Args:
        path: the file.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if a keyword is missing or wrong, or the file has fewer values than NPOINTS.
    """
    with reading(path, "EMSA"):
        fields, numbers = _parse(path, path.read_text(encoding="utf-8-sig", errors="replace"))
        notes: list[str] = []
        points = _number(path, fields, "NPOINTS")
        xy = fields.get("DATATYPE", "Y").upper() == "XY"
        found = numbers.size / (2 if xy else 1)
        if found < max(points, 1) or found % 1:
            raise UserError(f"{path}: expected NPOINTS = {points:g} {'pairs' if xy else 'values'}, found {found:g}")
        if found > points:
            notes.append(f"NPOINTS is {points:g}, but there are {found:g} values: took them all")
        y_C = numbers[1::2] if xy else numbers
        if xy:
            x_C = numbers[::2]
        else:
            x_C = _number(path, fields, "OFFSET") + _number(path, fields, "XPERCHAN") * np.arange(
                y_C.size, dtype=np.float64
            )
        array = _as_counts(y_C)[None, None]
        check_dims(path, path.name, array.shape, dims)
        metadata: dict[str, str | int | float] = {key: fields[key] for key in _TEXTS if fields.get(key)}
        metadata.update({key: _number(path, fields, key) for key in _NUMBERS if fields.get(key)})
        return Stored(
            arrays=[array],
            name=str(path),
            spectral_dim=2,
            axes=[AxisCandidate(_quantity(fields), x_C, fields.get("XUNITS") or None, "stated")],
            metadata=metadata,
            notes=notes,
        )


def read_emsa(path: Path) -> Spectrum:
    """Read a file as a spectrum alone; errors as for `open_emsa`."""
    stored = open_emsa(path, (3,))
    return Spectrum(np.asarray(stored.arrays[0][:, :, :])[0, 0], stored.axes[0], stored.metadata)


def _parse(path: Path, text: str) -> tuple[dict[str, str], NDArray[np.float64]]:
    """Keywords (`LIVETIME  -s` is LIVETIME) with their values, and the numbers between SPECTRUM and ENDOFDATA."""
    spectrum = re.search(r"^#\s*SPECTRUM\b.*$", text, re.MULTILINE | re.IGNORECASE)
    end = re.search(r"^#\s*ENDOFDATA\b", text, re.MULTILINE | re.IGNORECASE)
    if spectrum is None or end is None:
        raise UserError(f"{path}: cut short: no #{'ENDOFDATA' if spectrum else 'SPECTRUM'} line")
    head, body = text[: spectrum.start()], text[spectrum.end() : end.start()]
    pairs = re.findall(r"^#\s*([A-Z]+)\s*(?:-[^:\n]*)?:[ \t]*(.*?)[ \t]*$", head, re.MULTILINE | re.IGNORECASE)
    try:
        numbers = np.array([float(part) for part in body.replace(",", " ").split()])
    except ValueError as error:
        raise UserError(f"{path}: the spectrum is no list of numbers: {error}") from None
    return {key.upper(): value for key, value in pairs}, numbers


def _number(path: Path, fields: Mapping[str, str], key: str) -> float:
    try:
        return float(fields[key])
    except KeyError:
        raise UserError(f"{path}: the keyword #{key} is missing") from None
    except ValueError:
        raise UserError(f"{path}: #{key} is '{fields[key]}', expected a number") from None


def _quantity(fields: Mapping[str, str]) -> str:
    """What x is, to guess its unit by where the file gives none: of all signal types only light has wavelengths."""
    return "wavelength" if fields.get("SIGNALTYPE", "").upper() == "CLS" else "energy"


def _as_counts(y_C: NDArray[np.float64]) -> NDArray[np.uint32] | NDArray[np.float64]:
    if np.isfinite(y_C).all() and (y_C >= 0).all() and (y_C < 2**32).all() and (y_C == np.floor(y_C)).all():
        return y_C.astype(np.uint32)
    return y_C
