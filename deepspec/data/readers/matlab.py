"""MATLAB files of version 5 to 7 (version 7.3 is HDF5). Scenes are stored (row, column, band).

The chosen array is mapped, or decompressed once to disk: one may have 2 GB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.layout import spectral_by_shape
from deepspec.data.readers.file_numbers import FileNumbers
from deepspec.data.readers.matlab_elements import Variable, inflated, matlab_variables
from deepspec.data.readers.pixel_grid import pixel_grid
from deepspec.data.readers.raw_pair import check_size
from deepspec.data.readers.spooled import spool
from deepspec.data.readers.stored import AXIS_NAMES, AxisCandidate, Stored, choose_key, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_BANDS = 64


def open_matlab(path: Path, variable: str | None, dims: Sequence[int]) -> Stored:
    """Map one variable of a MATLAB file, and load what may be its spectral axis.

    Raises:
        UserError: if the file is damaged or has no such variable.
    """
    with reading(path, "MATLAB"):
        variables = matlab_variables(path)
        shapes = {name: found.shape for name, found in variables.items()}
        grid = pixel_grid(shapes, variable, lambda n: float(load_whole(path, n, variables[n]).ravel()[0]))
        grid = None if 2 in dims else grid  # the user gives the rows and columns
        chosen, notes = choose_key(path, shapes, variable, dims) if grid is None else (grid[0], [])
        axes = []
        for name, shape in shapes.items():
            if name.lower() in AXIS_NAMES and max(shape) == np.prod(shape) > 0:
                axes.append(AxisCandidate(name, load_whole(path, name, variables[name]).astype(float).ravel(), None))
        array = load_variable(path, chosen, variables[chosen])
    return Stored(
        arrays=[array],
        name=f"{path}:{chosen}",
        spectral_dim=_spectral_dim(tuple(array.shape)),
        spatial_shape=None if grid is None else grid[1],
        order="F",
        axes=axes,
        notes=notes,
    )


def _spectral_dim(shape: tuple[int, ...]) -> int | None:
    """The last, as MATLAB's scenes have it, unless the shape is that of an image with few bands first."""
    last = len(shape) - 1
    if last < 2:
        return None
    if last == 2:
        likely, _ = spectral_by_shape(shape, range(3))
        if likely != last and shape[likely] <= _MOST_BANDS:
            return None
    return last


def load_whole(path: Path, name: str, variable: Variable) -> NDArray[Any]:
    """An array in memory, in MATLAB's order of dimensions."""
    if 0 in variable.shape:
        return np.empty(variable.shape, variable.dtype)
    return np.array(load_variable(path, name, variable))


def load_variable(path: Path, name: str, variable: Variable) -> NDArray[Any] | FileNumbers:
    """The array, left in the file or decompressed to disk, in MATLAB's order of dimensions; it must not be empty.

    Raises:
        UserError: if the file is cut short or its compressed part is damaged.
    """
    if variable.compressed:
        with path.open("rb") as file:
            file.seek(variable.start)
            stream = inflated(file, variable.length)
            stream.read(variable.offset)
            array = spool(stream, variable.shape, variable.dtype, f"{path}:{name}", "F")
            while stream.read(2**16):  # the end of the stream holds its checksum
                pass
        return array
    offset = variable.start + variable.offset
    check_size(path, variable.dtype, variable.shape, offset)
    return FileNumbers(path, variable.dtype, variable.shape, offset, "F")
