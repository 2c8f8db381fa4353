"""Layout: which dimension of a stored array is row, column, spectral and detector; guessed where not told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray

_MCA_CHANNELS = {2**n for n in range(8, 15)}  # multichannel analysers have 256 to 16,384 channels


@dataclass(frozen=True)
class Layout:
    """Position of each dimension in the stored array; `detector` is None for 3-D data."""

    row: int
    column: int
    spectral: int
    detector: int | None = None

    @property
    def order(self) -> tuple[int, ...]:
        """Axes that transpose the stored array to (row, column, [detector,] channel)."""
        middle = () if self.detector is None else (self.detector,)
        return (self.row, self.column, *middle, self.spectral)


class UnfoldedPixels:
    """A lazily read array whose one pixel dimension is shown as two, so that it reads like an image.

    Indexing takes one slice per dimension, of which those over the two new dimensions have step 1.
    """

    def __init__(self, array: StoredArray, dim: int, lengths: tuple[int, int]) -> None:
        self._array, self._dim, self._lengths = array, dim, lengths
        self.shape = (*array.shape[:dim], *lengths, *array.shape[dim + 1 :])
        self.dtype = array.dtype

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        dim, inner_length = self._dim, self._lengths[1]
        outer, inner = (s.indices(n)[:2] for s, n in zip(index[dim : dim + 2], self._lengths, strict=True))
        before, after = index[:dim], index[dim + 2 :]
        if inner == (0, inner_length):  # whole lines follow each other in the file
            flat = self._array[(*before, slice(outer[0] * inner_length, outer[1] * inner_length), *after)]
            return flat.reshape(*flat.shape[:dim], -1, inner_length, *flat.shape[dim + 1 :])
        lines = [
            self._array[(*before, slice(i * inner_length + inner[0], i * inner_length + inner[1]), *after)]
            for i in range(*outer)
        ]
        return np.stack(lines, axis=dim)


def unfold(
    arrays: Sequence[StoredArray],
    spatial_shape: tuple[int, int],
    order: Literal["C", "F"],
    spectral_dim: int | None,
    name: str,
) -> tuple[list[StoredArray], int]:
    """Show the pixel dimension of 2-D (or 3-D, with detectors) arrays as two.

    Args:
        arrays: arrays of one shape with one dimension of length rows x columns.
        spatial_shape: rows H and columns W of the image.
        order: "C" if the pixels follow each other along the rows (pixel = y W + x), "F" if along the columns
            (pixel = y + x H).
        spectral_dim: the stored spectral dimension, needed only if it is as long as the pixel dimension.
        name: file and place, for messages.

    Returns:
        The arrays with one dimension more, and the position of the folded dimension; for "C" it now holds
        (row, column) and for "F" (column, row).

    Raises:
        UserError: if not exactly one dimension has H W pixels.
    """
    rows, columns = spatial_shape
    shape = arrays[0].shape
    fitting = [d for d, n in enumerate(shape) if n == rows * columns and d != spectral_dim]
    if rows < 1 or columns < 1 or len(fitting) != 1:
        raise UserError(
            f"{name}: spatial_shape {rows} x {columns} needs one dimension of length {rows * columns}, "
            f"the stored shape is {shape}" + ("; give spectral_dim as well" if len(fitting) > 1 else "")
        )
    lengths = (rows, columns) if order == "C" else (columns, rows)
    return [UnfoldedPixels(array, fitting[0], lengths) for array in arrays], fitting[0]


def guess_layout(
    shape: tuple[int, ...],
    name: str,
    *,
    pixels: tuple[int, int] | None = None,
    spectral_dim: int | None = None,
    detector_dim: int | None = None,
    rows_last: bool = False,
    axis_lengths: Collection[int] = (),
) -> tuple[Layout, list[str]]:
    """Tell the dimensions of a 3-D or 4-D array apart.

    The spectral dimension is, in this order: the one told; the only one as long as a spectral axis found in the
    file; the only one with a power of two of channels, 256 to 16,384; the last if it has 64 channels or more;
    the longest. The detectors are the shortest of what is left. Of the remaining two, rows come first.

    Args:
        shape: stored shape.
        name: file and place, for messages.
        pixels: (row, column) dimensions where known.
        spectral_dim: the spectral dimension where known; negative counts from the end.
        detector_dim: the detector dimension of 4-D data where known; negative counts from the end.
        rows_last: whether columns come before rows.
        axis_lengths: numbers of channels of the spectral axes found in the file.

    Returns:
        The layout, and a note for each guess.

    Raises:
        UserError: if a dimension told does not exist or is told twice.
    """
    notes: list[str] = []
    free = [d for d in range(len(shape)) if d not in (pixels or ())]
    detectors = _told(detector_dim, "detector_dim", shape, free, name)
    if detectors is not None:
        if len(shape) == 3:
            raise UserError(f"{name}: shape {shape} has no detector dimension, leave detector_dim out")
        free.remove(detectors)
    spectral = _told(spectral_dim, "spectral_dim", shape, free, name)
    if spectral is None:
        spectral, sure = _guess_spectral(shape, free, axis_lengths)
        if not sure:
            notes.append(
                f"took dimension {spectral} of the stored shape {shape} as the spectral one; "
                "choose with spectral_dim=NUMBER"
            )
    free.remove(spectral)
    if len(shape) == 4 and detectors is None:
        # The first of equally short ones loses to the last: detectors are stored next to the channels.
        detectors = min(reversed(free), key=lambda d: shape[d])
        if len(free) > 1:
            notes.append(
                f"took dimension {detectors} of the stored shape {shape} as {shape[detectors]} detectors; "
                "choose with detector_dim=NUMBER"
            )
        free.remove(detectors)
    row, column = pixels if pixels is not None else (free[1], free[0]) if rows_last else (free[0], free[1])
    return Layout(row, column, spectral, detectors), notes


def _told(dim: int | None, option: str, shape: tuple[int, ...], free: list[int], name: str) -> int | None:
    if dim is None:
        return None
    found = dim + len(shape) if dim < 0 else dim
    if found not in free:
        raise UserError(f"{name}: {option} is {dim}, the stored shape {shape} leaves {free} to choose from")
    return found


def _guess_spectral(shape: tuple[int, ...], free: list[int], axis_lengths: Collection[int]) -> tuple[int, bool]:
    """The most likely spectral dimension, and whether there is no doubt about it."""
    if len(free) == 1:
        return free[0], True
    by_axis = [d for d in free if shape[d] in axis_lengths]
    if len(by_axis) == 1:
        return by_axis[0], True
    by_power = [d for d in free if shape[d] in _MCA_CHANNELS]
    if len(by_power) == 1:
        return by_power[0], False
    if shape[free[-1]] >= 64:
        return free[-1], False
    return max(free, key=lambda d: shape[d]), False
