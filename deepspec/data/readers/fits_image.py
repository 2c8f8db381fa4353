"""The image of a FITS unit as an array on disk.

astropy's own way to read a part of an image takes a step in Python for each plane: half a second for a block of rows
of a cube with 2,000 channels. Mapping the file takes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from deepspec.data.readers.raw_pair import map_raw

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray

_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_SHIFTS = {"u1": -(2**7), "i2": 2**15, "i4": 2**31, "i8": 2**63}  # BZERO that turns unsigned into signed, and back


class ScaledImage:
    """Integers on disk that stand for others: value = BZERO + BSCALE x stored, and no value where stored = BLANK.

    BZERO alone, at the middle of the range, is how FITS writes unsigned (and signed 8-bit) integers; these stay
    integers. All else becomes real numbers, as the standard has it.

    Args:
        stored: integers or real numbers.
        scale: BSCALE.
        zero: BZERO.
        blank: BLANK, which becomes NaN; None if there is none.
    """

    def __init__(self, stored: StoredArray, scale: float, zero: float, blank: int | None) -> None:
        self._stored, self._scale, self._zero, self._blank = stored, scale, zero, blank
        self.shape = stored.shape
        narrow = stored.dtype.itemsize <= (4 if stored.dtype.kind == "f" else 2)
        self.dtype = np.dtype(np.float32 if narrow else np.float64)
        middle = 1 << (8 * stored.dtype.itemsize - 1)
        self._shift = middle if (scale, blank) == (1, None) and zero == _SHIFTS.get(stored.dtype.str[1:]) else 0
        if self._shift:
            self.dtype = np.dtype(f"{'i' if zero < 0 else 'u'}{stored.dtype.itemsize}")

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        stored = self._stored[index]
        if self._shift:  # turning the highest bit, which works in the integers' own width
            bits = stored.astype(f"=u{stored.dtype.itemsize}")
            return np.asarray(bits ^ bits.dtype.type(self._shift)).view(self.dtype)
        values = stored.astype(self.dtype) * self.dtype.type(self._scale) + self.dtype.type(self._zero)
        if self._blank is not None:
            values[stored == self._blank] = np.nan
        return np.asarray(values)


class TiledImage:
    """An image that FITS compresses tile by tile."""

    def __init__(self, hdu: fits.CompImageHDU) -> None:
        self._section = hdu.section
        self.shape, self.dtype = tuple(self._section.shape), np.dtype(self._section.dtype)
        self.chunks: tuple[int, ...] = tuple(hdu.tile_shape)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(self._section[index])


def stored_image(path: Path, hdu: Any) -> StoredArray:
    """The image of a unit, mapped; a compressed one is decompressed by astropy where it is indexed.

    Args:
        path: the file.
        hdu: an image unit of it, of which nothing was read yet.

    Raises:
        UserError: if the file ends within the image.
    """
    if isinstance(hdu, fits.CompImageHDU):
        return TiledImage(hdu)
    stored = map_raw(path, np.dtype(_TYPES[hdu.header["BITPIX"]]), tuple(hdu.shape), hdu.fileinfo()["datLoc"])
    scale, zero = float(hdu.header.get("BSCALE", 1)), float(hdu.header.get("BZERO", 0))
    blank = int(hdu.header["BLANK"]) if stored.dtype.kind != "f" and "BLANK" in hdu.header else None
    return stored if (scale, zero, blank) == (1, 0, None) else ScaledImage(stored, scale, zero, blank)
