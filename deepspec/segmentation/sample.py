"""PixelSample: spectra of some pixels of a cube, for figures that show single pixels.

Shapes: M pixels of the sample, D channels of the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deepspec.segmentation.means import PixelRecord
    from deepspec.segmentation.model import SegmentationModel
    from deepspec.segmentation.spectra import SpectraSample

SPECTRA = 96
"""Most spectra that are kept: a row of a figure for each."""


@dataclass(frozen=True, eq=False)
class PixelSample:
    """A uniform random sample of the labelled pixels, in the order of the image."""

    pixels: NDArray[np.int64]
    """(M,) which, counted along the rows of the image."""
    input: NDArray[np.float32]
    """(M, D) preprocessed spectra, undone as far as that can be, like `Segmentation.mean_input`."""
    reconstructed: NDArray[np.float32]
    """(M, D) what the decoder makes of their latent points."""


def draw_sample(record: PixelRecord, some: SpectraSample, model: SegmentationModel) -> PixelSample:
    """Take some of the spectra that were kept while the cube was read.

    Args:
        record: the latent points of all pixels.
        some: those spectra.
        model: to decode.
    """
    pixels_M, order = some.pixels_N[:SPECTRA].sort()
    return PixelSample(
        pixels=pixels_M.cpu().numpy(),
        input=model.preprocess.inverse(some.spectra_ND[:SPECTRA][order]).float().cpu().numpy(),
        reconstructed=model.decode(record.z_PL[pixels_M]).float().cpu().numpy(),
    )
