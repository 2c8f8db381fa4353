"""A bounded random sample of a cube's usable spectra, and preprocessing fitted to it.

Shapes: P pixels of the cube, S of the sample, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.data.neighbours import neighbours_of
from deepspec.data.pixels import dead_pixels
from deepspec.errors import UserError
from deepspec.segmentation.spectra import SAMPLE_VALUES, SpectraSample

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.data.cube import SpectralCube
    from deepspec.preprocess import Preprocess


def sample_cube(
    cube: SpectralCube, size: int, seed: int, progress: Callable[[str, int, int], None] | None = None
) -> tuple[NDArray[np.int64], Tensor]:
    """Read a cube once, by rows, and keep some of its spectra, chosen uniformly at random.

    Args:
        cube: an open cube.
        size: most spectra; fewer of many channels, so that the sample takes no more than 256 MiB.
        seed: of the choice; it does not depend on the size of the blocks that are read.
        progress: called after each block with the name of the pass, the pixels done and all.

    Returns:
        Which pixels (S,), counted along the rows, and their raw spectra (S, C), float32.

    Raises:
        UserError: no pixel has a usable spectrum.
    """
    rows, columns, channels = cube.shape
    size = min(size, max(1, SAMPLE_VALUES // channels))
    kept = SpectraSample(rows * columns, size, torch.Generator().manual_seed(seed), torch.device("cpu"))
    for block, x_nWC in cube.blocks(cube.block_pixels):
        usable = cube.mask[block] & ~dead_pixels(x_nWC)
        pixels = np.flatnonzero(usable) + block.start * columns
        if len(pixels):
            kept.add(torch.from_numpy(pixels), torch.from_numpy(x_nWC[usable].astype(np.float32)))
        if progress is not None:
            progress("sampling", block.stop * columns, rows * columns)
    if len(kept.pixels_N) == 0:
        cube.find_dead()  # explains, if it can
        raise UserError(f"{cube.path or 'the cube'}: no pixel has a usable spectrum")
    return kept.pixels_N.numpy(), kept.spectra_ND


def fit_to_cube(
    preprocess: Preprocess,
    x_SC: Tensor,
    cube: SpectralCube,
    seed: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Fit preprocessing to a sample of a cube, and to pairs of its neighbouring pixels where a step needs them.

    Args:
        preprocess: to fit.
        x_SC: raw spectra of the cube.
        cube: read once more for neighbours.
        seed: of their choice.
        progress: as for `sample_cube`.

    Raises:
        UserError: as `Preprocess.fit`.
    """
    pairs = neighbours_of(cube, seed, progress) if preprocess.needs_neighbours else None
    preprocess.fit(x_SC, None if pairs is None else torch.from_numpy(pairs.spectra_MC.astype(np.float32)))
