"""FITS cubes: the image in `DATA`, `SCI`, `FLUX` or the primary unit, its wavelengths, its quality flags."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from astropy.io import fits
from astropy.wcs import FITSFixedWarning

from deepspec.data.readers.fits_axis import spectral_axis, stokes_axis, stokes_i
from deepspec.data.readers.fits_companions import companions, is_companion, unflagged
from deepspec.data.readers.fits_image import stored_image
from deepspec.data.readers.stored import Stored, choose_key, reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_KEYWORDS = ("OBJECT", "INSTRUME", "TELESCOP", "EXPTIME", "DATE-OBS", "BUNIT")


def open_fits(path: Path, extension: str | None, dims: Sequence[int]) -> Stored:
    """Open a cube in a FITS file; only what is indexed is read.

    The spectral dimension is the one that the header names, else NAXIS3. A pixel is masked when half or more of its
    channels are flagged in an extension such as `DQ` or `MASK`.

    Args:
        path: the file.
        extension: name, NAME,EXTVER or number of the unit with the cube, from 0; default the first `DATA`, `SCI` or
            `FLUX`, else the largest.
        dims: numbers of dimensions that the image may have.

    Raises:
        UserError: if the file is cut short or holds no such image.
    """
    with ExitStack() as opened:
        with reading(path, "FITS"), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            hdus = fits.open(opened.enter_context(path.open("rb")))
            len(hdus)  # finds all units, and with them a missing end
            try:
                stored = _open(path, hdus, extension, dims)
            except fits.VerifyError as error:
                raise UserError(f"{path}: a header is damaged: {' '.join(str(error).split())}") from error
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
    images = _images(hdus)
    cubes = {key: hdu for key, hdu in images.items() if extension is not None or not is_companion(hdu.name, hdu.header)}
    shapes = {key: tuple(hdu.shape) for key, hdu in (cubes or images).items()}
    chosen, notes = choose_key(path, shapes, _wanted(path, hdus, images, extension), dims)
    hdu = images[chosen]
    spectral_dim, axes = spectral_axis(hdus, hdu, notes)
    beside = companions(images, chosen)
    header = {**dict(hdus[0].header), **dict(hdu.header)}
    stokes = stokes_axis(hdu.header, len(hdu.shape))
    detector_dim, default = None, None
    if stokes is not None and len(hdu.shape) > 3 and hdu.shape[len(hdu.shape) - stokes] > 1:
        detector_dim = len(hdu.shape) - stokes
        default = stokes_i(hdu.header, stokes, hdu.shape[detector_dim])
        notes.append(f"took Stokes I of {hdu.shape[detector_dim]} parameters; choose with --detector NUMBER")
    flags = None if beside.flags is None else images[beside.flags]
    return Stored(
        arrays=[stored_image(path, hdu)],
        name=f"{path}:{chosen}",
        spectral_dim=spectral_dim,
        detector_dim=detector_dim,
        default_detector=default,
        axes=axes,
        mask=None if flags is None else unflagged(path, flags, hdu, spectral_dim, hdus[0].header),
        errors=None if beside.errors is None else stored_image(path, images[beside.errors]),
        errors_are=beside.errors_are,
        metadata={key: header[key] for key in _KEYWORDS if key in header},
        notes=notes,
    )


def _images(hdus: fits.HDUList) -> dict[str, Any]:
    """Image units by name, those without one by number; a further one of the same name as NAME,EXTVER."""
    images: dict[str, Any] = {}
    units = [(number, hdu) for number, hdu in enumerate(hdus) if hdu.is_image and hdu.shape]
    for number, hdu in sorted(units, key=lambda pair: (pair[1].ver, pair[0])):
        key = hdu.name or str(number)
        if key in images:
            key = f"{key},{hdu.ver}"
        images[key if key not in images else str(number)] = hdu
    return images


def _wanted(path: Path, hdus: fits.HDUList, images: dict[str, Any], extension: str | None) -> str | None:
    """The key of the unit that the user names by name, by NAME,EXTVER or by its number in the file, from 0."""
    if extension is None or not extension.isdigit():
        if extension is None or extension.upper() in images:
            return extension and extension.upper()
        name, _, version = extension.upper().rpartition(",")
        return next((k for k, hdu in images.items() if hdu.name == name and str(hdu.ver) == version), extension.upper())
    number = int(extension)
    wanted = hdus[number] if number < len(hdus) else None
    key = next((key for key, hdu in images.items() if hdu is wanted), None)
    if key is None and wanted is not None:
        raise UserError(f"{path}: unit {number} ('{wanted.name}') holds no image; images: {', '.join(images)}")
    return key or extension
