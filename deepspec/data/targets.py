"""For each pixel a random neighbour: the same material, as a rule, with noise of its own.

A network that is to give the spectrum of a neighbour instead of its own cannot learn its noise by heart: what two
measurements of one material share is the mean. Lehtinen et al. (2018), Noise2Noise, section 2.

Shapes: N rows of spectra, m rows of a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

OFFSETS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


class NeighbourRows:
    """Which rows of an array of spectra are of pixels side by side, also by a corner.

    Args:
        pixel_N3: int (N, 3), number of the cube, y, x, of 0 or more; each pixel is there once.
        images: numbers of the cubes whose y and x are places in an image; pixels of others have no neighbours.

    Attributes:
        count_N: int64 (N,), how many neighbours of each pixel are among the rows, 0 to 8.
    """

    def __init__(self, pixel_N3: NDArray[np.integer], images: Collection[int]) -> None:
        cube_N, y_N, x_N = pixel_N3.astype(np.int64).T
        # One number for each place, with a margin: a step over the border of an image meets no other pixel.
        height, width = int(y_N.max(initial=0)) + 3, int(x_N.max(initial=0)) + 3
        place_N = (cube_N * height + y_N + 1) * width + x_N + 1
        order_N = np.argsort(place_N)
        sorted_N = place_N[order_N]
        in_image_N = np.isin(cube_N, list(images))
        self._rows_N8 = np.empty((len(pixel_N3), len(OFFSETS)), np.int32)
        self.count_N = np.zeros(len(pixel_N3), np.int64)
        for dy, dx in OFFSETS:
            wanted_N = place_N + dy * width + dx
            found_N = np.searchsorted(sorted_N, wanted_N).clip(max=max(len(sorted_N) - 1, 0))
            there_N = in_image_N & (sorted_N[found_N] == wanted_N)
            self._rows_N8[there_N, self.count_N[there_N]] = order_N[found_N[there_N]]
            self.count_N[there_N] += 1

    def draw(self, rows_m: NDArray[np.int64], key: Sequence[int], skip: int = 0) -> NDArray[np.int64]:
        """For each row one of its neighbours, all equally likely; itself where it has none.

        Args:
            rows_m: the rows, without the first `skip`.
            key: seed of the draw.
            skip: how many draws to pass over, so that a run that goes on draws what it would have drawn.

        Returns:
            (m,) row numbers.
        """
        count_m = self.count_N[rows_m]
        chosen_m = np.minimum(
            (np.random.default_rng(list(key)).random(skip + len(rows_m))[skip:] * count_m).astype(np.int64),
            np.maximum(count_m - 1, 0),
        )
        return np.where(count_m > 0, self._rows_N8[rows_m, chosen_m], rows_m).astype(np.int64)
