"""Layout: which dimension of a stored array is row, column, spectral and detector; guessed where not told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepspec.data.readers.unpacked import unpacked_once
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray

_MCA_CHANNELS = {2**n for n in range(8, 15)}  # multichannel analysers have 256 to 16,384 channels
_FEW_BANDS, _MANY = 8, 64  # of a camera with filters; of a spectrometer
_FEW_DETECTORS = 8


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
    flat = [unpacked_once(array, fitting[0], name, in_turn=order == "C") for array in arrays]
    return [UnfoldedPixels(array, fitting[0], lengths) for array in flat], fitting[0]


class WithoutDims:
    """A lazily read array shown without some of its dimensions of length one.

    Args:
        array: what is stored.
        dims: the dimensions to leave out.
    """

    def __init__(self, array: StoredArray, dims: Collection[int]) -> None:
        self._array, self._dims = array, tuple(sorted(dims))
        self.shape = tuple(n for d, n in enumerate(array.shape) if d not in dims)
        self.dtype = array.dtype
        chunks = getattr(array, "chunks", None)
        self.chunks = None if chunks is None else tuple(n for d, n in enumerate(chunks) if d not in dims)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        inner = iter(index)
        whole = tuple(slice(0, 1) if d in self._dims else next(inner) for d in range(len(self._array.shape)))
        return np.asarray(self._array[whole]).squeeze(axis=self._dims)


def dims_to_drop(shape: tuple[int, ...], least: int, kept: Collection[int]) -> list[int]:
    """Dimensions of length one that say nothing: those of time and depth, or of a single detector.

    Of an image of one row or column the one that remains of it stays: the first ones are kept where `least`
    dimensions would not remain otherwise, and that before a few detectors beside the channels.

    Args:
        shape: stored shape.
        least: dimensions that must remain.
        kept: dimensions that have a meaning that the file or the user stated.
    """
    ones = [d for d, n in enumerate(shape) if n == 1 and d not in kept]
    last = len(shape) - 1
    line = len(shape) == 4 and shape[0] == 1 and 2 <= shape[2] <= _FEW_DETECTORS < shape[1] and shape[last] >= _MANY
    if least == 3 and line and not {1, 2, 3} & set(kept):
        return []  # one row of pixels with detectors
    return ones[::-1][: max(0, len(shape) - least)]


def guess_layout(
    shape: tuple[int, ...],
    name: str,
    *,
    pixels: tuple[int, int] | None = None,
    spectral_dim: int | None = None,
    detector_dim: int | None = None,
    rows_last: bool = False,
    axis_lengths: Collection[int] = (),
    far_axes: Mapping[str, int] | None = None,
) -> tuple[Layout, list[str]]:
    """Tell the dimensions of a 3-D or 4-D array apart.

    The spectral dimension is, in this order: the one told; the only one as long as a spectral axis beside the array;
    the most likely one by the shape, see `spectral_by_shape`, unless it is doubtful and another one is the only one as
    long as a list of wavelengths elsewhere in the file. The detectors are a short dimension next to the channels, or
    the shortest of what is left. Of the remaining two, rows come first.

    Args:
        shape: stored shape.
        name: file and place, for messages.
        pixels: (row, column) dimensions where known.
        spectral_dim: the spectral dimension where known; negative counts from the end.
        detector_dim: the detector dimension of 4-D data where known; negative counts from the end.
        rows_last: whether columns come before rows.
        axis_lengths: numbers of channels of the spectral axes that lie beside the array.
        far_axes: names and numbers of channels of those elsewhere in the file, whose equal length may be chance.

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
        spectral, reason = _guess_spectral(shape, free, axis_lengths, far_axes or {})
        if reason is not None:
            notes.append(
                f"took dimension {spectral} of the stored shape {shape} as the spectral one{reason}; "
                "choose with --spectral_dim NUMBER" + _flat_hint(shape, spectral, pixels)
            )
    free.remove(spectral)
    if len(shape) == 4 and detectors is None:
        detectors = _guess_detectors(shape, free, spectral)
        if len(free) > 1:
            notes.append(
                f"took dimension {detectors} of the stored shape {shape} as {shape[detectors]} detectors; "
                "choose with --detector_dim NUMBER"
            )
        free.remove(detectors)
    row, column = pixels if pixels is not None else (free[1], free[0]) if rows_last else (free[0], free[1])
    return Layout(row, column, spectral, detectors), notes


