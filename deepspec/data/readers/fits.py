"""FITS cubes: the image in `DATA`, `SCI`, `FLUX` or the primary unit, its wavelengths, its quality flags."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from deepspec.data.readers.stored import AxisCandidate, Stored, choose_key, reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_KEYWORDS = ("OBJECT", "INSTRUME", "TELESCOP", "EXPTIME", "DATE-OBS", "BUNIT")


def open_fits(path: Path, extension: str | None, dims: Sequence[int]) -> Stored:
    """Open a cube in a FITS file; only what is indexed is read.

    The spectral dimension is the one that the world coordinates name, else NAXIS3. A pixel is masked when half
    or more of its channels are flagged in an extension `DQ` or `MASK`.

    Args:
        path: the file.
        extension: name or number of the unit with the cube; default `DATA`, `SCI`, `FLUX`, else the largest.
        dims: numbers of dimensions that the image may have.

    Raises:
        UserError: if the file is cut short or holds no such image.
    """
    with reading(path, "FITS"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hdus = fits.open(path)
        len(hdus)  # finds all units, and with them a missing end
    if any("truncated" in str(warning.message) for warning in caught):
        hdus.close()
        raise UserError(f"{path}: the file is cut short: {caught[0].message}")
    try:
        with reading(path, "FITS"):
            return _open(path, hdus, extension, dims)
    except UserError:
        hdus.close()
        raise


def _open(path: Path, hdus: fits.HDUList, extension: str | None, dims: Sequence[int]) -> Stored:
    images = {hdu.name or str(i): hdu for i, hdu in enumerate(hdus) if hdu.is_image and hdu.shape}
    if extension is not None and extension.isdigit() and int(extension) < len(hdus):
        extension = hdus[int(extension)].name or extension
    shapes = {name: tuple(hdu.shape) for name, hdu in images.items()}
    chosen, notes = choose_key(path, shapes, extension and extension.upper(), dims)
    hdu = images[chosen]
    spectral_dim, axes = _spectral(hdu, notes)
    flags = images.get("DQ", images.get("MASK"))
    header = {**dict(hdus[0].header), **dict(hdu.header)}
    return Stored(
        arrays=[hdu.section],
        name=f"{path}:{chosen}",
        spectral_dim=spectral_dim,
        axes=axes,
        mask=None if flags is None else _unflagged(flags, hdu, spectral_dim),
        metadata={key: header[key] for key in _KEYWORDS if key in header},
        notes=notes,
        close=hdus.close,
    )


def _spectral(hdu: Any, notes: list[str]) -> tuple[int | None, list[AxisCandidate]]:
    """The spectral dimension in NumPy's order (FITS axes reversed) and its values from the world coordinates."""
    dims = len(hdu.shape)
    by_position = dims - 3 if dims >= 3 else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # old but understood spellings in the header
        try:
            wcs = WCS(hdu.header, fix=True)
            position = wcs.wcs.spec
            if position < 0:
                return by_position, []
            dim = dims - 1 - position
            values = np.asarray(wcs.spectral.pixel_to_world_values(np.arange(hdu.shape[dim])), dtype=np.float64)
            unit = wcs.spectral.wcs.cunit[0]
        except (ValueError, MemoryError, KeyError, AttributeError) as error:  # what wcslib makes of a bad header
            notes.append(f"the header's world coordinates are not usable ({' '.join(str(error).split())})")
            return by_position, []
    kind = hdu.header.get(f"CTYPE{position + 1}", "wavelength")
    if unit == units.dimensionless_unscaled:
        return dim, [AxisCandidate(f"world coordinates {kind}", values, None)]
    target = "keV" if unit.is_equivalent(units.J) else "angstrom"
    try:
        values = (values * unit).to_value(units.Unit(target), units.spectral())
    except units.UnitConversionError:
        notes.append(f"the spectral axis {kind} in {unit} is not a wavelength, energy or frequency")
        return dim, []
    return dim, [AxisCandidate(f"world coordinates {kind}", values, target)]


def _unflagged(flags: Any, hdu: Any, spectral_dim: int | None) -> NDArray[np.bool_] | None:
    """(H, W) pixels with fewer than half of their channels flagged, read a few channels at a time."""
    if len(flags.shape) == 2:
        return np.asarray(np.equal(flags.section[:, :], 0))
    if flags.shape != hdu.shape or spectral_dim != 0 or len(hdu.shape) != 3:
        return None
    channels = flags.shape[0]
    bad = np.zeros(flags.shape[1:], dtype=np.int64)
    for start in range(0, channels, 64):
        bad += np.count_nonzero(np.asarray(flags.section[start : start + 64, :, :]), axis=0)
    return np.asarray(bad * 2 < channels)
