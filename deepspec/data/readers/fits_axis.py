"""The spectral axis of a FITS cube, in the spellings of the standard, of IRAF, of surveys and of single instruments.

Order: world coordinates that wcslib knows; the linear keywords of an axis whose name or unit is spectral (IRAF's
`LINEAR` and `LAMBDA`, with `DC-FLAG` = 1 for logarithms to base 10); an image or table column of wavelengths in
another unit of the file.
"""

from __future__ import annotations

import math
import re
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS

from deepspec.axis import SpectralAxis, find_unit
from deepspec.data.readers.stored import AxisCandidate
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_NAMES = re.compile(r"^(LINEAR|LAMBDA|AWAV|WAVE|WAVN|ENER|FREQ|LOG|WL\b)|WAVELEN|ENERG|LAMBDA", re.IGNORECASE)
_LISTS = (
    "WAVE", "WAVELENGTH", "WAVELENGTHS", "LAMBDA", "LAM", "WL", "WAVELEN", "LOGLAM", "LOGLAMBDA", "ENERGY", "ENERGIES",
    "FREQ", "FREQUENCY",
)  # fmt: skip
_BORDERS = (("E_MIN", "E_MAX"), ("ENERG_LO", "ENERG_HI"))  # of channels, in tables of X- and gamma-ray astronomy
_DOPPLER = {
    "VRAD": units.doppler_radio,
    "VOPT": units.doppler_optical,
    "VELO": units.doppler_relativistic,
    "FELO": units.doppler_optical,
}
_LONGEST_M, _MOST_J, _LEAST_HZ = 0.05, 1e-9, 1e5
_ERRORS = (ValueError, MemoryError, KeyError, AttributeError, TypeError, IndexError)  # of wcslib on a bad header


def spectral_axis(hdus: fits.HDUList, hdu: Any, notes: list[str]) -> tuple[int | None, list[AxisCandidate]]:
    """The spectral dimension of an image and the positions of its channels.

    Args:
        hdus: all units of the file, of which a table may hold the coordinates.
        hdu: the image.
        notes: gets a line on what is not understood.

    Returns:
        The dimension in NumPy's order (FITS axes reversed), None if it is not known, and candidates for its values.
    """
    dims = len(hdu.shape)
    header = hdu.header
    stokes = stokes_axis(header, dims)
    by_position = dims - 3 if dims >= 3 and stokes != 3 else None
    found = _world_coordinates(hdus, hdu, notes)
    if found is not None and found[1]:
        known = dims - found[0]
        return known, _with_lists(found[1][0], list(_listed(hdus, hdu.shape[known])), notes)
    number = found[0] if found is not None else _linear_axis(header, dims)
    dim = by_position if number is None else dims - number
    if dim is None:
        return None, []
    if number is not None and found is None:
        linear = _linear(header, number, hdu.shape[dim], notes)
        if linear is not None:
            return dim, [linear]
    return dim, list(_listed(hdus, hdu.shape[dim]))


def stokes_axis(header: fits.Header, dims: int) -> int | None:
    """The number of the FITS axis of Stokes parameters, from 1; None if there is none."""
    kinds = {i: str(header.get(f"CTYPE{i}", "")).strip().upper() for i in range(1, dims + 1)}
    return next((i for i, kind in kinds.items() if kind == "STOKES"), None)


def stokes_i(header: fits.Header, axis: int, length: int) -> int:
    """Place of Stokes I, which FITS gives the value 1, along its axis."""
    first, step, reference = (_number(header, f"{key}{axis}", 1.0) for key in ("CRVAL", "CDELT", "CRPIX"))
    values = first + (np.arange(1, length + 1) - reference) * step
    places = np.flatnonzero(np.abs(values - 1) < 0.5)
    return int(places[0]) if places.size else 0


