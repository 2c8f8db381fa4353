"""Pictures of any size that fits the memory: a scan of a painting has hundreds of megapixels."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from deepspec.data.memory import available_memory
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_COPIES = 4  # of the picture, while it is decoded, turned into red, green and blue, and into an array


@contextmanager
def open_picture(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture, whose pixels are decoded when they are asked for.

    Pillow takes 179 megapixels for an attack; here what its header promises is compared with the memory there is.

    Raises:
        UserError: there is not enough memory for it.
        OSError: it is no picture.
    """
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        picture = Image.open(path)
    except (SyntaxError, ValueError) as error:  # of damaged headers
        raise OSError(f"damaged: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = most
    with picture:
        width, height = picture.size
        needed = _COPIES * width * height * max(3, len(picture.getbands())) * (4 if picture.mode in ("I", "F") else 1)
        if needed > available_memory():
            raise UserError(
                f"{path}: {width} x {height} pixels take {needed / 1e9:.1f} GB, there are "
                f"{available_memory() / 1e9:.1f} GB: make it smaller"
            )
        yield picture


def as_bytes(rgb: NDArray[Any], source: str | Path) -> NDArray[np.uint8]:
    """Colours as bytes, 0 to 255.

    Args:
        rgb: any shape: uint8, uint16, or floats from 0 to 1.
        source: where they are from, for messages.

    Raises:
        UserError: they are of another type or range.
    """
    if rgb.dtype == np.uint8:
        return rgb
    low, high = float(rgb.min()), float(rgb.max())
    if rgb.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.round(255 * rgb).astype(np.uint8)
    if rgb.dtype == np.uint16:
        return (rgb >> 8).astype(np.uint8)
    raise UserError(
        f"{source}: expected colours of 8 or 16 bits or in [0, 1], got {rgb.dtype} from {low:g} to {high:g}"
    )
