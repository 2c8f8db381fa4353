"""What a reader hands over: arrays as they lie in the file, and what the file says about them."""

from __future__ import annotations

import re
import struct
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from deepspec.errors import UserError, is_of_the_system

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Names under which instruments and authors keep the cube itself, and the positions of its channels.
CUBE_NAMES = ("data", "img", "cube", "counts", "spectra", "flux", "sci", "mca_arr", "maxrf_cube")
AXIS_NAMES = (
    "wl", "wavelength", "wavelengths", "wave", "lambda", "energy", "energies", "axis", "maxrf_energies",
    "wavenumber", "wavenumbers", "raman_shift", "ramanshift", "bands", "wvl", "wls", "lambdas", "wavelen",
    "wave_length", "wave_lengths", "center_wavelength", "center_wavelengths", "central_wavelengths",
)  # fmt: skip
_UNIT_ENDINGS = {"nm": "nm", "um": "um", "angstrom": "angstrom", "kev": "keV", "ev": "eV", "cm1": "1/cm"}
_LONGEST_LIST = 2**20  # values
_LONGEST_REASON = 600  # characters; some libraries print what they found
_SMALL_SIDE = 16  # pixels; a picture has more
_PICTURE_WORDS = ("preview", "thumb", "overview", "snapshot", "icon")


def axis_unit(name: str) -> str | None:
    """The unit in the name of a list of positions, empty where it has none; None if the name is that of no such list.

    >>> axis_unit("wavelengths_nm"), axis_unit("Energy"), axis_unit("counts")
    ('nm', '', None)
    """
    lower = name.lower()
    if lower in AXIS_NAMES:
        return ""
    start, _, ending = lower.rpartition("_")
    return _UNIT_ENDINGS.get(ending) if start in AXIS_NAMES else None


def is_list(shape: Sequence[int], cube: Sequence[int]) -> bool:
    """Whether an array is a list that may be positions of a cube's channels, or their borders; longer are not read.

    One of another length than every dimension is read as well, up to a length that costs nothing: it is to be said.
    """
    length = _size(tuple(shape))
    return 1 < length == max(shape, default=0) <= max(_LONGEST_LIST, max(cube, default=0) + 1)


def is_counting(values: NDArray[np.float64]) -> bool:
    """Whether positions are 0, 1, 2, ... or 1, 2, 3, ..., which say nothing."""
    return values.size > 0 and values[0] in (0, 1) and np.array_equal(values - values[0], np.arange(values.size))


class StoredArray(Protocol):
    """An array that is read when indexed: an h5py dataset, a FITS section or a NumPy memory map."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one value."""

    def __getitem__(self, index: tuple[slice, ...], /) -> NDArray[Any]:
        """Read a part; one slice per dimension."""


class AxisCandidate(NamedTuple):
    """Positions of channels found in a file.

    Attributes:
        name: what the file calls them.
        values: (C,) float64.
        unit: None where the file does not say it.
        origin: stated: the file says that they belong to the cube's spectral dimension; near: they lie beside the
            cube under a usual name; far: elsewhere in the file, so that an equal length may be a coincidence.
    """

    name: str
    values: NDArray[np.float64]
    unit: str | None
    origin: Literal["stated", "near", "far"] = "near"


ErrorKind = Literal["deviation", "variance", "inverse variance"]


def _nothing() -> None:
    """Close nothing: the data are in memory."""