def _world_coordinates(hdus: fits.HDUList, hdu: Any, notes: list[str]) -> tuple[int, list[AxisCandidate]] | None:
    """Number of the spectral FITS axis and its values, as far as wcslib knows them; None if it knows of none."""
    header = _with_own_steps(hdu.header, len(hdu.shape))
    try:
        wcs = WCS(header, hdus, fix=True)
        position = wcs.wcs.spec
        if position < 0:
            return None
        number = position + 1
        length = hdu.shape[len(hdu.shape) - number]
        kind = str(header.get(f"CTYPE{number}", "wavelength")).strip()
        if int(header.get("DC-FLAG", 0)) == 1 and not kind.upper().endswith(("-LOG", "-TAB")):
            return None  # logarithms, which wcslib does not know of
        if f"CRVAL{number}" not in header and not kind.upper().endswith("-TAB"):
            return number, []  # a name without numbers, which wcslib takes to be 1 m, 2 m, ...
        alone = wcs.spectral
        values = np.asarray(alone.pixel_to_world_values(np.arange(length)), dtype=np.float64)
        unit = alone.wcs.cunit[0]
        rest = {"frequency": float(wcs.wcs.restfrq), "wavelength": float(wcs.wcs.restwav)}
    except _ERRORS as error:
        notes.append(f"the header's world coordinates are not usable ({' '.join(str(error).split())})")
        return None
    name = f"world coordinates {kind}"
    if f"CUNIT{number}" not in header and np.allclose(values, np.arange(length) + round(values[0]), rtol=0, atol=1e-6):
        return number, []  # slices that are counted
    if not str(header.get(f"CUNIT{number}", "")).strip() and (bare := _without_unit(kind, values, notes)) is not None:
        return number, bare
    if unit == units.dimensionless_unscaled:
        if (shifted := _redshifted(values, kind, rest["wavelength"])) is not None:
            return number, [AxisCandidate(name, shifted, "angstrom", "stated")]
        notes.append(f"the spectral axis {kind} is relative to a line that the header does not give: channels counted")
        return number, []
    try:
        return number, [AxisCandidate(name, *_converted(values, unit, kind, rest), "stated")]
    except units.UnitsError:
        notes.append(
            f"the spectral axis {kind} in {unit} is not a wavelength, energy or frequency: channels are counted"
        )
        return number, []


def _converted(
    values: NDArray[np.float64], unit: Any, kind: str, rest: dict[str, float]
) -> tuple[NDArray[np.float64], str]:
    target = "keV" if unit.is_equivalent(units.J) else "angstrom"
    rules = list(units.spectral())
    doppler = _DOPPLER.get(kind[:4].upper())
    if doppler is not None and unit.is_equivalent(units.m / units.s) and any(rest.values()):
        at = rest["frequency"] * units.Hz if rest["frequency"] else rest["wavelength"] * units.m
        values, unit = (values * unit).to_value(units.Hz, doppler(at)), units.Hz
    return np.asarray((values * unit).to_value(units.Unit(target), rules), dtype=np.float64), target


def _with_own_steps(header: fits.Header, dims: int) -> fits.Header:
    """The header with CDi_i for each axis that has CDELTi alone, where others have a CD matrix.

    The standard does not allow the mixture, and wcslib takes 1 for the missing CD3_3; pipelines write it all the same.
    """
    if not any(re.fullmatch(r"CD\d_\d", key) for key in header):
        return header
    completed = header.copy()
    for i in range(1, dims + 1):
        row = any(f"CD{i}_{j}" in header or f"CD{j}_{i}" in header for j in range(1, dims + 1))
        if not row and (step := _number(header, f"CDELT{i}", 0.0)):
            completed[f"CD{i}_{i}"] = step
    return completed


def _without_unit(kind: str, values: NDArray[np.float64], notes: list[str]) -> list[AxisCandidate] | None:
    """What to make of numbers whose unit the header leaves out; None if they are in SI, as the standard then has it.

    No spectrograph has wavelengths of 5 cm or energies of nanojoules: these are in other units, to be guessed by size.
    """
    largest = float(np.abs(values).max())
    if kind[:4].upper() in ("WAVE", "AWAV") and largest > _LONGEST_M:
        return [AxisCandidate(f"wavelength {kind} of the header", values, None, "stated")]
    if kind[:4].upper() == "ENER" and largest > _MOST_J:
        return [AxisCandidate(f"energy {kind} of the header", values, None, "stated")]
    if kind[:4].upper() == "FREQ" and largest < _LEAST_HZ:
        notes.append(f"{kind} of the header has no unit, and {largest:g} Hz is no frequency: channels are counted")
        return []
    return None


