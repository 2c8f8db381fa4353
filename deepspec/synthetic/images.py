"""Images that synthetic scans start from: files, folders, scikit-learn's photographs, procedural miniatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from deepspec.data.pictures import open_picture
from deepspec.errors import UserError
from deepspec.synthetic.miniature import draw_miniature

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
_KINDS = "an image file, a folder of images, sklearn:china, sklearn:flower, miniature:N or preset:paper"
# The paper's split: 17 miniatures, of which 11 train, 4 validate and 2 test.
_PAPER = [("train", 11), ("val", 4), ("test", 2)]


def list_images(sources: Iterable[str]) -> dict[str, str]:
    """Expand folders and presets.

    Args:
        sources: each an image file, a folder of images, `sklearn:china`, `sklearn:flower`, `miniature:N` or
            `preset:paper`, which is the paper's 17 miniatures, train_00 to test_01.

    Returns:
        For each image its name, fit for a file, and the source that `load_image` takes.

    Raises:
        UserError: if a source does not exist, a folder has no image, or two images have the same name.
    """
    found: dict[str, str] = {}
    for source in sources:
        for name, single in _expand(source):
            if name in found:
                raise UserError(f"two images are called '{name}': {found[name]} and {single}; rename one")
            found[name] = single
    return found


def _expand(source: str) -> list[tuple[str, str]]:
    if source == "preset:paper":
        names = [f"{split}_{i:02d}" for split, count in _PAPER for i in range(count)]
        return [(name, f"miniature:{i}") for i, name in enumerate(names)]
    if (number := miniature_number(source)) is not None:
        return [(f"miniature_{number:02d}", source)]
    if source in ("sklearn:china", "sklearn:flower"):
        return [(source.removeprefix("sklearn:"), source)]
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not files:
            raise UserError(f"{path}: no image in this folder (looked for {', '.join(sorted(SUFFIXES))})")
        return [(file.stem, str(file)) for file in files]
    if not path.is_file():
        raise UserError(f"{source}: not found; expected {_KINDS}")
    return [(path.stem, source)]


def miniature_number(source: str) -> int | None:
    """The N of `miniature:N`; None for other sources."""
    kind, _, number = source.partition(":")
    if kind != "miniature":
        return None
    if not number.isdecimal():
        raise UserError(f"{source}: expected miniature:N with a number from 0 on, for example miniature:3")
    return int(number)


def load_image(source: str, size: int | None = None) -> NDArray[np.uint8]:
    """Read one image.

    Args:
        source: as `list_images` returns it.
        size: longest side in pixels. A larger image is reduced to it, a smaller one kept; a miniature is drawn
            with this side (default 512).

    Returns:
        (H, W, 3) uint8.

    Raises:
        UserError: if the file is not an image, or the size is below 16.
    """
    if size is not None and size < 16:
        raise UserError(f"size={size}: expected at least 16 pixels")
    if (number := miniature_number(source)) is not None:
        return draw_miniature(number, 512 if size is None else size)
    if source.startswith("sklearn:"):
        from sklearn.datasets import load_sample_image

        image = Image.fromarray(load_sample_image(source.removeprefix("sklearn:") + ".jpg"))
    else:
        try:
            with open_picture(source) as file:
                image = file.convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise UserError(f"{source}: cannot be read as an image ({error})") from None
    if size is not None:
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)
