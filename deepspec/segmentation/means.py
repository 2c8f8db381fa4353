"""What is kept of every pixel, and the mean spectra of clusters.

Shapes: P pixels of the cube, N of a piece, C channels of the cube, D of the decoder, K clusters, L latent dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.segmentation.spectra import CubeSpectra, Piece


class PixelRecord:
    """Numbers of each pixel; NaN for the pixels that are not used."""

    def __init__(self, pixels: int, latent: int, device: torch.device) -> None:
        self.z_PL = torch.full((pixels, latent), torch.nan, device=device)
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
    total_N: Tensor
    """float32, sums of the decoded spectra."""
    sizes_K: Tensor
    """int64, pixels."""
    raw_KC: Tensor
    """float64, sum of the raw spectra of each cluster."""
    input_KD: Tensor
    """float64, of the preprocessed spectra, undone as far as that can be."""
    decoded_KD: Tensor
    """float32, of the decoded spectra."""


class ClusterMeans:
    """Mean raw, preprocessed and decoded spectra of each cluster.

    A piece is summed by a matrix product with its membership: counts of 2e9 would be off by 2e-6 in single precision.

    Args:
        spectra: what passes; its model decodes, and undoes the preprocessing.
        k: number of clusters.
        record: where to put the sum of each pixel's decoded spectrum.
    """

    def __init__(self, spectra: CubeSpectra, k: int, record: PixelRecord) -> None:
        self._model, self._record = spectra.model, record
        channels, decoded = spectra.cube.shape[2], spectra.model.preprocess.channels_decoded
        self.sizes_K = torch.zeros(k, dtype=torch.int64, device=spectra.device)
        self._raw_KC = torch.zeros(k, channels, dtype=torch.float64, device=spectra.device)
        self._input_KD = torch.zeros(k, decoded, dtype=torch.float64, device=spectra.device)
        self._decoded_KD = torch.zeros(k, decoded, dtype=torch.float64, device=spectra.device)

    def sums(self, piece: Piece, z_NL: Tensor, labels_N: Tensor) -> PieceSums:
        """Sum spectra by their labels; those below 0 count nowhere."""
        member_KN = (labels_N == torch.arange(len(self.sizes_K), device=labels_N.device)[:, None]).float()
        decoded_ND = self._model.decode(z_NL)
        return PieceSums(
            pixels_N=piece.pixels_N,
            total_N=decoded_ND.sum(1),
            sizes_K=member_KN.sum(1).long(),
            raw_KC=member_KN.double() @ piece.x_NC.double(),
            input_KD=member_KN.double() @ self._model.preprocess.inverse(piece.y_ND).double(),
            decoded_KD=member_KN @ decoded_ND,
        )

    def add(self, sums: PieceSums) -> None:
        """Add a piece."""
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

    def joined(self, parents: list[int], k: int) -> Means:
        """The means of clusters that these are the parts of.

        Args:
            parents: the cluster of each part.
            k: number of clusters.
        """
        to_K = torch.tensor(parents, device=self.sizes_K.device)

        def sums(parts: Tensor) -> NDArray[np.float64]:
            shape = (k, *parts.shape[1:])
            found: NDArray[np.float64] = parts.new_zeros(shape).index_add_(0, to_K, parts).cpu().numpy()
            return found

        sizes = sums(self.sizes_K)
        with np.errstate(invalid="ignore"):
            raw, input_, decoded = (
                sums(parts) / sizes[:, None] for parts in (self._raw_KC, self._input_KD, self._decoded_KD)
            )
        return Means(sizes.astype(np.int64), raw, input_, decoded)

    def _mean(self, sums: Tensor) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = (sums / self.sizes_K[:, None]).cpu().numpy()
        return mean


class Means(NamedTuple):
    """Mean spectra of clusters."""

    sizes: NDArray[np.int64]
    """(K,) pixels."""
    raw: NDArray[np.float64]
    """(K, C), NaN for an empty cluster, like the next two."""
    input: NDArray[np.float64]
    """(K, D)."""
    reconstructed: NDArray[np.float64]
    """(K, D)."""