def _redshifted(values: NDArray[np.float64], kind: str, rest: float) -> NDArray[np.float64] | None:
    """Wavelengths in angstrom of redshifts or of velocities in units of c; None if the line at rest is not known."""
    if not rest or (kind.upper().startswith("BETA") and np.abs(values).max() >= 1):
        return None
    if kind.upper().startswith("BETA"):
        return np.asarray(rest * 1e10 * np.sqrt((1 + values) / (1 - values)))
    return np.asarray(rest * 1e10 * (1 + values)) if kind.upper().startswith("ZOPT") else None


def _with_lists(linear: AxisCandidate, lists: list[AxisCandidate], notes: list[str]) -> list[AxisCandidate]:
    """The header's coordinates; but a list of other positions for the same channels, which is exact, goes before them.

    Spectrographs are not linear: some pipelines describe a cube by a straight line, and keep the positions beside it.
    """
    for other in lists:
        if other.values.size != linear.values.size or (other.unit is not None and find_unit(other.unit) is None):
            continue
        try:
            here = SpectralAxis(linear.values, str(linear.unit))
            given = [other.unit] if other.unit is not None else ["angstrom", "nm", "um", "keV", "eV"]
            each = [SpectralAxis(other.values, unit) for unit in given]
        except UserError:  # a list that turns back is none
            continue
        there = each[0]
        if not any(here.matches(axis, tolerance=0.5) for axis in each):
            if other.unit is None:
                notes.append(
                    f"the list '{other.name}' has no unit, and in none it is what the {linear.name} of the header say "
                    f"({here}), which were taken; choose with --axis"
                )
                return [linear]
            notes.append(
                f"took the list '{other.name}' ({there}), which is not what the {linear.name} of the header say "
                f"({here}); choose with --axis"
            )
            return [other, linear]
        return [linear]
    return [linear]


def _linear_axis(header: fits.Header, dims: int) -> int | None:
    """The FITS axis whose name or unit is spectral, the third before others."""
    for number in sorted(range(1, dims + 1), key=lambda i: (i != 3, i)):
        kind, unit = (str(header.get(f"{key}{number}", "")).strip() for key in ("CTYPE", "CUNIT"))
        celestial = re.match(r"(RA|DEC|GLON|GLAT|ELON|ELAT)-", kind.upper()) is not None
        # LINEAR alone says nothing of the first two axes: images without world coordinates have it too.
        named = _NAMES.search(kind) is not None and (number == 3 or kind.upper() != "LINEAR")
        if not celestial and (named or _is_spectral_unit(unit, number)):
            return number
    dispersion = header.get("DISPAXIS")
    if isinstance(dispersion, int) and 1 <= dispersion <= dims and "DC-FLAG" in header:
        return dispersion
    return None


def _is_spectral_unit(text: str, number: int) -> bool:
    found = find_unit(text) if text else None
    # Images of detectors are in micrometres or metres.
    return found is not None and found[0] != "channel" and (number == 3 or found[0] in ("keV", "angstrom"))


def _linear(header: fits.Header, number: int, length: int, notes: list[str]) -> AxisCandidate | None:
    """CRVAL + (pixel - CRPIX) step, or ten to the power of it; None if the keywords are not there."""
    kind = str(header.get(f"CTYPE{number}", "wavelength")).strip() or "wavelength"
    own_step = header.get(f"CD{number}_{number}")
    step = (
        _number(header, f"CDELT{number}", 1.0) * _number(header, f"PC{number}_{number}", 1.0)
        if own_step is None
        else _number(header, f"CD{number}_{number}", 0.0)
    )
    if f"CRVAL{number}" not in header or (own_step is None and f"CDELT{number}" not in header) or step == 0:
        return None
    first, reference = _number(header, f"CRVAL{number}", 0.0), _number(header, f"CRPIX{number}", 0.0)
    values = first + (np.arange(1, length + 1, dtype=np.float64) - reference) * step
    unit = str(header.get(f"CUNIT{number}", "")).strip()
    attributes = " ".join(str(header.get(f"WAT{number}_{i:03d}", "")) for i in range(1, 10))
    by_iraf = re.search(r"units\s*=\s*\"?([A-Za-z]+)", attributes)
    if not unit and by_iraf is not None:
        unit = by_iraf[1]
    base = _base_of_logarithm(header, kind, unit, values)
    if base is not None:
        values = base**values
        inner = re.search(r"\(\s*([^()]+?)\s*\)", unit)
        unit = inner[1] if inner is not None else unit if find_unit(unit or ".") else "angstrom"
    name = f"{kind} of the header"
    if unit:
        if not _is_known(unit):
            try:
                values, unit = _converted(values, units.Unit(unit), kind, {})
            except (ValueError, units.UnitsError):
                notes.append(f"the unit '{unit}' of {name} is not that of a wavelength, energy or frequency")
        return AxisCandidate(name, values, unit, "stated")
    if "DC-FLAG" in header or by_iraf is not None or re.search(r"linear", attributes):
        notes.append("took the wavelengths to be in angstrom, as IRAF writes them; choose with --axis UNIT")
        return AxisCandidate(name, values, "angstrom", "stated")
    if kind.upper() == "LINEAR" and abs(values).max() < 100:  # a slice number as likely as a wavelength
        notes.append(f"CTYPE{number} = LINEAR without a unit says no wavelengths: channels are counted")
        return None
    return AxisCandidate(f"wavelength {name}" if "ENER" not in kind.upper() else name, values, None, "stated")


