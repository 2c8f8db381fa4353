"""What goes with the image of a FITS cube: its uncertainties and its flags, by the names that surveys give them.

ESO's header keywords (HDUCLAS2, ERRDATA, QUALDATA) go before names; of several units of one name that of the same
EXTVER is taken.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deepspec.data.readers.fits_image import stored_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import ErrorKind

_ERRORS: dict[str, ErrorKind] = {
    "ERR": "deviation",
    "ERROR": "deviation",
    "ERRORS": "deviation",
    "UNCERT": "deviation",
    "UNCERTAINTY": "deviation",
    "SIGMA": "deviation",
    "NOISE": "deviation",
    "STD": "deviation",
    "RMS": "deviation",
    "STAT": "variance",
    "VAR": "variance",
    "VARIANCE": "variance",
    "IVAR": "inverse variance",
    "INVVAR": "inverse variance",
}
_FLAGS = ("DQ", "MASK", "QUALITY", "QUAL", "FLAGS", "FLAG", "BADPIX", "BPM")
_OTHERS = ("WEIGHT", "WEIGHTS", "WMAP", "EXPOSURE", "COVAR", "DISP", "PREDISP", "SPECRES", "SKY", "EXPMAP", "ERRWEIGHT")
_KINDS: dict[str, ErrorKind] = {"MSE": "variance", "RMSE": "deviation", "INVMSE": "inverse variance"}
_JWST_DO_NOT_USE = 1  # bits of a flag that mean "not to be used"; the others are remarks
_MANGA_DO_NOT_USE = 2**10


class Companions(NamedTuple):
    """Keys of the units that go with an image, None where there is none, and what the uncertainties are."""

    errors: str | None
    errors_are: ErrorKind
    flags: str | None


def is_companion(name: str, header: Any) -> bool:
    """Whether a unit holds uncertainties, flags or weights, and no cube."""
    kind = str(header.get("HDUCLAS2", "")).strip().upper()
    if kind:
        return kind in ("ERROR", "QUALITY")
    return _word(name, (*_ERRORS, *_FLAGS, *_OTHERS)) is not None


def companions(images: Mapping[str, Any], chosen: str) -> Companions:
    """Find what goes with an image among all of the file's.

    Args:
        images: image units by key.
        chosen: the key of the cube.
    """
    hdu = images[chosen]
    said = {key: str(hdu.header.get(key, "")).strip().upper() for key in ("ERRDATA", "QUALDATA")}
    errors = _of(images, hdu, said["ERRDATA"], tuple(_ERRORS), same_shape=True)
    flags = _of(images, hdu, said["QUALDATA"], _FLAGS, same_shape=False)
    kind: ErrorKind = "deviation"
    if errors is not None:
        header = images[errors].header
        word = _word(images[errors].name, tuple(_ERRORS)) or "ERR"
        kind = _KINDS.get(str(header.get("HDUCLAS3", "")).strip().upper(), _ERRORS[word])
    return Companions(errors, kind, flags)


def unflagged(path: Path, flags: Any, hdu: Any, spectral_dim: int | None, primary: Any) -> NDArray[np.bool_] | None:
    """(H, W) pixels with fewer than half of their channels flagged, read a few channels at a time.

    Args:
        path: the file.
        flags: the unit with them.
        hdu: the unit with the cube.
        spectral_dim: of the cube.
        primary: the file's first header, which names telescope and survey.
    """
    image = stored_image(path, flags)
    bits = None
    if np.dtype(image.dtype).kind in "iu":
        jwst = str(primary.get("TELESCOP", "")).strip().upper() == "JWST"
        manga = "MANGAID" in primary or "PLATEIFU" in primary
        bits = _JWST_DO_NOT_USE if jwst else _MANGA_DO_NOT_USE if manga else None

    def bad(values: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(values != 0 if bits is None else (values & values.dtype.type(bits)) != 0)

    if len(image.shape) == 2:
        return ~bad(np.asarray(image[:, :]))
    if image.shape != tuple(hdu.shape) or spectral_dim is None or len(image.shape) != 3:
        return None
    channels = image.shape[spectral_dim]
    count = np.zeros([n for d, n in enumerate(image.shape) if d != spectral_dim], dtype=np.int64)
    for start in range(0, channels, 64):
        index = tuple(slice(start, start + 64) if d == spectral_dim else slice(None) for d in range(3))
        count += np.count_nonzero(bad(np.asarray(image[index])), axis=spectral_dim)
    return np.asarray(count * 2 < channels)


def _of(images: Mapping[str, Any], hdu: Any, said: str, words: tuple[str, ...], *, same_shape: bool) -> str | None:
    """Key of the unit that the header names, or else of that which has one of the words in its name."""
    shapes = (tuple(hdu.shape), tuple(hdu.shape[-2:]))
    fitting = {
        key: other
        for key, other in images.items()
        if other is not hdu and tuple(other.shape) in (shapes[:1] if same_shape else shapes)
    }
    named = {key: other for key, other in fitting.items() if said and other.name.upper() == said}
    found = named or {key: other for key, other in fitting.items() if _word(other.name, words) is not None}
    ranked = sorted(found, key=lambda key: (found[key].ver != hdu.ver, found[key].shape != hdu.shape))
    return ranked[0] if ranked else None


def _word(name: str, words: tuple[str, ...]) -> str | None:
    """The word that a name is, or ends or starts with behind or before a separator: ERR, FLUX_ERR, IFU.1.NOISE."""
    parts = [part for part in re.split(r"[_.\-\s]+", name.upper()) if part]
    return next((part for part in (parts[-1:] + parts[:1]) if part in words), None)
