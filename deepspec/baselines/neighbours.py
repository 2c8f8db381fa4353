"""Decode latent points by their neighbours, for embeddings that cannot be inverted.

Shapes: S spectra of the sample, N points, D channels, L latent dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 10
"""Spectra that are averaged."""


class NeighbourDecoder:
    """The mean of the spectra of the sample whose latent points are nearest: never a spectrum that was not measured.

    Args:
        z_SL: latent points of the sample.
        y_SD: its spectra.
    """

    def __init__(self, z_SL: NDArray[np.float32], y_SD: NDArray[np.float32]) -> None:
        from scipy.spatial import KDTree

        self._tree = KDTree(z_SL)
        self._spectra_SD = torch.from_numpy(y_SD)

    def __call__(self, z_NL: Tensor) -> Tensor:
        """(N, D) spectra of latent points."""
        count = min(NEIGHBOURS, len(self._spectra_SD))
        nearest_NM = torch.from_numpy(self._tree.query(z_NL.cpu().numpy(), range(1, count + 1))[1])
        mean_ND = self._spectra_SD[nearest_NM[:, 0]]
        for place in range(1, count):  # one after the other: together they would take NEIGHBOURS times the memory
            mean_ND += self._spectra_SD[nearest_NM[:, place]]
        return (mean_ND / count).to(z_NL.device)