def _base_of_logarithm(header: fits.Header, kind: str, unit: str, values: NDArray[np.float64]) -> float | None:
    """10 or e where the header says that the keywords give logarithms."""
    text = f"{kind} {unit}".lower()
    if int(_number(header, "DC-FLAG", 0)) == 1 or re.search(r"log10|loglam|log\s*\(|log-lam|log_lam", text):
        return 10.0
    if re.search(r"\bln\b|ln\(|lnlam", text):
        return math.e
    if kind.upper().startswith("LOG"):
        return 10.0 if np.abs(values).max() < 6 else math.e
    return None


def _listed(hdus: fits.HDUList, channels: int) -> Iterator[AxisCandidate]:
    """Lists of wavelengths in other units of the file: images of one dimension, columns, and tables of one row."""
    for hdu in hdus:
        name = hdu.name.upper()
        if hdu.is_image and getattr(hdu, "shape", None) and name in _LISTS and max(hdu.shape) == np.prod(hdu.shape) > 1:
            values = np.asarray(hdu.data, dtype=np.float64).ravel()
            yield _list_candidate(name, values, str(hdu.header.get("BUNIT", hdu.header.get("CUNIT1", ""))))
        if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)) and not isinstance(hdu, fits.CompImageHDU):
            yield from _centres(hdu, channels)
            for column in hdu.columns:
                if column.name.upper() not in _LISTS:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", units.UnitsWarning)
                    values = np.asarray(hdu.data[column.name], dtype=np.float64).ravel()
                if values.size == channels:
                    yield _list_candidate(column.name.upper(), values, str(column.unit or ""))


def _centres(table: Any, channels: int) -> Iterator[AxisCandidate]:
    """The middle of each channel where a table gives its borders."""
    columns = {column.name.upper(): column for column in table.columns}
    for low, high in _BORDERS:
        if low in columns and high in columns and len(table.data) == channels > 1:
            both = [np.asarray(table.data[columns[end].name], dtype=np.float64) for end in (low, high)]
            if both[0].ndim == both[1].ndim == 1:
                unit = str(columns[low].unit or "keV")
                yield AxisCandidate(f"{low} and {high}", (both[0] + both[1]) / 2, unit, "stated")


def _list_candidate(name: str, values: NDArray[np.float64], unit: str) -> AxisCandidate:
    if name.startswith("LOG") or unit.lower().startswith("log"):
        return AxisCandidate(name, 10.0**values, "angstrom", "stated")
    if name.startswith("FREQ") and not unit:
        unit = "Hz" if values.size and values.min() > _LEAST_HZ else "an unknown unit of frequency"
    if unit and not _is_known(unit):
        with suppress(ValueError, units.UnitsError):  # what is not understood is said where the axis is chosen
            return AxisCandidate(name, *_converted(values, units.Unit(unit), name, {}), "stated")
    return AxisCandidate(name, values, unit or None, "stated")


def _is_known(unit: str) -> bool:
    """Whether a unit is kept; wavenumbers in FITS are those of light, and become wavelengths like its frequencies."""
    found = find_unit(unit)
    return found is not None and found[0] != "1/cm"


def _number(header: fits.Header, key: str, default: float) -> float:
    try:
        return float(header.get(key, default))
    except (TypeError, ValueError):
        return default
