"""Names and positions of the rows and columns of an image, where the data came with them, and their place in HDF5.

Shapes: H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from deepspec.data.hdf5_file import whole
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

_GROUP, _PARTS = "image_axes", ("row", "column")


@dataclass(frozen=True, eq=False)
class ImageAxis:
    """The rows, or the columns, of an image.

    Attributes:
        name: of the dimension, such as "lat"; empty where it has none.
        values: (H,) or (W,) position of each row or column; numbers, texts or times.
        unit: of the positions; empty where it is not known.

    Raises:
        UserError: the positions are no list, or have values that a file cannot hold.
    """

    name: str
    values: NDArray[Any]
    unit: str = ""

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.ndim != 1 or values.dtype.kind not in "iufbUSM":
            raise UserError(
                f"the positions along '{self.name}': expected a list of numbers, texts or times, got {values.dtype} "
                f"of shape {values.shape}"
            )
        object.__setattr__(self, "values", values)


def image_names(axes: tuple[ImageAxis, ImageAxis], taken: Collection[str]) -> tuple[str, str]:
    """Names for rows and columns that nothing else has: their own where they can be, else y and x."""
    row, column = (of.name if of.name and of.name not in taken else "" for of in axes)
    return (row, column) if row and column and row != column else ("y", "x")


def write_image_axes(file: h5py.File, axes: tuple[ImageAxis, ImageAxis]) -> None:
    """Write the group `image_axes` with the datasets `row` and `column`, each with the attributes `name` and `unit`.

    Texts are written as such, and times as texts in ISO 8601, with the attribute `times`.
    """
    group = file.create_group(_GROUP)
    for part, axis in zip(_PARTS, axes, strict=True):
        values = axis.values
        if values.dtype.kind in "MUS":
            text = values.astype(str) if values.dtype.kind != "M" else np.datetime_as_string(values)
            dataset = group.create_dataset(part, data=text.astype(object), dtype=h5py.string_dtype())
        else:
            dataset = group.create_dataset(part, data=values)
        dataset.attrs.update(name=axis.name, unit=axis.unit, times=values.dtype.kind == "M")


def read_image_axes(file: h5py.File) -> tuple[ImageAxis, ImageAxis] | None:
    """What `write_image_axes` wrote; None where it did not."""
    if _GROUP not in file:
        return None
    row, column = (_read(file[_GROUP][part]) for part in _PARTS)
    return row, column


def _read(dataset: h5py.Dataset) -> ImageAxis:
    if h5py.check_string_dtype(dataset.dtype) is None:
        values = np.asarray(whole(dataset))
    else:
        values = dataset.asstr()[()].astype(str)
        if dataset.attrs["times"]:
            values = values.astype("datetime64")
    return ImageAxis(str(dataset.attrs["name"]), values, str(dataset.attrs["unit"]))
