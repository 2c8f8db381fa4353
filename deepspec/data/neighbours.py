"""Pairs of neighbouring pixels, from which the noise of spectra can be told, and learned away.

Each pixel is paired with a random neighbour: the same material, as a rule, with noise of its own. A network that is to
give the spectrum of a neighbour instead of its own cannot learn its noise by heart: what two measurements of one
material share is the mean. Lehtinen et al. (2018), Noise2Noise, section 2. A bounded random sample of pairs is kept as
raw spectra and not as differences: the noise after a logarithm, say, follows from pairs alone.

Shapes: N rows of spectra, m rows of a window, n rows of a block, W columns, C channels, P pairs, M = 2 P spectra of
which 2i and 2i + 1 are neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deepspec.data.pixels import dead_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube


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


PAIRS = 4096
"""Most pairs that are kept."""

MOST_VALUES = 2**23
"""Most values of them, 32 MiB of float32: fewer pairs of spectra with more than 1,024 channels."""


class NeighbourPairs(NamedTuple):
    """Pairs of neighbours."""

    spectra_MC: NDArray[Any]
    """Raw, rows 2i and 2i + 1 of pixels side by side or one above the other."""
    pixel_M3: NDArray[np.int32]
    """Number of the cube, y, x."""


class NeighbourSample:
    """Draws pairs while cubes pass by, uniformly among all pairs of usable pixels.

    Every pair has a random key, and those with the smallest are kept: the sample does not depend on the size of the
    blocks in which a cube is read.

    Args:
        channels: number of channels C that are kept.
        seed: of the choice.
    """

    def __init__(self, channels: int, seed: int) -> None:
        self._size = max(1, min(PAIRS, MOST_VALUES // (2 * channels)))
        self._seed = seed
        self._keys_P = np.empty(0)
        self._spectra_P2C: NDArray[Any] | None = None
        self._pixel_P23 = np.empty((0, 2, 3), np.int32)

    def begin(self, number: int, bring: Callable[[NDArray[Any]], NDArray[Any]] | None = None) -> None:
        """Begin a cube.

        Args:
            number: of the cube.
            bring: takes spectra onto the channels that are kept; None where they are on them.
        """
        self._rng = np.random.default_rng([self._seed, number, 2])  # 2: other numbers than what else has this seed
        self._number, self._bring = number, bring
        self._above: tuple[NDArray[Any], NDArray[np.bool_]] | None = None

    def add(self, x_nWC: NDArray[Any], usable_nW: NDArray[np.bool_], first_row: int) -> None:
        """Let the next rows of the cube pass by.

        Args:
            x_nWC: raw spectra.
            usable_nW: which pixels may be in a pair.
            first_row: number of the first.
        """
        n, columns = usable_nW.shape
        key_nW2 = self._rng.random((n, columns, 2))  # of the pair with the pixel to the left, and with that above
        pair_nW2 = np.zeros((n, columns, 2), dtype=bool)
        pair_nW2[:, 1:, 0] = usable_nW[:, 1:] & usable_nW[:, :-1]
        pair_nW2[1:, :, 1] = usable_nW[1:] & usable_nW[:-1]
        if self._above is not None:
            pair_nW2[0, :, 1] = usable_nW[0] & self._above[1]
        limit = self._keys_P.max() if len(self._keys_P) == self._size else np.inf
        chosen = np.flatnonzero(pair_nW2 & (key_nW2 < limit))
        if len(chosen) > self._size:
            chosen = chosen[np.argpartition(key_nW2.reshape(-1)[chosen], self._size)[: self._size]]
        if len(chosen):
            self._take(x_nWC, np.sort(chosen), key_nW2, first_row)
        self._above = x_nWC[-1].copy(), usable_nW[-1].copy()

    def _take(
        self, x_nWC: NDArray[Any], chosen: NDArray[np.int64], key_nW2: NDArray[np.float64], first_row: int
    ) -> None:
        y, x, above = np.unravel_index(chosen, key_nW2.shape)
        other_y, other_x = y - above, x - (1 - above)
        other = x_nWC[other_y, other_x]  # for row -1 the last of the block: replaced by the row before it
        before = other_y < 0
        if before.any():
            assert self._above is not None
            other[before] = self._above[0][x[before]]
        spectra_P2C = np.stack([other, x_nWC[y, x]], axis=1)
        if self._bring is not None:
            spectra_P2C = self._bring(spectra_P2C.reshape(-1, spectra_P2C.shape[2])).reshape(len(y), 2, -1)
        number = np.full_like(y, self._number)
        pixel_P23 = np.stack(
            [np.stack([number, first_row + other_y, other_x], 1), np.stack([number, first_row + y, x], 1)], axis=1
        )
        keys_P = np.concatenate([self._keys_P, key_nW2.reshape(-1)[chosen]])
        kept = np.sort(np.argsort(keys_P, kind="stable")[: self._size])
        self._keys_P = keys_P[kept]
        earlier = spectra_P2C[:0] if self._spectra_P2C is None else self._spectra_P2C
        self._spectra_P2C = np.concatenate([earlier, spectra_P2C])[kept]
        self._pixel_P23 = np.concatenate([self._pixel_P23, pixel_P23.astype(np.int32)])[kept]

    @property
    def pairs(self) -> NeighbourPairs | None:
        """Those kept, in the order of the pixels; None if there were none."""
        if self._spectra_P2C is None:
            return None
        return NeighbourPairs(self._spectra_P2C.reshape(-1, self._spectra_P2C.shape[2]), self._pixel_P23.reshape(-1, 3))


def neighbours_of(
    cube: SpectralCube, seed: int, progress: Callable[[str, int, int], None] | None = None
) -> NeighbourPairs | None:
    """Read a cube once and draw pairs of neighbours among its usable pixels.

    Args:
        cube: an open cube.
        seed: of the choice.
        progress: called after each block with the name of the pass, the pixels done and all.

    Returns:
        The pairs; None if no two usable pixels are neighbours.
    """
    sample = NeighbourSample(cube.axis.channels, seed)
    sample.begin(0)
    for rows, x_nWC in cube.blocks(cube.block_pixels):
        sample.add(x_nWC, cube.mask[rows] & ~dead_pixels(x_nWC), rows.start)
        if progress is not None:
            progress("neighbours", rows.stop * cube.shape[1], cube.mask.size)
    return sample.pairs
