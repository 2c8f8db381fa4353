"""Whatever holds spectra as a `SpectralCube`: arrays of NumPy, dask and xarray, signals of HyperSpy, files, cubes.

Neither dask nor xarray nor HyperSpy is imported: their objects are told by what they have.

Shapes: H rows, W columns, C channels, N spectra.
"""

from __future__ import annotations

import os
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.data.axis_choice import choose_axis
from deepspec.data.cube import SpectralCube, leave_out_sparse_channels, read_cube
from deepspec.data.image_axes import ImageAxis
from deepspec.data.layout import Layout, UnfoldedPixels
from deepspec.data.readers.described import Named, candidate, is_spectral_name, roles
from deepspec.data.readers.hyperspy import hyperspy_described, hyperspy_values
from deepspec.data.readers.stored import AxisCandidate, Stored
from deepspec.data.spectra_file import SpectraTable
from deepspec.errors import UserError, described
from deepspec.notes import note

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Cube = TypeVar("_Cube", bound=SpectralCube)

EXPECTED = (
    "expected an array (rows, columns, channels) or (spectra, channels) of NumPy or dask, a DataArray of xarray, a "
    "signal of HyperSpy, a SpectralCube, or the path of a file"
)


@dataclass(frozen=True)
class Given:
    """Data as a cube."""

    cube: SpectralCube
    """Its rows are read as they are asked for."""
    image_axes: tuple[ImageAxis, ImageAxis] | None = None
    """Of rows and columns, where the data name them."""
    opened: bool = False
    """Whether the cube's file was opened here, so that it has to be closed here."""

    @property
    def is_table(self) -> bool:
        """Whether these are spectra without an image."""
        return isinstance(self.cube, SpectraTable)


class LazyArray:
    """An array of dask, of which only what is asked for is worked out."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, ...] = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype)
        # Blocks of rows end where those of dask do, if they are equally long.
        self.chunks = tuple(int(lengths[0]) for lengths in array.chunks)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(self._array[index])


def as_cube(data: object, axis: SpectralAxis | str | None = None, mask: NDArray[Any] | None = None) -> Given:
    """Take anything that holds spectra as a cube.

    Args:
        data: see `EXPECTED`. Of an array the last dimension is the spectral one. Of a DataArray it is the one whose
            name or unit says energies, wavelengths or channels, else the last. Pixels that are masked in a masked
            array, in any channel, are left out. A tensor on the CPU counts as an array.
        axis: positions of the channels: a `SpectralAxis`, a text as `read_cube` takes it (`FIRST:LAST:UNIT`,
            `FILE:UNIT`, or the UNIT of the positions that the data have), or None: those that the data have, else
            channel numbers.
        mask: (H, W) or (N,), nonzero = the pixel may be used; default all.

    Raises:
        UserError: it holds no spectra, or `axis` or `mask` does not fit.
    """
    if not (axis is None or isinstance(axis, (str, SpectralAxis))):
        raise UserError(
            f"axis: expected a SpectralAxis or a text such as '0.5:38.5:keV', got {described(axis)}; "
            "SpectralAxis(positions, unit) makes one of a list"
        )
    if isinstance(data, (str, os.PathLike)):
        return Given(read_cube(Path(data), axis=axis, mask=mask, training=True), opened=True)
    if isinstance(data, SpectralCube):
        return Given(_with_choices(data, axis, mask))
    if hasattr(data, "axes_manager") and hasattr(data, "data"):
        return _of_hyperspy(data, axis, mask)
    if hasattr(data, "dims") and hasattr(data, "coords") and hasattr(data, "data"):
        return _of_xarray(data, axis, mask)
    if not hasattr(data, "__array__") or not hasattr(data, "shape"):
        raise UserError(f"{EXPECTED}; got {described(data)}")
    array, own_mask = _numbers(data)
    stored = Stored([array], "the array")
    if len(array.shape) == 2:
        return Given(_table(stored, axis, _both(own_mask, mask)))
    if len(array.shape) != 3:
        raise UserError(f"{EXPECTED}; got {described(data)}")
    return Given(_cube(stored, (0, 1, 2), axis, _both(own_mask, mask)))


def _with_choices(cube: SpectralCube, axis: SpectralAxis | str | None, mask: NDArray[Any] | None) -> SpectralCube:
    """A cube as it is, or the same on another axis or with another mask; the caller's stays what it was."""
    cube = copy(cube)
    if axis is not None:
        own = AxisCandidate("axis", cube.axis.values, cube.axis.unit, "stated")
        cube.axis = choose_axis(Stored(list(cube.arrays), "the cube", axes=[own]), axis, cube.axis.channels)[0]
    if mask is not None:
        cube.mask = _as_mask(mask, cube.mask.shape)
    return cube


