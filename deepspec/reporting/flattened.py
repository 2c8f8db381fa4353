"""The flattened cube behind a spectrum: a row for each pixel, a column for each channel (figures 4, 9 and 10).

Shapes: M pixels of the sample, D channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.image import AxesImage

from deepspec.reporting.style import FONT_SIZE, IMAGE_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis

_COLUMNS = 240
"""Of the image: two pixels of a panel each, more of which would make large files of noise."""


def flattened_image(axis: SpectralAxis, values_MD: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours (M, columns, 4) of spectra on a uniform grid over the axis, square roots of their values.

    Args:
        axis: of the channels.
        values_MD: (M, D) spectra or differences.

    Returns:
        A column shows the largest of the channels that it covers, so that no peak is lost.
    """
    order = np.argsort(axis.values)
    places = np.linspace(axis.values[order[0]], axis.values[order[-1]], min(_COLUMNS, len(order)), endpoint=False)
    starts = np.searchsorted(axis.values[order], places)
    image = np.sign(values_MD) * np.sqrt(np.abs(values_MD))
    image = np.maximum.reduceat(image[:, order], starts, axis=1)
    bottom, top = np.nanpercentile(image, [1, 99.5])
    shade = np.clip((image - bottom) / (top - bottom if top > bottom else 1), 0, 1)
    colours: NDArray[np.uint8] = colormaps[IMAGE_COLOURS](shade, bytes=True)
    return colours


def draw_flattened(axes: Axes, image: NDArray[np.uint8], pixels: int) -> None:
    """Put such an image behind what is in a panel whose x axis has the limits of the spectral axis.

    Args:
        axes: the panel.
        image: of `flattened_image`.
        pixels: of the whole cube, to be written beside the image.
    """
    # Not a second pair of axes, which takes longer to draw than all the rest.
    behind = AxesImage(axes, extent=(0, 1, 0, 1), origin="upper", interpolation="nearest", zorder=0)
    behind.set_data(image)
    behind.set_transform(axes.transAxes)
    axes.add_image(behind)
    axes.text(
        1.005,
        0.5,
        f"pixels 0 to {pixels - 1}, downwards",
        transform=axes.transAxes,
        rotation=270,
        va="center",
        fontsize=FONT_SIZE - 4,
    )
