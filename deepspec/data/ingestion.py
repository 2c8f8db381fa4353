"""Turn cubes into a set of shuffled shards: which pixels go where, and as what type.

Whole images, or square blocks of one image, are shared out among train, val and test.

Shapes: H rows, W columns, C channels, n rows of a block.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepspec.data.neighbours import NeighbourSample
from deepspec.data.pixels import FiniteChannels, dead_pixels
from deepspec.data.rebin import rebin
from deepspec.data.shards.writer import SPLITS, ShardWriter
from deepspec.data.spectra_file import SpectraTable
from deepspec.errors import UserError
from deepspec.notes import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.data.cube import SpectralCube
    from deepspec.data.shards.manifest import ShardSet


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


By = Literal["image", "block", "name"]

SPLIT = (0.8, 0.1, 0.1)
"""Fractions of train, val and test where none are given."""


@dataclass(frozen=True)
class IngestPlan:
    """How cubes become shards.

    Attributes:
        split: fractions of train, val and test.
        by: whether whole images or square blocks of each image are assigned to splits at random, or whole images by
            their names. A table of spectra counts as an image, and its blocks are runs of rows.
        keep: fraction of the valid pixels to keep, chosen at random.
        rebin: whether cubes on another axis are brought onto that of the first.
        seed: of every random choice.

    Raises:
        UserError: if a fraction is out of range.
    """

    split: tuple[float, float, float] = SPLIT
    by: By = "block"
    keep: float = 1.0
    rebin: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_fractions(self.split)
        if not 0 < self.keep <= 1:
            raise UserError(f"keep is {self.keep:g}, expected a fraction above 0 and up to 1")


def ingest_cubes(
    cubes: Sequence[SpectralCube],
    out_dir: Path,
    plan: IngestPlan,
    *,
    rows_per_shard: int = 2**18,
    overwrite: bool = False,
    progress: Callable[[str, int], None] | None = None,
    reading: Mapping[str, Any] | None = None,
) -> ShardSet:
    """Write the spectra of all valid, living pixels into shuffled shards.

    Integers from 0 to 65535 are stored as uint16, all else as float32. The rows' `pixel` is number of the cube, y, x;
    for a table of spectra y, x are where it says they came from, else row number and 0.

    A sample of pairs of neighbouring training pixels is kept beside them (`ShardSet.read_neighbours`); `keep` does not
    thin these.

    Args:
        cubes: open cubes with matching axes, unless the plan rebins.
        out_dir: folder for the shards.
        plan: splits and choices.
        rows_per_shard: see `ShardWriter`.
        overwrite: see `ShardWriter`.
        progress: called with "read" or "write" and a number of pixels dealt with.
        reading: how the cubes were read, see `record_reading`, to be kept with the shards.

    Raises:
        UserError: if two axes differ, a cube has no usable pixel, or the folder is not empty.
    """
    axis = cubes[0].axis
    check_axes(cubes, plan.rebin)
    split_maps = _split_maps(cubes, plan)
    sources = [
        {"path": str(c.path), "rows": c.shape[0], "columns": c.shape[1], "dtype": c.dtype.name}
        | ({"name": c.name} if isinstance(c, SpectraTable) else {})
        for c in cubes
    ]
    parameters: dict[str, Any] = {"split": list(plan.split), "by": plan.by, "keep": plan.keep, "rebin": plan.rebin}
    if reading is not None:
        parameters["reading"] = dict(reading)
    neighbours = NeighbourSample(axis.channels, plan.seed)
    rebinned = any(not axis.matches(cube.axis) for cube in cubes)
    with ShardWriter(
        out_dir,
        axis,
        "float32" if rebinned else storage_type(cubes),
        plan.seed,
        rows_per_shard=rows_per_shard,
        sources=sources,
        parameters=parameters,
        overwrite=overwrite,
    ) as writer:
        for number, (cube, split_HW) in enumerate(zip(cubes, split_maps, strict=True)):
            neighbours.begin(number, None if axis.matches(cube.axis) else partial(_on_axis, cube=cube, axis=axis))
            pairs = None if isinstance(cube, SpectraTable) else neighbours  # its rows are no image
            for spectra, y, x in _usable_pixels(cube, number, plan, pairs, split_HW == 0, progress):
                split = split_HW[y, x]
                if isinstance(cube, SpectraTable) and cube.places is not None:
                    y, x = cube.places[y].astype(np.int64).T
                _write(writer, _on_axis(spectra, cube, axis), number, y, x, split)
        if neighbours.pairs is not None:
            writer.write_neighbours(neighbours.pairs)
        return writer.close(None if progress is None else lambda _, rows: progress("write", rows))


def check_axes(cubes: Sequence[SpectralCube], rebin: bool) -> None:
    """Refuse cubes whose axes differ by more than a tenth of a channel, unless they are to be rebinned.

    Raises:
        UserError: naming both cubes and the difference.
    """
    for cube in cubes[1:]:
        difference = cubes[0].axis.difference(cube.axis)
        if difference and not rebin:
            raise UserError(
                f"the axes of {cubes[0].path} and {cube.path} differ: {difference}; "
                "give rebin=true to bring all onto the first, or axis to correct a wrong one"
            )


def storage_type(cubes: Sequence[SpectralCube]) -> str:
    """Return "uint16" if every value of every cube is an integer from 0 to 65535, else "float32".

    Only cubes whose type leaves it open are read for this. Integers that single precision cannot tell apart are said.
    """
    for cube in cubes:
        if cube.dtype.kind == "f":
            return "float32"
    for cube in cubes:
        if np.can_cast(cube.dtype, np.uint16):
            continue
        for rows, x_nWC in cube.blocks(cube.block_pixels):
            x_NC = x_nWC[cube.mask[rows]]
            if x_NC.size and (x_NC.min() < 0 or x_NC.max() > 65535):
                _say_rounded(cubes)
                return "float32"
    return "uint16"


def _say_rounded(cubes: Sequence[SpectralCube]) -> None:
    """Print which cubes have integers beyond 2^24, where single precision rounds to multiples of two and more."""
    for cube in cubes:
        if np.can_cast(cube.dtype, np.float32) or cube.dtype.kind not in "iu":
            continue
        largest = max(
            (int(np.abs(x_nWC.astype(np.float64)).max(initial=0)) for _, x_nWC in cube.blocks(cube.block_pixels)),
            default=0,
        )
        if largest > 2**24:
            note(
                f"{cube.path}: integers up to {largest} are rounded to single precision, seven digits: "
                f"by up to {largest / 2**24:.0f}"
            )


def _split_maps(cubes: Sequence[SpectralCube], plan: IngestPlan) -> list[NDArray[np.int8]]:
    """For each cube the split of each pixel, (H, W)."""
    if plan.by != "block":
        by_name = plan.by == "name"
        of_image = (
            split_names([_name(c) for c in cubes]) if by_name else split_images(len(cubes), plan.split, plan.seed)
        )
        return [np.full(cube.mask.shape, split, np.int8) for cube, split in zip(cubes, of_image, strict=True)]
    return [split_blocks(cube.mask, plan.split, (plan.seed, i)) for i, cube in enumerate(cubes)]


def _name(cube: SpectralCube) -> str:
    """File and, within a file of several tables, name: one of them may say which split a cube belongs to."""
    file = "" if cube.path is None else cube.path.stem
    return f"{file}/{cube.name}" if isinstance(cube, SpectraTable) else file


def _usable_pixels(
    cube: SpectralCube,
    number: int,
    plan: IngestPlan,
    neighbours: NeighbourSample | None,
    train_HW: NDArray[np.bool_],
    progress: Callable[[str, int], None] | None,
) -> Iterator[tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]]:
    """Spectra (n, C) with their y and x: valid by the mask, not dead, and drawn if only a fraction is kept.

    Those of the training split pass by `neighbours`, whether they are drawn or not.
    """
    wanted = cube.mask.copy()
    if plan.keep < 1:
        wanted &= np.random.default_rng((plan.seed, number)).random(wanted.shape) < plan.keep
    finite, found = FiniteChannels(cube.axis.channels), 0
    for rows, x_nWC in cube.blocks(cube.block_pixels):
        dead = dead_pixels(x_nWC)
        finite.add(x_nWC, dead)
        if neighbours is not None:
            neighbours.add(x_nWC, cube.mask[rows] & train_HW[rows] & ~dead, rows.start)
        y, x = np.nonzero(wanted[rows] & ~dead)
        found += len(y)
        yield x_nWC[y, x], y + rows.start, x
        if progress is not None:
            progress("read", dead.size)
    if not found:
        raise UserError(f"{cube.path}: no pixel has a usable spectrum{finite.explain()}")


def _on_axis(x_NC: NDArray[Any], cube: SpectralCube, axis: SpectralAxis) -> NDArray[Any]:
    if axis.matches(cube.axis):
        return x_NC
    return rebin(x_NC, cube.axis, axis, counts=cube.dtype.kind in "iub")


def _write(
    writer: ShardWriter,
    spectra: NDArray[Any],
    number: int,
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    split: NDArray[np.int8],
) -> None:
    pixel = np.stack([np.full_like(y, number), y, x], axis=1).astype(np.int32)
    for code, name in enumerate(SPLITS):
        here = split == code
        writer.write(name, spectra[here], pixel[here])
