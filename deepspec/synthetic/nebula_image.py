"""Seed images of nebular cubes: colours that stand for classes, and a procedural field of nebulae.

Shapes: H rows, W columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from deepspec.errors import UserError
from deepspec.synthetic.images import list_images, load_image
from deepspec.synthetic.mixture import colour_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# sRGB in [0, 1] of each class, by label: black background, red HII regions, green planetary nebulae, blue shocks.
CLASS_COLOURS = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
_HII_SHARE = 0.15  # of the image
_HII_SCALE = 0.04  # correlation length of the blobs as a share of the image's side
_PN_RADIUS, _SHOCK_RADIUS, _SHOCK_WIDTH = (2.0, 4.0), (8.0, 25.0), (1.0, 2.0)  # pixels
_PIXELS_PER_PN, _PIXELS_PER_SHOCK = 900, 1800
_NOISE = 8.0  # standard deviation of each 8-bit colour


def draw_nebula(number: int, size: int = 128) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Draw a field of HII regions (blobs), planetary nebulae (small discs) and shocks (broken rings) on black.

    Args:
        number: which one, from 0 on; the same number gives the same picture.
        size: side in pixels, at least 16.

    Returns:
        (size, size, 3) uint8 image with some noise in it, and (size, size) int16 exact labels, see `CLASSES`.
    """
    rng = np.random.default_rng(np.random.SeedSequence(number, spawn_key=(4,)))
    labels = np.zeros((size, size), dtype=np.int16)
    field = gaussian_filter(rng.standard_normal((size, size)), _HII_SCALE * size, mode="wrap")
    labels[field > np.quantile(field, 1 - _HII_SHARE)] = 1
    y, x = np.mgrid[:size, :size]
    for _ in range(max(1, size * size // _PIXELS_PER_SHOCK)):
        radius = min(rng.uniform(*_SHOCK_RADIUS), size / 4)
        dy, dx = y - rng.uniform(0, size), x - rng.uniform(0, size)
        shell = np.abs(np.hypot(dy, dx) - radius) < rng.uniform(*_SHOCK_WIDTH) / 2
        seen = np.cos(np.arctan2(dy, dx) - rng.uniform(0, 2 * np.pi)) > rng.uniform(-1, 0.3)
        labels[shell & seen] = 3
    for _ in range(max(1, size * size // _PIXELS_PER_PN)):
        distance = np.hypot(y - rng.uniform(2, size - 2), x - rng.uniform(2, size - 2))
        labels[distance < rng.uniform(*_PN_RADIUS)] = 2
    rgb = 255 * CLASS_COLOURS[labels] + rng.normal(0, _NOISE, (size, size, 3))
    return np.clip(np.round(rgb), 0, 255).astype(np.uint8), labels


def nearest_class(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.int16]:
    """(H, W) label of the class whose colour is nearest, by CIE delta-E 2000."""
    colours_N3, inverse = np.unique(rgb_HW3.reshape(-1, 3), axis=0, return_inverse=True)
    nearest = colour_distance(colours_N3 / 255.0, CLASS_COLOURS).argmin(axis=1)
    return np.asarray(nearest[inverse].reshape(rgb_HW3.shape[:2]), dtype=np.int16)


def list_nebulae(sources: Sequence[str]) -> dict[str, str]:
    """Expand presets and folders.

    Args:
        sources: each `nebula:N`, a drawn field; `preset:paper`, which is nebula:0 called test_cube; or an image file
            or a folder of images.

    Returns:
        For each image its name, fit for a file, and the source that `load_nebula` takes.

    Raises:
        UserError: if a source does not exist or two images have the same name.
    """
    found: dict[str, str] = {}
    for source in sources:
        if source == "preset:paper":
            expanded = {"test_cube": "nebula:0"}
        elif (number := _nebula_number(source)) is not None:
            expanded = {f"nebula_{number:02d}": source}
        else:
            expanded = list_images([source])
        for name, single in expanded.items():
            if name in found:
                raise UserError(f"two images are called '{name}': {found[name]} and {single}; rename one")
            found[name] = single
    return found


def load_nebula(source: str, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Image and labels of a source of `list_nebulae`; an image's labels are its nearest classes.

    Args:
        source: as `list_nebulae` returns it.
        size: side of a drawn field; longest side of an image, which is reduced to it.

    Raises:
        UserError: if the file is not an image, or the size is below 16.
    """
    number = _nebula_number(source)
    if number is None:
        image = load_image(source, size)
        return image, nearest_class(image)
    if size < 16:
        raise UserError(f"size={size}: expected at least 16 pixels")
    return draw_nebula(number, size)


def _nebula_number(source: str) -> int | None:
    kind, _, number = source.partition(":")
    if kind != "nebula":
        return None
    if not number.isdecimal():
        raise UserError(f"{source}: expected nebula:N with a number from 0 on, for example nebula:3")
    return int(number)
