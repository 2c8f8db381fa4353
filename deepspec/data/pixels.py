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
            f"leave them out with channels={ranges}"
        )


def parse_channels(text: str, channels: int) -> NDArray[np.int64]:
    """Channel numbers of a selection such as `0:107,113:153`, last numbers not included.

    Raises:
        UserError: if the text has another form, or a range lies outside 0 to `channels` or overlaps the one before.
    """
    try:
        ranges = [tuple(int(n) for n in part.split(":")) for part in text.split(",")]
    except ValueError:
        ranges = []
    if not ranges or any(len(r) != 2 for r in ranges):
        raise UserError(f"channels '{text}': expected ranges such as 0:107,113:153")
    flat = [n for r in ranges for n in r]
    if flat[0] < 0 or flat[-1] > channels or not _rises(flat):
        raise UserError(f"channels '{text}': ranges must rise and lie within 0:{channels}")
    return np.concatenate([np.arange(*r) for r in ranges])


def _rises(numbers: Sequence[int]) -> bool:
    return all(a < b if i % 2 == 0 else a <= b for i, (a, b) in enumerate(itertools.pairwise(numbers)))
