"""Embeddings that are no network: raw spectra, principal components, non-negative factors, colours of a picture.

`Identity` leaves the preprocessed spectra as they are: K-means on raw spectra, with whatever scaling the preprocessing
does. `NonNegativeComponents` is Lee & Seung 1999, doi:10.1038/44565, solved by coordinate descent (Cichocki & Phan
2009, doi:10.1587/transfun.E92.A.708). `Colours` are those of a picture of the same scene, as in the reference of the
paper (section 3.1.2); embeddings that cannot be inverted decode latent points by their neighbours.

Shapes: H rows, W columns of the cube, S spectra (or pixels) of the sample, N spectra, D channels, L latent dimensions.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from deepspec.baselines.model import Embedding
from deepspec.data.arrays import read_array
from deepspec.data.pictures import as_bytes
from deepspec.errors import UserError
from deepspec.models.autoencoder import Latent
from deepspec.synthetic.images import SUFFIXES, load_image

if TYPE_CHECKING:
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


class Identity(Embedding):
    """Latent points are what comes in.

    Args:
        channels: number of channels D.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._channels = channels

    @property
    def latent(self) -> int:
        """D."""
        return self._channels

    def encode(self, x_NC: Tensor) -> Latent:
        """The same."""
        return Latent(x_NC, None)

    def decode(self, z_NL: Tensor) -> Tensor:
        """The same."""
        return z_NL


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


ITERATIONS = 500
"""Most iterations of the fit."""

SWEEPS = 1000
"""Most sweeps over the components when spectra are encoded."""

TOLERANCE = 1e-6
"""A sweep that moves no weight by more than this part of the largest one is the last."""


class NonNegativeComponents(Embedding):
    """Weights of non-negative component spectra of unit length, so that distances of weights mean something.

    Args:
        y_SD: preprocessed spectra to fit on, at least 0.
        components: L, at most S and D.
        seed: of what is random in the start.

    Attributes:
        converged: whether the fit settled within `ITERATIONS`.
        residual: share of the sum of squares of the sample that is not reproduced.
    """

    components_LD: Tensor

    def __init__(self, y_SD: NDArray[np.float32], components: int, seed: int) -> None:
        super().__init__()
        from sklearn.decomposition import NMF
        from sklearn.exceptions import ConvergenceWarning

        nmf = NMF(components, init="nndsvda", max_iter=ITERATIONS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` says it
            nmf.fit(y_SD)
        self.converged = bool(nmf.n_iter_ < ITERATIONS)
        self.residual = float(nmf.reconstruction_err_**2 / (y_SD.astype(float) ** 2).sum())
        components_LD = torch.from_numpy(nmf.components_).float()
        length_L1 = components_LD.norm(dim=1, keepdim=True)
        # A component that fell to nothing stays zero: its weights are then zero too.
        self.register_buffer("components_LD", components_LD / length_L1.masked_fill(length_L1 == 0, 1))

    @property
    def latent(self) -> int:
        """L."""
        return len(self.components_LD)

    def encode(self, x_NC: Tensor) -> Latent:
        """Non-negative least-squares weights (N, L); values below 0 count as 0."""
        return Latent(non_negative_weights(x_NC.clamp_min(0), self.components_LD), None)

    def decode(self, z_NL: Tensor) -> Tensor:
        """Weights times components."""
        return z_NL @ self.components_LD


def non_negative_weights(y_ND: Tensor, components_LD: Tensor) -> Tensor:
    """Minimise |y - w H|^2 over w >= 0 by coordinate descent over the components.

    Args:
        y_ND: (N, D) spectra.
        components_LD: (L, D) of unit length, or zero.

    Returns:
        (N, L) weights.
    """
    gram_LL = components_LD @ components_LD.T
    target_NL = y_ND @ components_LD.T
    weights_LN = target_NL.T.clamp_min(0).contiguous()
    least = TOLERANCE * float(weights_LN.max()) if weights_LN.numel() else 0.0
    for _ in range(SWEEPS):
        moved = 0.0
        for component in range(len(gram_LL)):
            if gram_LL[component, component] == 0:
                continue
            before_N = weights_LN[component].clone()
            gradient_N = target_NL[:, component] - gram_LL[component] @ weights_LN
            weights_LN[component] = (before_N + gradient_N / gram_LL[component, component]).clamp_min(0)
            moved = max(moved, float((weights_LN[component] - before_N).abs().max()))
        if moved <= least:
            break
    return weights_LN.T


class Colours(Embedding):
    """Latent points are the colours, which `segment_cube` is given in place of spectra.

    Args:
        colours_S3: of the sample.
        y_SD: its preprocessed spectra.
    """

    def __init__(self, colours_S3: NDArray[np.float32], y_SD: NDArray[np.float32]) -> None:
        super().__init__()
        self._decoder = NeighbourDecoder(colours_S3, y_SD)

    @property
    def latent(self) -> int:
        """Red, green, blue."""
        return 3

    def encode(self, x_NC: Tensor) -> Latent:
        """Colours as they are."""
        return Latent(x_NC, None)

    def decode(self, z_NL: Tensor) -> Tensor:
        """Mean spectra of the pixels of the sample with the nearest colours."""
        return self._decoder(z_NL)


def colours_of(image: str, shape: tuple[int, int], *, resample: bool) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Colours of a picture at the pixels of a cube.

    Args:
        image: its file, or `FILE:KEY` of an array (H, W, 3) in a NPY, NPZ, HDF5, FITS or MATLAB file.
        shape: (H, W) of the cube. Both are taken to show the same field of view, edge to edge.
        resample: whether to take the nearest pixels of a picture of another size.

    Returns:
        (H, W, 3) sRGB in [0, 1], and a note if it was resampled.

    Raises:
        UserError: it cannot be read, or has another size and `resample` is not set.
    """
    rgb = _picture_of(image)
    own = rgb.shape[:2]
    notes: tuple[str, ...] = ()
    if own != shape:
        sizes = f"{own[0]} x {own[1]} pixels, the cube {shape[0]} x {shape[1]}"
        if not resample:
            hint = "turn it by 90 degrees" if own == shape[::-1] else "--resample true takes the nearest pixels"
            raise UserError(f"{image} has {sizes}: {hint}, if both show the same field of view")
        rows, columns = (
            np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
            for old, new in zip(own, shape, strict=True)
        )
        rgb = rgb[np.ix_(rows, columns)]
        notes = (f"nearest pixels were taken of {image}, which has {sizes}",)
    return (rgb / np.float32(255)).astype(np.float32), notes


def _picture_of(image: str) -> NDArray[np.uint8]:
    """A picture (H, W, 3) from its own file, or from an array in another one.

    Raises:
        UserError: it cannot be read, or is no picture.
    """
    path = Path(image)
    if path.suffix.lower() in SUFFIXES or image.partition(":")[0] in ("sklearn", "miniature"):
        return load_image(image)
    array = read_array(image, "the image").squeeze()
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        raise UserError(f"{image}: expected a picture (H, W, 3), got an array of shape {array.shape}")
    return as_bytes(array[..., :3], image)
