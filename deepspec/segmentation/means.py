"""What is kept of every pixel, and the mean spectra of clusters.

Shapes: P pixels of the cube, N of a piece, C channels of the cube, D of the decoder, K clusters, L latent dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.clusters import Clusters
    from deepspec.segmentation.spectra import CubeSpectra, Piece


class PixelRecord:
    """Numbers of each pixel; NaN and label -1 for the pixels that are not used."""

    def __init__(self, pixels: int, latent: int, device: torch.device) -> None:
        self.z_PL = torch.full((pixels, latent), torch.nan, device=device)
        self.labels_P = torch.full((pixels,), -1, dtype=torch.int64, device=device)
        self.total_raw_P = torch.full((pixels,), torch.nan, device=device)
        self.total_reconstructed_P = torch.full((pixels,), torch.nan, device=device)

    @property
    def usable_P(self) -> Tensor:
        """(P,) bool, the pixels with a latent point."""
        return self.z_PL.isfinite().all(1)

    @property
    def usable_latents(self) -> Tensor:
        """Those points, finite."""
        return self.z_PL[self.usable_P]


class PieceSums(NamedTuple):
    """What one piece of the cube adds."""

    pixels_N: Tensor
    """int64, which pixels."""
    labels_N: Tensor
    """int64."""
    total_N: Tensor
    """float32, sums of the decoded spectra."""
    sizes_K: Tensor
    """int64, pixels."""
    raw_KC: Tensor
    """float32, sum of the raw spectra of each cluster."""
    input_KD: Tensor
    """float32, of the preprocessed spectra, undone as far as that can be."""
    decoded_KD: Tensor
    """float32, of the decoded spectra."""


class ClusterMeans:
    """Mean raw, preprocessed and decoded spectra of each cluster.

    A piece is summed in float32 by a matrix product with its membership, the pieces in float64.

    Args:
        spectra: what passes; its model decodes, and undoes the preprocessing.
        clusters: which label the spectra.
        record: where to put the label of each pixel and the sum of its decoded spectrum.
    """

    def __init__(self, spectra: CubeSpectra, clusters: Clusters, record: PixelRecord) -> None:
        self._model, self._clusters, self._record = spectra.model, clusters, record
        k, channels, decoded = len(clusters.used), spectra.cube.shape[2], spectra.model.preprocess.channels_decoded
        self.sizes_K = torch.zeros(k, dtype=torch.int64, device=spectra.device)
        self._raw_KC = torch.zeros(k, channels, dtype=torch.float64, device=spectra.device)
        self._input_KD = torch.zeros(k, decoded, dtype=torch.float64, device=spectra.device)
        self._decoded_KD = torch.zeros(k, decoded, dtype=torch.float64, device=spectra.device)

    def sums(self, piece: Piece, z_NL: Tensor) -> PieceSums:
        """Label and sum spectra with their latent points, all finite."""
        labels_N = self._clusters.assign(z_NL)
        member_KN = (labels_N == torch.arange(len(self.sizes_K), device=labels_N.device)[:, None]).float()
        decoded_ND = self._model.decode(z_NL)
        return PieceSums(
            pixels_N=piece.pixels_N,
            labels_N=labels_N,
            total_N=decoded_ND.sum(1),
            sizes_K=member_KN.sum(1).long(),
            raw_KC=member_KN @ piece.x_NC,
            input_KD=member_KN @ self._model.preprocess.inverse(piece.y_ND),
            decoded_KD=member_KN @ decoded_ND,
        )

    def add(self, sums: PieceSums) -> None:
        """Add a piece."""
        self._record.labels_P[sums.pixels_N] = sums.labels_N
        self._record.total_reconstructed_P[sums.pixels_N] = sums.total_N
        self.sizes_K += sums.sizes_K
        self._raw_KC += sums.raw_KC
        self._input_KD += sums.input_KD
        self._decoded_KD += sums.decoded_KD

    @property
    def raw(self) -> NDArray[np.float64]:
        """(K, C) mean raw spectra; NaN for an empty cluster, like the next two."""
        return self._mean(self._raw_KC)

    @property
    def input(self) -> NDArray[np.float64]:
        """(K, D) mean preprocessed spectra, undone as far as that can be (equation 9)."""
        return self._mean(self._input_KD)

    @property
    def reconstructed(self) -> NDArray[np.float64]:
        """(K, D) mean decoded spectra (equation 8)."""
        return self._mean(self._decoded_KD)

    def _mean(self, sums: Tensor) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = (sums / self.sizes_K[:, None]).cpu().numpy()
        return mean
