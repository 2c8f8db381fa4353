"""FITS cubes: the image in `DATA`, `SCI`, `FLUX` or the primary unit, its wavelengths, uncertainties and quality flags.

The image is an array on disk. astropy's own way to read a part of it takes a step in Python for each plane: half a
second for a block of rows of a cube with 2,000 channels. Mapping the file takes none.

Uncertainties and flags are found by the names that surveys give them. ESO's header keywords (HDUCLAS2, ERRDATA,
QUALDATA) go before names; of several units of one name that of the same EXTVER is taken.
"""

from __future__ import annotations

import math
import re
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import FITSFixedWarning

from deepspec.data.memory import check_memory
from deepspec.data.readers.file_numbers import map_raw
from deepspec.data.readers.fits_axis import spectral_axis, stokes_axis, stokes_i
from deepspec.data.readers.stored import Stored, choose_key, reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import ErrorKind, StoredArray


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
        try:
            return np.asarray(self._section[index])
        except (OSError, MemoryError):
            raise
        except Exception as error:  # astropy's own of a bad tile derive from nothing more
            raise ValueError(f"a tile cannot be unpacked: {error}") from error


def stored_image(path: Path, hdu: Any) -> StoredArray:
    """The image of a unit, mapped; a compressed one is decompressed by astropy where it is indexed.

    Args:
        path: the file.
        hdu: an image unit of it, of which nothing was read yet.

    Raises:
        UserError: if the file ends within the image.
    """
    if isinstance(hdu, fits.CompImageHDU):
        _check_tiles(path, hdu)
        check_datasum(path, hdu)
        return TiledImage(hdu)
    stored = map_raw(path, np.dtype(_TYPES[hdu.header["BITPIX"]]), tuple(hdu.shape), hdu.fileinfo()["datLoc"])
    check_datasum(path, hdu)
    scale, zero = float(hdu.header.get("BSCALE", 1)), float(hdu.header.get("BZERO", 0))
    blank = int(hdu.header["BLANK"]) if stored.dtype.kind != "f" and "BLANK" in hdu.header else None
    return stored if (scale, zero, blank) == (1, 0, None) else ScaledImage(stored, scale, zero, blank)


