"""Clusters of the colours of a picture of the same scene, as the reference in the paper (section 3.1.2).

Shapes: H rows, W columns of the cube, S pixels of the sample, N points, D channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepspec.baselines.model import Embedding
from deepspec.baselines.neighbours import NeighbourDecoder
from deepspec.errors import UserError
from deepspec.models.autoencoder import Latent
from deepspec.synthetic.images import load_image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


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
        image: its file.
        shape: (H, W) of the cube. Both are taken to show the same field of view, edge to edge.
        resample: whether to take the nearest pixels of a picture of another size.

    Returns:
        (H, W, 3) sRGB in [0, 1], and a note if it was resampled.

    Raises:
        UserError: it cannot be read, or has another size and `resample` is not set.
    """
    rgb = load_image(image)
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