@dataclass
class Stored:
    """One cube as it lies in a file, before its dimensions are told apart.

    Attributes:
        arrays: one array, or one per detector, all of one shape.
        name: the file and the place in it, for messages.
        spectral_dim: the spectral dimension, if the file or its format states it.
        rows_last: whether the format stores columns before rows (MATLAB 7.3).
        image: the dimensions of rows and columns, if the file states them.
        detector_dim: the dimension of the detectors, if the file states it.
        default_detector: which of them is taken unless the user chooses: summing would be wrong (Stokes parameters).
        spatial_shape: rows and columns, if the file has one dimension for all pixels and says their numbers.
        order: how those pixels are counted, see `read_cube`.
        axes: possible spectral axes.
        bad_channels: (C,) bool, True = left out unless the user chooses channels, if the file marks any.
        mask: (H, W) bool, True = valid, if the file has one.
        training: (H, W) bool, True = drawn for training, if the file says so; the others are valid as well.
        errors: what the file gives for the uncertainty of each value, in the shape of the array.
        errors_are: what those numbers are.
        whole: whether it is to come back as it was written, with channels that have no values.
        metadata: what the file says of the measurement.
        notes: what was guessed, for the user to read.
        close: releases the file.
    """

    arrays: Sequence[StoredArray]
    name: str
    spectral_dim: int | None = None
    rows_last: bool = False
    image: tuple[int, int] | None = None
    detector_dim: int | None = None
    default_detector: int | None = None
    spatial_shape: tuple[int, int] | None = None
    order: Literal["C", "F"] = "C"
    axes: list[AxisCandidate] = field(default_factory=list)
    bad_channels: NDArray[np.bool_] | None = None
    mask: NDArray[np.bool_] | None = None
    training: NDArray[np.bool_] | None = None
    errors: StoredArray | None = None
    errors_are: ErrorKind = "deviation"
    whole: bool = False
    metadata: dict[str, str | int | float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    close: Callable[[], None] = _nothing


@contextmanager
def reading(path: Path | str, kind: str) -> Iterator[None]:
    """Turn what the libraries raise on a damaged file into one error that names the file."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:  # a library that needs another one for just this kind of file
        raise _lacks(path, kind, error.name or " ".join(str(error).split())) from error
    except (
        OSError,
        ValueError,  # also what NumPy raises for a short memory map
        TypeError,
        LookupError,
        ArithmeticError,  # divisions by a length of zero in a damaged header
        EOFError,
        NotImplementedError,
        RuntimeError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
        tokenize.TokenError,  # NumPy reads the header of an array as Python
    ) as error:
        if is_of_the_system(error):  # such as too many open files: the file is good
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        if (lacking := re.search(r"requires the '(\w+)' package|No module named '(\w+)'", reason)) is not None:
            raise _lacks(path, kind, lacking[1] or lacking[2]) from error
        reason = reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + " ..."
        raise UserError(f"{path}: cannot be read as {kind}, the file may be damaged or cut short: {reason}") from error


def _lacks(path: Path | str, kind: str, package: str) -> UserError:
    return UserError(
        f"{path}: to read this {kind} file the package '{package}' is needed, which is not installed: "
        f"pip install 'deepspec[formats]', or pip install {package}"
    )


def choose_key(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    wanted: str | None,
    dims: Sequence[int],
    pictures: Collection[str] = (),
) -> tuple[str, list[str]]:
    """Choose the array that holds the cube.

    Args:
        path: the file, for messages.
        shapes: shape of each numeric array in it.
        wanted: the user's choice; None = the one with a usual name, else the largest. What the program that wrote the
            file calls a sum goes before what it was summed from.
        dims: numbers of dimensions that a cube may have here.
        pictures: arrays that are photographs, taken only if they are wanted.

    Returns:
        The key, and a note if it was guessed among several.

    Raises:
        UserError: if `wanted` is not there or has another number of dimensions, or nothing fits.
    """
    listed = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:12]) or "none"
    if wanted is not None:
        if wanted not in shapes:
            raise UserError(f"{path}: no numeric array '{wanted}'; arrays found: {listed}")
        check_dims(path, wanted, shapes[wanted], dims)
        return wanted, []
    fitting = [name for name, shape in shapes.items() if has_dims(shape, dims)]
    if not fitting:
        raise UserError(f"{path}: no numeric array with {_numbers(dims)} dimensions; found: {listed}{_fold_hint(dims)}")
    cubes = [name for name in fitting if name not in pictures]
    if not cubes:
        raise UserError(f"{path}: only pictures, no cube: {listed}; to take one all the same give --dataset NAME")
    plain = [name for name in cubes if not any(word in name.lower() for word in _PICTURE_WORDS)] or cubes
    # Maps of one value for each pixel (survey images) are no cubes where there is one.
    deep = [name for name in plain if sum(n > 1 for n in shapes[name]) >= min(dims)] or plain
    deep = [name for name in deep if not _is_coloured(shapes[name])] or deep
    usual = [name for name in deep if re.split(r"[/.]", name)[-1].lower() in CUBE_NAMES] or deep
    chosen = max(usual, key=lambda name: (_size(shapes[name]), is_sum(name)))
    if len(fitting) == 1:
        return chosen, []
    others = ", ".join(name for name in fitting if name != chosen)
    return chosen, [f"took '{chosen}' {shapes[chosen]} (others: {others}); choose with --dataset NAME"]


def _is_coloured(shape: tuple[int, ...]) -> bool:
    """Whether a shape is that of a picture with three or four colours."""
    lengths = [length for length in shape if length > 1]
    return len(lengths) == 3 and any(
        colours in (3, 4) and min(sides) > _SMALL_SIDE
        for colours, sides in ((lengths[2], lengths[:2]), (lengths[0], lengths[1:]))
    )


def is_sum(name: str) -> bool:
    """Whether the path of an array says that a program summed its detectors."""
    return re.search(r"(^|[^a-z])(det|mca)?sum(med)?([^a-z]|$)", name.lower()) is not None


def has_dims(shape: tuple[int, ...], dims: Sequence[int]) -> bool:
    """Whether an array, possibly without some of its dimensions of length one, has one of `dims` dimensions."""
    longer = sum(length > 1 for length in shape)
    return 0 not in shape and any(longer <= d <= len(shape) for d in dims)


def check_dims(path: Path, name: str, shape: tuple[int, ...], dims: Sequence[int]) -> None:
    """Raise a `UserError` unless `shape` has one of `dims` dimensions, but for such of length one, and is not empty."""
    if 0 in shape and len(shape) in dims:
        raise UserError(f"{path}: '{name}' is empty, its shape is {shape}")
    if not has_dims(shape, dims):
        raise UserError(
            f"{path}: '{name}' has shape {shape}, expected {_numbers(dims)} dimensions "
            f"(rows, columns, channels in any order, and detectors){_fold_hint(dims)}"
        )


def _numbers(dims: Sequence[int]) -> str:
    return " or ".join(str(d) for d in dims)


def _fold_hint(dims: Sequence[int]) -> str:
    if 2 in dims:
        return ""
    return "; for data with one row per spectrum give --spatial_shape ROWS COLUMNS"


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


_GRID_NAMES = (
    ("nrow", "ncol"),
    ("nrows", "ncols"),
    ("n_rows", "n_cols"),
    ("rows", "cols"),
    ("rows", "columns"),
    ("lines", "samples"),
    ("height", "width"),
    ("h", "w"),
)


def pixel_grid(
    shapes: Mapping[str, tuple[int, ...]], wanted: str | None, number: Callable[[str], float]
) -> tuple[str, tuple[int, int]] | None:
    """The list of pixels in a file, and the rows and columns that the file gives for it.

    Unmixing scenes in MATLAB files have `nRow` and `nCol` beside `V` or `Y` (bands, pixels), with the pixels counted
    along the columns, as MATLAB does.

    Args:
        shapes: of all arrays.
        wanted: the array that the user chose; None = any, if no array is an image by itself.
        number: reads an array of one number.

    Returns:
        The name of the array and its rows and columns, if there are two such numbers and one array of two dimensions,
        one of which is as long as their product; of several the largest. None otherwise.
    """
    if wanted is None and any(sum(n > 1 for n in shape) > 2 for shape in shapes.values()):
        return None
    single = {name.lower(): name for name, shape in shapes.items() if shape and max(shape) == min(shape) == 1}
    for names in _GRID_NAMES:
        if not all(name in single for name in names):
            continue
        rows, columns = (number(single[name]) for name in names)
        if rows < 1 or columns < 1 or rows % 1 or columns % 1:
            continue
        pixels = int(rows) * int(columns)
        lists = [
            name
            for name, shape in shapes.items()
            if len(shape) == 2 and shape.count(pixels) == 1 and min(shape) > 1 and wanted in (None, name)
        ]
        if lists:
            largest = max(lists, key=lambda name: shapes[name][0] * shapes[name][1])
            return largest, (int(rows), int(columns))
    return None
