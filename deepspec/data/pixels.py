"""Which pixels of a cube may be used: masks that come with it, and spectra that hold nothing.

Shapes: H rows, W columns, C channels, n rows of a block.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.arrays import read_array
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


_MANY_MISSING = 0.2  # of the pixels
_FEW_MISSING = 8  # pixels
ALL_CHANNELS = "all"
"""The selection of channels that leaves nothing out, whatever a file marks as bad."""

_NAMED = 8  # runs of channels in a message


def read_mask(source: str | Path | NDArray[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Valid pixels from a boolean or label image: valid where it is not zero.

    Args:
        source: an array, or `FILE` or `FILE:KEY` as `read_array` takes it.
        shape: (H, W) of the cube.

    Returns:
        (H, W) bool, True = valid.

    Raises:
        UserError: if the image cannot be read, has another shape, or no valid pixel.
    """
    array = source if isinstance(source, np.ndarray) else read_array(source, "the mask")
    name = "the mask" if isinstance(source, np.ndarray) else f"the mask {source}"
    array = array.squeeze() if array.ndim > 2 else array
    if array.shape != shape:
        turned = " (rows and columns swapped?)" if array.shape == shape[::-1] else ""
        raise UserError(f"{name} has shape {array.shape}, the cube has {shape[0]} rows and {shape[1]} columns{turned}")
    valid = np.nan_to_num(array) != 0 if array.dtype.kind == "f" else array.astype(bool)
    if not valid.any():
        raise UserError(f"{name} has no valid pixel: it must be nonzero where the cube is to be used")
    return np.asarray(valid, dtype=bool)


def dead_pixels(x_nWC: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels without a usable spectrum: all channels zero, or any channel NaN or infinite; (n, W) bool."""
    dead = ~x_nWC.any(axis=-1)
    if x_nWC.dtype.kind == "f":
        dead |= ~np.isfinite(x_nWC).all(axis=-1)
    return np.asarray(dead, dtype=bool)


class FiniteChannels:
    """Counts, over blocks of a cube, in which channels the values are never finite.

    One such channel makes every pixel of the cube dead: blocked wavelengths (laser notch, water vapour) are stored
    as NaN. The user has to leave these channels out; `explain` says how.
    """

    def __init__(self, channels: int) -> None:
        self._finite_C = np.zeros(channels, dtype=bool)

    def add(self, x_nWC: NDArray[Any], dead_nW: NDArray[np.bool_]) -> None:
        """Look at the non-finite spectra among the dead ones of a block."""
        if x_nWC.dtype.kind == "f":
            self._finite_C |= np.isfinite(x_nWC[dead_nW]).any(axis=0)

    def explain(self) -> str:
        """How to leave the channels out that hold no finite value; empty if there is none or nothing else."""
        if self._finite_C.all() or not self._finite_C.any():
            return ""
        borders = np.flatnonzero(np.diff(self._finite_C, prepend=False, append=False))
        ranges = ",".join(f"{a}:{b}" for a, b in zip(borders[::2], borders[1::2], strict=True))
        return (
            f": {np.count_nonzero(~self._finite_C)} of {self._finite_C.size} channels are NaN in every pixel; "
            f"leave them out with --channels {ranges}"
        )


class SparseChannels:
    """Counts, over blocks of a cube, in how many pixels each channel has no finite value though most others have one.

    A pixel needs all its channels to be used. So a channel that is missing in many pixels costs more than it gives, and
    is left out; one that is missing in few costs only these.
    """

    def __init__(self, channels: int) -> None:
        self._missing_C = np.zeros(channels, dtype=np.int64)
        self._pixels = 0

    def add(self, x_nWC: NDArray[Any], valid_nW: NDArray[np.bool_]) -> None:
        """Look at the valid pixels of a block of which at least half of the channels are finite."""
        x_NC = x_nWC[valid_nW]
        finite_NC = np.isfinite(x_NC)
        seen_N = finite_NC.sum(axis=1) * 2 >= finite_NC.shape[1]
        self._pixels += int(np.count_nonzero(seen_N))
        self._missing_C += np.count_nonzero(~finite_NC[seen_N], axis=0)

    def sparse(self) -> NDArray[np.bool_]:
        """(C,) True for channels that are missing in more than a fifth of the pixels, unless most channels are."""
        # In an image of a handful of pixels a fifth is one or two.
        sparse_C = self._missing_C > max(_MANY_MISSING * self._pixels, min(_FEW_MISSING, self._pixels - 1))
        return sparse_C if 2 * np.count_nonzero(sparse_C) <= sparse_C.size else np.zeros_like(sparse_C)

    def explain(self) -> str:
        """The channels by number, with the pixels in which they are missing."""
        places = np.flatnonzero(self.sparse())
        if not places.size:
            return ""
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        named = [
            f"{run[0]} to {run[-1]} (in up to {self._missing_C[run].max()} of {self._pixels} pixels)"
            if len(run) > 1
            else f"{run[0]} (in {self._missing_C[run[0]]} of {self._pixels} pixels)"
            for run in runs
        ]
        return ", ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")


def parse_channels(text: str, channels: int) -> NDArray[np.int64]:
    """Channel numbers of a selection such as `0:107,113:153`, last numbers not included, or of `all`.

    Raises:
        UserError: if the text has another form, or a range lies outside 0 to `channels` or overlaps the one before.
    """
    if text == ALL_CHANNELS:
        return np.arange(channels)
    try:
        ranges = [tuple(int(n) for n in part.split(":")) for part in text.split(",")]
    except ValueError:
        ranges = []
    if not ranges or any(len(r) != 2 for r in ranges):
        raise UserError(f"channels '{text}': expected ranges such as 0:107,113:153, or {ALL_CHANNELS}")
    flat = [n for r in ranges for n in r]
    if flat[0] < 0 or flat[-1] > channels or not _rises(flat):
        raise UserError(f"channels '{text}': ranges must rise and lie within 0:{channels}")
    return np.concatenate([np.arange(*r) for r in ranges])


def _rises(numbers: Sequence[int]) -> bool:
    return all(a < b if i % 2 == 0 else a <= b for i, (a, b) in enumerate(itertools.pairwise(numbers)))