def _check_tiles(path: Path, hdu: fits.CompImageHDU) -> None:
    """Refuse a header that asks for more tiles than the table has, or for tiles that the memory does not hold."""
    tiles = math.prod(-(-n // tile) for n, tile in zip(hdu.shape, hdu.tile_shape, strict=True))
    found = len(hdu.compressed_data)
    if tiles != found:
        raise UserError(
            f"{path}: damaged: an image of shape {tuple(hdu.shape)} in tiles of {tuple(map(int, hdu.tile_shape))} has "
            f"{tiles} of them, the file has {found}"
        )
    if hdu.compression_type == "HCOMPRESS_1":
        _check_hcompressed(path, hdu)
    size = math.prod(map(int, hdu.tile_shape)) * abs(int(hdu.header["BITPIX"])) // 8
    check_memory(2 * size, f"{path}: a tile of '{hdu.name}'")


_SHORTEST_TILE = 23  # bytes of its header


def _check_hcompressed(path: Path, hdu: fits.CompImageHDU) -> None:
    """Compare the size that each tile's own stream gives with the tile's, which the library for it does not.

    It would write past the end of the tile, or divide by zero, and either ends the process. A stream begins with the
    bytes DD 99 and two big-endian integers, rows and columns.
    """
    lengths = [
        np.minimum(tile, n - np.arange(0, n, tile)) for n, tile in zip(hdu.shape, map(int, hdu.tile_shape), strict=True)
    ]
    sizes = np.ones(1, dtype=np.int64)  # of the tiles, the last dimension fastest
    for along in lengths:
        sizes = np.multiply.outer(sizes, along).ravel()
    table = getattr(hdu, "_bintable", hdu)
    start, rows_end = table.fileinfo()["datLoc"], table.header["NAXIS1"] * table.header["NAXIS2"]
    heap = start + int(table.header.get("THEAP", rows_end))
    end = start + rows_end + int(table.header["PCOUNT"])
    places = np.array(hdu.compressed_data["COMPRESSED_DATA"])  # length and offset in the heap
    with path.open("rb") as file:
        for (length, offset), size in zip(places.reshape(-1, 2).tolist(), sizes.tolist(), strict=True):
            if length == 0:  # kept in another way
                continue
            file.seek(heap + offset)
            head = file.read(10)
            rows, columns = (int.from_bytes(head[i : i + 4], "big", signed=True) for i in (2, 6))
            within = heap <= heap + offset and length >= _SHORTEST_TILE and heap + offset + length <= end
            if not within or head[:2] != b"\xdd\x99" or rows < 1 or columns < 1 or rows * columns != size:
                raise UserError(f"{path}: damaged: a tile of '{hdu.name}' at byte {heap + offset} is not of its size")


_SUMMED_BYTES = 2**30
"""Larger units are not compared with their checksum: reading them once more takes longer than a second."""


def check_datasum(path: Path, hdu: Any) -> None:
    """Compare the data of a unit with the DATASUM of its header, if there is one (FITS standard 4.0, 4.4.2.7).

    The sum of all its 32-bit words, big-endian, in ones' complement.

    Raises:
        UserError: they do not fit.
    """
    unit = getattr(hdu, "_bintable", hdu)  # of a compressed image the table that it lies in
    said = str(unit.header.get("DATASUM", "")).strip()
    where = unit.fileinfo()
    if not said.isdigit() or int(said) == 0 or where is None or where["datSpan"] > _SUMMED_BYTES:
        return
    total, left = 0, int(where["datSpan"])
    with path.open("rb") as file:
        file.seek(where["datLoc"])
        while left:
            piece = file.read(min(left, 2**24))
            if not piece or len(piece) % 4:
                return  # a file that is cut short is told elsewhere
            total += int(np.frombuffer(piece, ">u4").sum(dtype=np.uint64))
            left -= len(piece)
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    if total != int(said):
        raise UserError(
            f"{path}: damaged: the data of '{hdu.name}' do not match their checksum; copy the file again, or take the "
            "card DATASUM out of its header if a program has changed the data on purpose"
        )


_ERRORS: dict[str, ErrorKind] = {
    "ERR": "deviation",
    "ERROR": "deviation",
    "ERRORS": "deviation",
    "UNCERT": "deviation",
    "UNCERTAINTY": "deviation",
    "SIGMA": "deviation",
    "NOISE": "deviation",
    "STD": "deviation",
    "STDEV": "deviation",
    "STDDEV": "deviation",
    "UNC": "deviation",
    "EFLUX": "deviation",
    "E_FLUX": "deviation",
    "RMS": "deviation",
    "STAT": "variance",
    "VAR": "variance",
    "VARIANCE": "variance",
    "IVAR": "inverse variance",
    "INVVAR": "inverse variance",
    "IVARIANCE": "inverse variance",
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
    # IFU.2.NOISE goes with IFU.2.DATA, ERR1 not with SCI2.
    own = re.findall(r"\d+", hdu.name)
    numbers = {key: re.findall(r"\d+", other.name) for key, other in found.items()}
    ranked = sorted(
        (key for key in found if named or not own or numbers[key] in (own, [])),
        key=lambda key: (numbers[key] != own, found[key].ver != hdu.ver, found[key].shape != hdu.shape),
    )
    return ranked[0] if ranked else None


def _word(name: str, words: tuple[str, ...]) -> str | None:
    """The word that a name is, or ends or starts with at a separator or number: ERR, FLUX_ERR, IFU.1.NOISE, ERR2."""
    parts = [part for part in re.split(r"[_.\-\s\d]+", name.upper()) if part]
    return next((part for part in (name.upper(), *parts[-1:], *parts[:1]) if part in words), None)


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
    mask = None
    if beside.flags is not None:
        mask = unflagged(path, images[beside.flags], hdu, spectral_dim, hdus[0].header)
    if mask is not None and not mask.all():
        left_out = f"{np.count_nonzero(~mask)} of {mask.size} pixels"
        if mask.any():
            notes.append(f"left out {left_out}, which '{beside.flags}' flags in half of their channels or more")
        else:
            notes.append(f"'{beside.flags}' flags {left_out}, all there are: it is not used")
            mask = None
    return Stored(
        arrays=[stored_image(path, hdu)],
        name=f"{path}:{chosen}",
        spectral_dim=spectral_dim,
        detector_dim=detector_dim,
        default_detector=default,
        axes=axes,
        mask=mask,
        errors=None if beside.errors is None else stored_image(path, images[beside.errors]),
        errors_are=beside.errors_are,
        metadata={key: header[key] for key in _KEYWORDS if key in header},
        notes=notes,
    )


def _images(hdus: fits.HDUList) -> dict[str, Any]:
    """Image units by name, those without one by number; a further one of the same name as NAME,EXTVER."""
    images: dict[str, Any] = {}
    units = [(number, hdu) for number, hdu in enumerate(hdus) if hdu.is_image and getattr(hdu, "shape", None)]
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