def spectral_by_shape(shape: tuple[int, ...], free: Sequence[int]) -> tuple[int, bool]:
    """The most likely spectral dimension of a bare array, and whether its shape leaves little doubt.

    Dimensions of length one are none where there are others. In this order:

    1. An image with few bands: the shortest dimension, up to 64, where the two others are alike (within a factor of
       2.5). Last it must be shorter than both; first or in the middle four times as short, and the image 128 or more.
    2. A multichannel analyser: the only power of two from 256 to 16,384, where it is the last dimension, or the longest
       and twice (below 1,024 four times) as long as the others.
    3. An image with bands in the middle: the shortest dimension there, 8 or more, with two alike beside it that are
       three times as long.
    4. The last if it has 64 channels or more.
    5. The longest.

    Args:
        shape: stored shape.
        free: dimensions to choose from.
    """
    free = [d for d in free if shape[d] > 1] or free
    lengths = {d: shape[d] for d in free}
    shortest = min(free, key=lambda d: lengths[d])
    others = sorted(lengths[d] for d in free if d != shortest)
    alike = len(others) == 2 and others[1] <= 2.5 * others[0]
    if alike and lengths[shortest] <= _MANY and others[0] > lengths[shortest]:
        last = shortest == free[-1]
        if last and (lengths[shortest] >= _FEW_BANDS or others[0] >= 4 * lengths[shortest]):
            return shortest, False
        if not last and others[0] >= max(128, 4 * lengths[shortest]):
            return shortest, False
    powers = [d for d in free if lengths[d] in _MCA_CHANNELS]
    if len(powers) == 1:
        power = powers[0]
        longest_other = max((lengths[d] for d in free if d != power), default=0)
        times = 2 if lengths[power] >= 1024 else 4
        if power == free[-1] or lengths[power] >= times * longest_other:
            return power, lengths[power] > longest_other
    if alike and shortest == free[1] and lengths[shortest] >= _FEW_BANDS and others[0] >= 3 * lengths[shortest]:
        return shortest, False
    if lengths[free[-1]] >= _MANY:
        return free[-1], lengths[free[-1]] in _MCA_CHANNELS and lengths[free[-1]] == max(lengths.values())
    return max(free, key=lambda d: lengths[d]), False


def _told(dim: int | None, option: str, shape: tuple[int, ...], free: list[int], name: str) -> int | None:
    if dim is None:
        return None
    found = dim + len(shape) if dim < 0 else dim
    if found not in free:
        raise UserError(f"{name}: {option} is {dim}, the stored shape {shape} leaves {free} to choose from")
    return found


def _guess_spectral(
    shape: tuple[int, ...], free: list[int], axis_lengths: Collection[int], far_axes: Mapping[str, int]
) -> tuple[int, str | None]:
    """The most likely spectral dimension, and the reason for the user to read; None if there is no doubt about it."""
    if len(free) == 1:
        return free[0], None
    beside = [d for d in free if shape[d] > 1 and shape[d] in axis_lengths]
    if len(beside) == 1:
        return beside[0], None
    if beside:
        return spectral_by_shape(shape, beside)[0], " (more than one is as long as an axis beside it)"
    likely, certain = spectral_by_shape(shape, free)
    alike = {name: [d for d in free if shape[d] == length] for name, length in far_axes.items() if length > 1}
    chance = {name: found[0] for name, found in alike.items() if len(found) == 1}
    # Light is dispersed into wavelengths, while energies are also those of the beam in each of several scans.
    chosen = {dim for name, dim in chance.items() if "wave" in name.rpartition("/")[2].lower()}
    if len(chosen) == 1 and not certain and likely not in chance.values():
        likely = chosen.pop()
    by_axis = next((name for name, dim in chance.items() if dim == likely), None)
    return likely, "" if by_axis is None else f", which '{by_axis}' has the length of"


def _guess_detectors(shape: tuple[int, ...], free: list[int], spectral: int) -> int:
    """The detectors: the few next to the channels, else the shortest, of equally short ones the last."""
    beside = [d for d in free if abs(d - spectral) == 1 and shape[d] <= _FEW_DETECTORS]
    shortest = min(reversed(free), key=lambda d: shape[d])
    return beside[0] if len(beside) == 1 and spectral == len(shape) - 1 else shortest


def _flat_hint(shape: tuple[int, ...], spectral: int, pixels: tuple[int, int] | None) -> str:
    """How a list of pixels with detectors is read, where a 3-D shape may be one."""
    if pixels is not None or len(shape) != 3 or spectral != 2 or not 1 < shape[1] <= _FEW_DETECTORS <= shape[0] // 4:
        return ""
    return f", or --spatial_shape ROWS COLUMNS for {shape[0]} pixels in a row with {shape[1]} detectors"
