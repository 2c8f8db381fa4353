"""Uniform manifold approximation and projection (McInnes, Healy & Melville 2018, arXiv:1802.03426), by umap-learn.

Shapes: S spectra of the sample, N spectra, D channels, L dimensions of the embedding.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.baselines.embeddings import NeighbourDecoder
from deepspec.baselines.model import Embedding
from deepspec.errors import UserError
from deepspec.models.autoencoder import Latent

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class ManifoldEmbedding(Embedding):
    """UMAP fitted on a sample; other spectra are put among their neighbours of the sample.

    Args:
        y_SD: preprocessed spectra to fit on.
        components: L.
        neighbours: of each spectrum in the graph; fewer than S.
        min_dist: least distance of points in the embedding.
        seed: of the embedding, and of the places of other spectra.

    Raises:
        UserError: umap-learn is not installed.
    """

    def __init__(self, y_SD: NDArray[np.float32], components: int, neighbours: int, min_dist: float, seed: int) -> None:
        super().__init__()
        check_installed()
        import umap

        self._latent = components
        self._umap = umap.UMAP(
            n_neighbors=neighbours,
            n_components=components,
            min_dist=min_dist,
            random_state=seed,
            transform_seed=seed,
            n_jobs=1,  # what a seed enforces anyway, with a warning
        )
        self._decoder = NeighbourDecoder(self._umap.fit_transform(y_SD), y_SD)
        # Numba aborts the process when its parallel functions are called from two threads at once.
        self._lock = threading.Lock()

    @property
    def latent(self) -> int:
        """L."""
        return self._latent

    def encode(self, x_NC: Tensor) -> Latent:
        """Places (N, L) in the embedding."""
        with self._lock:
            z_NL = self._umap.transform(x_NC.cpu().numpy())
        return Latent(torch.from_numpy(np.ascontiguousarray(z_NL, dtype=np.float32)).to(x_NC.device), None)

    def decode(self, z_NL: Tensor) -> Tensor:
        """Mean spectra of the nearest points of the sample: UMAP has no decoder."""
        return self._decoder(z_NL)


def check_installed() -> None:
    """Raise a `UserError` that names the extra where umap-learn is missing; importing it takes seconds."""
    from importlib.util import find_spec

    if find_spec("umap") is None:
        raise UserError("umap needs umap-learn, which is not installed: pip install 'deepspec[umap]'")
