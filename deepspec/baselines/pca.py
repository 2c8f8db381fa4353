"""Principal component analysis.

Shapes: S spectra of the sample, N spectra, D channels, L components.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deepspec.baselines.model import Embedding
from deepspec.models.autoencoder import Latent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PrincipalComponents(Embedding):
    """Scores on the first principal components, without whitening.

    Args:
        y_SD: preprocessed spectra to fit on.
        components: L, at most S and D.
        seed: of the randomised solver that scikit-learn takes for large problems.

    Attributes:
        explained: share of the variance of the sample that the components hold.
    """

    mean_D: Tensor
    axes_LD: Tensor

    def __init__(self, y_SD: NDArray[np.float32], components: int, seed: int) -> None:
        super().__init__()
        from sklearn.decomposition import PCA

        pca = PCA(components, random_state=seed).fit(y_SD)
        self.register_buffer("mean_D", torch.from_numpy(pca.mean_).float())
        self.register_buffer("axes_LD", torch.from_numpy(pca.components_).float())
        self.explained = float(pca.explained_variance_ratio_.sum())

    @property
    def latent(self) -> int:
        """L."""
        return len(self.axes_LD)

    def encode(self, x_NC: Tensor) -> Latent:
        """Scores (N, L)."""
        return Latent((x_NC - self.mean_D) @ self.axes_LD.T, None)

    def decode(self, z_NL: Tensor) -> Tensor:
        """Mean plus scores times components."""
        return self.mean_D + z_NL @ self.axes_LD
