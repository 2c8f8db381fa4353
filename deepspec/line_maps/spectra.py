"""What is looked at before maps are made: the mean spectra of parts of a cube, which its lines are found in.

Shapes: C channels, M pixels of a sample, n rows of a block, S parts, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube

TILES = 4
"""Parts along either side of the image at most: elements that are in one place only stand out there."""

TILE_PIXELS = 100
"""Pixels of a part at least, while there is more than one."""

SAMPLE = 512
"""Pixels whose spectra are kept, evenly over the image."""

KEPT_BYTES = 2**28
"""Largest cube that stays in memory, as stored, between the passes: 256 MiB."""

PIECE_PIXELS = 4096
"""Spectra worked on at once."""


@dataclass(frozen=True, eq=False)
class Overview:
    """Mean spectra of parts of a cube."""

    spectra_SC: NDArray[np.float64]
    """(S, C)."""
    pixels_S: NDArray[np.int64]
    """(S,) how many each is of."""
    sample_MC: NDArray[np.float64]
    """(M, C) spectra of some pixels."""
    counts: bool
    """Whether all values are whole numbers, not below zero."""

    @property
    def mean_C(self) -> NDArray[np.float64]:
        """(C,) of the cube."""
        mean: NDArray[np.float64] = np.average(self.spectra_SC, axis=0, weights=self.pixels_S)
        return mean


class Passes:
    """Passes over the rows of a cube in bounded memory; a small one (`KEPT_BYTES`) is read once.

    Args:
        cube: with a rising axis, or a falling one, which is turned round.
        progress: called with the name of the pass, the pixels done and all.
    """

    def __init__(self, cube: SpectralCube, progress: Callable[[str, int, int], None] | None = None) -> None:
        self.cube, self._progress = cube, progress
        self.falls = bool(cube.axis.values[0] > cube.axis.values[-1])
        self.axis = type(cube.axis)(cube.axis.values[::-1], cube.axis.unit) if self.falls else cube.axis
        self._kept: list[tuple[slice, NDArray[Any]]] | None = None

    def blocks(self, name: str) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.bool_]]]:
        """Rows, their spectra (n, W, C) as stored and which pixels (n, W) have one: neither masked nor dead."""
        rows, columns = self.cube.mask.shape
        keep = self._kept is None and math.prod(self.cube.shape) * self.cube.dtype.itemsize <= KEPT_BYTES
        kept: list[tuple[slice, NDArray[Any]]] = []
        # Pieces must not be larger than a few: their results wait for each other.
        size = max(1, min(self.cube.block_pixels, 4 * PIECE_PIXELS))
        for where, stored_nWC in self._kept if self._kept is not None else self.cube.blocks(size):
            if keep:
                kept.append((where, stored_nWC))
            x_nWC = stored_nWC[..., ::-1] if self.falls else stored_nWC
            total_nW = x_nWC.sum(-1, dtype=np.float64)
            usable_nW = self.cube.mask[where] & np.isfinite(total_nW)
            nothing_nW = usable_nW & (total_nW == 0)
            if nothing_nW.any():
                usable_nW[nothing_nW] = x_nWC[nothing_nW].any(-1)
            yield where, x_nWC, usable_nW
            if self._progress is not None:
                self._progress(name, where.stop * columns, rows * columns)
        if keep:
            self._kept = kept

    def overview(self, parts: NDArray[np.integer] | None = None) -> Overview:
        """Mean spectra of the parts.

        Args:
            parts: (H, W) number of the part of each pixel, from 0, -1 for none, such as the labels of clusters; default
                tiles of the image.

        Raises:
            UserError: no pixel has a usable spectrum.
        """
        rows, columns, channels = self.cube.shape
        whole = parts is not None
        if parts is None:
            parts = tiles((rows, columns))
        number = int(parts.max()) + 1
        sums_SC = np.zeros((number, channels))
        pixels_S = np.zeros(number, np.int64)
        every = max(1, rows * columns // SAMPLE)
        sample: list[NDArray[Any]] = []
        counts = True
        for where, x_nWC, usable_nW in self.blocks("mean spectra"):
            part_nW = np.where(usable_nW, parts[where], -1)
            for part in np.unique(part_nW[part_nW >= 0]).tolist():
                # In double precision: counts of thousands of pixels are summed.
                sums_SC[part] += x_nWC[part_nW == part].sum(0, dtype=np.float64)
                pixels_S[part] += np.count_nonzero(part_nW == part)
            place_nW = np.arange(where.start * columns, where.stop * columns).reshape(-1, columns)
            some = x_nWC[(place_nW % every == 0) & usable_nW]
            sample.append(some)
            if counts and some.dtype.kind == "f":
                counts = bool((some == np.round(some)).all() and (some >= 0).all())
            elif some.dtype.kind == "i":
                counts = counts and bool((some >= 0).all())
        seen_S = pixels_S > 0
        if not seen_S.any():
            self.cube.find_dead()  # raises and explains, if that is the reason
            what = "no cluster has a pixel with a spectrum" if whole else "no pixel has a usable spectrum"
            raise UserError(f"{self.cube.path or 'the cube'}: {what}")
        sample_MC = np.concatenate(sample).astype(np.float64)
        return Overview(sums_SC[seen_S] / pixels_S[seen_S, None], pixels_S[seen_S], sample_MC, counts)


def tiles(shape: tuple[int, int]) -> NDArray[np.intp]:
    """(H, W) number of the tile of each pixel."""
    rows, columns = shape
    along = [max(1, min(TILES, int(n / math.sqrt(TILE_PIXELS)))) for n in shape]
    return (np.arange(rows) * along[0] // rows)[:, None] * along[1] + np.arange(columns) * along[1] // columns
