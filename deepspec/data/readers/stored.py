"""What a reader hands over: arrays as they lie in the file, and what the file says about them."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from deepspec.errors import UserError, is_of_the_system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Names under which instruments and authors keep the cube itself, and the positions of its channels.
CUBE_NAMES = ("data", "img", "cube", "counts", "spectra", "flux", "sci", "mca_arr")
AXIS_NAMES = ("wl", "wavelength", "wavelengths", "wave", "lambda", "energy", "energies", "axis")


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


class MissingValues:
    """An array that shows one number, the file's sign for "no value", as NaN.

    Args:
        array: numbers of any real type.
        missing: the number that stands for none.
    """

    def __init__(self, array: StoredArray, missing: float) -> None:
        self._array, self._missing = array, missing
        self.shape = array.shape
        self.dtype = np.result_type(array.dtype, np.float32).newbyteorder("=")

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        stored = np.asarray(self._array[index])
        shown = stored.astype(self.dtype)
        shown[stored == self._missing] = np.nan
        return shown


class AxisCandidate(NamedTuple):
    """Positions of channels found beside the cube; `unit` is None where the file does not say it."""

    name: str
    values: NDArray[np.float64]
    unit: str | None


def _nothing() -> None:
    """Close nothing: the data are in memory."""


@dataclass
class Stored:
    """One cube as it lies in a file, before its dimensions are told apart.

    Attributes:
        arrays: one array, or one per detector, all of one shape.
        name: the file and the place in it, for messages.
        spectral_dim: the spectral dimension, if the format fixes it.
        rows_last: whether the format stores columns before rows (MATLAB 7.3).
        axes: possible spectral axes.
        bad_channels: (C,) bool, True = left out unless the user chooses channels, if the file marks any.
        mask: (H, W) bool, True = valid, if the file has one.
        training: (H, W) bool, True = drawn for training, if the file says so; the others are valid as well.
        metadata: what the file says of the measurement.
        notes: what was guessed, for the user to read.
        close: releases the file.
    """

    arrays: Sequence[StoredArray]
    name: str
    spectral_dim: int | None = None
    rows_last: bool = False
    axes: list[AxisCandidate] = field(default_factory=list)
    bad_channels: NDArray[np.bool_] | None = None
    mask: NDArray[np.bool_] | None = None
    training: NDArray[np.bool_] | None = None
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
    except (
        OSError,
        ValueError,  # also what NumPy raises for a short memory map
        TypeError,
        LookupError,
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
        raise UserError(f"{path}: cannot be read as {kind}, the file may be damaged or cut short: {reason}") from error


def choose_key(
    path: Path, shapes: Mapping[str, tuple[int, ...]], wanted: str | None, dims: Sequence[int]
) -> tuple[str, list[str]]:
    """Choose the array that holds the cube.

    Args:
        path: the file, for messages.
        shapes: shape of each numeric array in it.
        wanted: the user's choice; None = the one with a usual name, else the largest.
        dims: numbers of dimensions that a cube may have here.

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
    fitting = [name for name, shape in shapes.items() if len(shape) in dims and min(shape) > 0]
    if not fitting:
        raise UserError(f"{path}: no numeric array with {_numbers(dims)} dimensions; found: {listed}{_fold_hint(dims)}")
    usual = [name for name in fitting if name.rsplit("/", 1)[-1].lower() in CUBE_NAMES]
    chosen = max(usual or fitting, key=lambda name: _size(shapes[name]))
    if len(fitting) == 1:
        return chosen, []
    others = ", ".join(name for name in fitting if name != chosen)
    return chosen, [f"took '{chosen}' {shapes[chosen]} (others: {others}); choose with dataset=NAME"]


def check_dims(path: Path, name: str, shape: tuple[int, ...], dims: Sequence[int]) -> None:
    """Raise a `UserError` unless `shape` has one of `dims` dimensions and is not empty."""
    if len(shape) not in dims:
        raise UserError(
            f"{path}: '{name}' has shape {shape}, expected {_numbers(dims)} dimensions "
            f"(rows, columns, channels in any order, and detectors){_fold_hint(dims)}"
        )
    if min(shape) == 0:
        raise UserError(f"{path}: '{name}' is empty, its shape is {shape}")


def _numbers(dims: Sequence[int]) -> str:
    return " or ".join(str(d) for d in dims)


def _fold_hint(dims: Sequence[int]) -> str:
    if 2 in dims:
        return ""
    return "; for data with one row per spectrum give spatial_shape=(ROWS, COLUMNS)"


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