def _numbers(data: Any) -> tuple[Any, NDArray[np.bool_] | None]:
    """An array to read from, and which pixels a masked array leaves in, None for all.

    Raises:
        UserError: it holds no real numbers.
    """
    if isinstance(data, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(data)
        return _checked(np.asarray(np.ma.getdata(data))), np.asarray(~hidden.any(axis=-1))
    if hasattr(data, "__dask_graph__"):
        return _checked(LazyArray(data)), None
    try:
        return _checked(np.asarray(data)), None
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"{EXPECTED}; got {described(data)} that NumPy cannot read ({reason})") from error


def _checked(array: Any) -> Any:
    if array.dtype.kind not in "iufb" or 0 in array.shape:
        raise UserError(f"{EXPECTED}; got {array.dtype} of shape {tuple(array.shape)}")
    return array


def _cube(
    stored: Stored, dims: tuple[int, int, int], axis: SpectralAxis | str | None, mask: NDArray[Any] | None
) -> SpectralCube:
    """A cube over an array, of which `dims` are rows, columns and channels."""
    array = stored.arrays[0]
    rows, columns, channels = (array.shape[dim] for dim in dims)
    chosen, order = choose_axis(stored, axis, channels)
    valid = _as_mask(mask, (rows, columns))
    cube = SpectralCube(list(stored.arrays), Layout(*dims), chosen, valid, dict(stored.metadata), channels=order)
    return _as_read(cube, stored)


def _table(stored: Stored, axis: SpectralAxis | str | None, mask: NDArray[Any] | None) -> SpectraTable:
    """Spectra without an image, as a cube of N x 1 pixels."""
    array = stored.arrays[0]
    rows, channels = array.shape
    chosen, order = choose_axis(stored, axis, channels)
    flat = [UnfoldedPixels(array, 0, (rows, 1))]
    table = SpectraTable(flat, Layout(0, 1, 2), chosen, _as_mask(mask, (rows, 1)), channels=order)
    return _as_read(table, stored)


def _as_read(cube: _Cube, stored: Stored) -> _Cube:
    """What `read_cube` does too: channels that most pixels lack are left out, and guesses are said."""
    if cube.dtype.kind == "f":
        leave_out_sparse_channels(cube, stored.notes)
    for said in stored.notes:
        note(f"{stored.name}: {said}")
    return cube


