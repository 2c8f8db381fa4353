"""Share images, or square blocks of one image, out among train, val and test.

Shapes: H rows, W columns.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from deepspec.data.shard_writer import SPLITS
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_SPLIT_WORDS = ({"train", "training"}, {"val", "valid", "validation"}, {"test", "testing"})


def check_fractions(fractions: Sequence[float]) -> None:
    """Refuse fractions of train, val and test that are negative, have no train, or do not add up to 1.

    Raises:
        UserError: if so.
    """
    good = len(fractions) == 3 and min(fractions) >= 0 and math.isclose(sum(fractions), 1, abs_tol=1e-6)
    if not good or fractions[0] == 0:
        shown = " ".join(f"{f:g}" for f in fractions)
        raise UserError(f"split {shown}: expected three fractions of train, val and test that add up to 1")


def split_images(images: int, fractions: Sequence[float], seed: int) -> list[int]:
    """Assign whole images to splits at random.

    Args:
        images: number of images, at least one per fraction above zero.
        fractions: shares of train, val and test, adding up to 1; each above zero gets at least one image.
        seed: of the draw.

    Returns:
        For each image 0 for train, 1 for val, 2 for test.

    Raises:
        UserError: if there are fewer images than splits.

    >>> split_images(5, (0.6, 0.2, 0.2), seed=0)
    [1, 2, 0, 0, 0]
    """
    wanted = [i for i, fraction in enumerate(fractions) if fraction > 0]
    if images < len(wanted):
        names = ", ".join(SPLITS[i] for i in wanted)
        raise UserError(f"{images} images cannot be split into {names} by image: give more, or by=block")
    counts = [int(fraction > 0) for fraction in fractions]
    while sum(counts) < images:
        missing = [fraction * images - count for fraction, count in zip(fractions, counts, strict=True)]
        counts[int(np.argmax(missing))] += 1
    result = np.empty(images, dtype=int)
    result[np.random.default_rng(seed).permutation(images)] = np.repeat(range(len(counts)), counts)
    return result.tolist()


def split_names(names: Sequence[str]) -> list[int]:
    """Assign images to splits by their names, which must say it: a word train, val or test, or a longer form of it.

    Args:
        names: of files, or of tables in a file.

    Returns:
        For each name 0 for train, 1 for val, 2 for test.

    Raises:
        UserError: if a name says none or several of them, or none says train.

    >>> split_names(["xrf_train_1", "Training", "validation", "test-set"])
    [0, 0, 1, 2]
    """
    result = []
    for name in names:
        words = set(re.findall("[a-z]+", name.lower()))
        found = [split for split, forms in enumerate(_SPLIT_WORDS) if words & forms]
        if len(found) != 1:
            raise UserError(f"by=name: expected one of the words {', '.join(SPLITS)} in the name '{name}'")
        result += found
    if 0 not in result:
        raise UserError(f"by=name: no name says train: {', '.join(names)}")
    return result


def split_blocks(mask_HW: NDArray[np.bool_], fractions: Sequence[float], seed: Sequence[int]) -> NDArray[np.int8]:
    """Assign square blocks of an image to splits at random.

    Blocks have 32 pixels a side, fewer in images of less than 100 such blocks, so that the fractions are met.

    Args:
        mask_HW: (H, W) bool, valid pixels: the fractions count these.
        fractions: shares of train, val and test, adding up to 1.
        seed: of the draw.

    Returns:
        (H, W) int8: 0 for train, 1 for val, 2 for test.
    """
    rows, columns = mask_HW.shape
    side = min(max(math.isqrt(rows * columns // 100), 1), 32)
    tile_rows, tile_columns = np.arange(rows) // side, np.arange(columns) // side
    tile_HW = tile_rows[:, None] * (tile_columns[-1] + 1) + tile_columns
    weights = np.bincount(tile_HW[mask_HW], minlength=tile_HW[-1, -1] + 1)
    order = np.random.default_rng(seed).permutation(len(weights))
    middle = (np.cumsum(weights[order]) - weights[order] / 2) / max(weights.sum(), 1)
    split_of_tile = np.empty(len(weights), dtype=np.int8)
    split_of_tile[order] = np.searchsorted(np.cumsum(fractions)[:-1], middle, side="right")
    return np.asarray(split_of_tile[tile_HW])
