"""FITS cubes: the image in `DATA`, `SCI`, `FLUX` or the primary unit, its wavelengths, its quality flags."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from deepspec.data.readers.fits_image import stored_image
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
    with ExitStack() as opened:
        with reading(path, "FITS"), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            hdus = fits.open(opened.enter_context(path.open("rb")))
            len(hdus)  # finds all units, and with them a missing end
            stored = _open(path, hdus, extension, dims)
        said = [" ".join(str(warning.message).split()) for warning in caught if _matters(warning)]
        if any("truncated" in text for text in said):
            raise UserError(f"{path}: the file is cut short: {said[0]}")
        stored.notes += said[:1]
        stored.close = opened.pop_all().close
        return stored


def _matters(warning: warnings.WarningMessage) -> bool:
    """Not old but understood spellings in the header, nor what Python says of files that an error leaves open."""
    return not issubclass(warning.category, (FITSFixedWarning, ResourceWarning))


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
        arrays=[stored_image(path, hdu)],
        name=f"{path}:{chosen}",
        spectral_dim=spectral_dim,
        axes=axes,
        mask=None if flags is None else _unflagged(path, flags, hdu, spectral_dim),
        metadata={key: header[key] for key in _KEYWORDS if key in header},
        notes=notes,
    )


def _spectral(hdu: Any, notes: list[str]) -> tuple[int | None, list[AxisCandidate]]:
    """The spectral dimension in NumPy's order (FITS axes reversed) and its values from the world coordinates."""
    dims = len(hdu.shape)
    by_position = dims - 3 if dims >= 3 else None
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


def _unflagged(path: Path, flags: Any, hdu: Any, spectral_dim: int | None) -> NDArray[np.bool_] | None:
    """(H, W) pixels with fewer than half of their channels flagged, read a few channels at a time."""
    image = stored_image(path, flags)
    if len(image.shape) == 2:
        return np.asarray(np.equal(image[:, :], 0))
    if image.shape != hdu.shape or spectral_dim != 0 or len(image.shape) != 3:
        return None
    channels = image.shape[0]
    bad = np.zeros(image.shape[1:], dtype=np.int64)
    for start in range(0, channels, 64):
        bad += np.count_nonzero(image[start : start + 64, :, :], axis=0)
    return np.asarray(bad * 2 < channels)