def _as_mask(mask: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool.

    Raises:
        UserError: the mask has another shape, or no valid pixel.
    """
    if mask is None:
        return np.ones(shape, dtype=bool)
    found = np.asarray(mask)
    if found.shape != shape and not (found.ndim == 1 and shape == (len(found), 1)):
        raise UserError(f"mask: expected shape {shape}, one value for each pixel, got {described(found)}")
    valid = (np.nan_to_num(found) != 0).reshape(shape)
    if not valid.any():
        raise UserError("mask: expected a value other than 0 where pixels may be used, got none")
    return np.asarray(valid, dtype=bool)


def _both(own: NDArray[np.bool_] | None, mask: NDArray[Any] | None) -> NDArray[Any] | None:
    if own is None or mask is None:
        return mask if own is None else own
    given = np.asarray(mask)
    if given.shape != own.shape:
        raise UserError(f"mask: expected shape {own.shape}, one value for each pixel, got {described(given)}")
    return np.asarray(own & (np.nan_to_num(given) != 0))


def _of_xarray(data: Any, axis: SpectralAxis | str | None, mask: NDArray[Any] | None) -> Given:
    """A DataArray: its spectral dimension, its coordinates, its order."""
    if not isinstance(data.dims, tuple):  # a Dataset has a mapping there
        raise UserError(f"{EXPECTED}; got a Dataset of xarray: give one of its variables, as in dataset['flux']")
    names = [str(name) for name in data.dims]
    array, _ = _numbers(data.data)
    if array.dtype.kind not in "iufb" or len(names) not in (2, 3):
        raise UserError(f"{EXPECTED}; got a DataArray of {array.dtype} with dimensions {', '.join(names) or 'none'}")
    coordinates = {name: data.coords[name] for name in data.dims if name in data.coords}
    units = [str(coordinates[name].attrs.get("units", "")) if name in coordinates else "" for name in data.dims]
    found = roles([Named(name, unit) for name, unit in zip(names, units, strict=True)])
    spectral = found.index("spectral") if "spectral" in found else len(names) - 1
    name = data.dims[spectral]
    axes = []
    if name in coordinates and np.asarray(coordinates[name]).dtype.kind in "iuf":
        values = np.asarray(coordinates[name], dtype=np.float64)
        if units[spectral] or is_spectral_name(names[spectral]):
            axes = [candidate(names[spectral], values, units[spectral])]
    stored = Stored([array], f"the DataArray {data.name}" if data.name is not None else "the DataArray", axes=axes)
    image = [dim for dim in range(len(names)) if dim != spectral]
    if len(image) == 1:
        if spectral == 0:
            stored.arrays = [np.asarray(array[tuple(slice(None) for _ in names)]).T]
        return Given(_table(stored, axis, mask))
    if found[image[0]] == "column" and found[image[1]] == "row":
        image.reverse()
    cube = _cube(stored, (image[0], image[1], spectral), axis, mask)
    row, column = (
        ImageAxis(
            names[dim],
            np.asarray(coordinates[data.dims[dim]]) if data.dims[dim] in coordinates else np.arange(array.shape[dim]),
            units[dim],
        )
        for dim in image
    )
    return Given(cube, (row, column))


def _of_hyperspy(data: Any, axis: SpectralAxis | str | None, mask: NDArray[Any] | None) -> Given:
    """A signal of HyperSpy, lazy or not, with one signal dimension and one or two of navigation."""
    array, _ = _numbers(data.data)
    listed = data.axes_manager.as_dictionary()
    axes = [listed[name] for name in sorted(listed, key=lambda name: int(str(name).rpartition("-")[2]))]
    axes = [{**of, "units": "" if of.get("units") is None else str(of["units"])} for of in axes]
    found = hyperspy_described(array, array.shape, axes)
    if found is None or found.spectral_dim is None or len(array.shape) not in (2, 3):
        signal = sum(not of.get("navigate", False) for of in axes)
        raise UserError(
            f"expected a signal of HyperSpy with one signal dimension and one or two of navigation, got {signal} and "
            f"{len(axes) - signal}; transpose(signal_axes=1) makes a spectrum's of another"
        )
    spectral = found.spectral_dim
    stored = Stored([array], "the signal", axes=found.axes)
    image = [dim for dim in range(len(axes)) if dim != spectral]
    if len(image) == 1:
        if spectral == 0:
            stored.arrays = [np.asarray(array[(slice(None), slice(None))]).T]
        return Given(_table(stored, axis, mask))
    row, column = found.image or (image[0], image[1])
    return Given(
        _cube(stored, (row, column, spectral), axis, mask), (_navigation(axes[row]), _navigation(axes[column]))
    )


def _navigation(axis: dict[str, Any]) -> ImageAxis:
    """Rows or columns as HyperSpy gives them."""
    size = int(axis["size"]) if "size" in axis else len(axis["axis"])
    values = hyperspy_values(axis, size)
    name, unit = str(axis.get("name", "")), str(axis["units"])
    unit = "" if unit in ("<undefined>", "None") else unit
    return ImageAxis(
        "" if name in ("<undefined>", "None") else name, np.arange(size) if values is None else values, unit
    )
