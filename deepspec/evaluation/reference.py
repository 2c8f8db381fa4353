"""What a segmentation is compared with: a label map, another segmentation, or the colours of a picture.

A reference is brought to the size of the segmentation, and classes that the measurement cannot tell apart, as X-rays
two ochres or two organic reds, can be merged.

Shapes: H rows, W columns, R classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepspec.data.arrays import read_array
from deepspec.data.pictures import as_bytes
from deepspec.errors import UserError
from deepspec.files import SEGMENTATION
from deepspec.segmentation.result import is_segmentation, read_segmentation
from deepspec.synthetic.rgb_clusters import cluster_colours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def read_mapping(path: str | Path) -> dict[str, list[str]]:
    """Read a YAML file of new names and the classes they take the place of: `iron earths: [4, 7]`.

    Raises:
        UserError: the file is missing or holds something else.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict) or not all(isinstance(old, list) and old for old in content.values()):
        raise UserError(f"{path}: expected lines of NEW: [OLD, OLD, ...], as in 'iron earths: [4, 7]'")
    return {str(new): [str(name) for name in old] for new, old in content.items()}


def merge_classes(reference: Reference, mapping: Mapping[str, Sequence[str]]) -> Reference:
    """Give classes a common name; classes that are not named stay.

    Args:
        reference: its class names are what the mapping speaks of.
        mapping: new names and the classes that each takes the place of.

    Returns:
        The reference with fewer classes, and a note for each merger.

    Raises:
        UserError: a class is not there or is named twice, or a new name is already that of a class that stays.
    """
    new_names: dict[str, str] = {}
    for new, olds in mapping.items():
        for old in olds:
            if old not in reference.names:
                raise UserError(
                    f"mapping '{new}': there is no class '{old}' in {reference.source}; it has "
                    f"{', '.join(reference.names)}"
                )
            if old in new_names:
                raise UserError(f"mapping: class '{old}' is in '{new_names[old]}' and again in '{new}'")
            new_names[old] = new
    for name in reference.names:
        if name not in new_names and name in mapping:
            raise UserError(f"mapping: '{name}' is a class that is not in its own list; add it there, or rename")
    merged = [new_names.get(name, name) for name in reference.names]
    names = tuple(dict.fromkeys(merged))
    number = np.array([*(names.index(name) for name in merged), -1])  # the last for label -1
    notes = tuple(
        f"classes {', '.join(olds)} were merged into '{new}' before matching" for new, olds in mapping.items()
    )
    return replace(
        reference, labels=number[reference.labels], names=names, colours=None, notes=(*reference.notes, *notes)
    )


STRETCH = 0.02
"""Proportions that differ by more than this are worth a note."""


def fit_to_shape(reference: Reference, shape: tuple[int, int], *, resample: bool) -> Reference:
    """Take the nearest pixel of the reference for each of the segmentation's.

    Both are taken to show the same field of view, edge to edge; nothing is shifted or turned.

    Args:
        reference: of any size.
        shape: (H, W) of the segmentation.
        resample: whether a reference of another size may be resampled.

    Raises:
        UserError: the sizes differ and `resample` is not set.
    """
    own = reference.labels.shape
    if own == shape:
        return reference
    if not resample:
        if own == (shape[0], 2 * shape[1]):
            raise UserError(
                f"{reference.source} has {own[0]} x {own[1]} pixels, the segmentation {shape[0]} x {shape[1]}, half as "
                "wide: it looks like two pictures side by side, as synthesize draws the image and its clusters; give "
                "one map, such as the synthetic scan's own labels, NAME.h5:label"
            )
        hint = "turn it by 90 degrees" if own == shape[::-1] else "--resample true takes the nearest pixels"
        raise UserError(
            f"{reference.source} has {own[0]} x {own[1]} pixels, the segmentation {shape[0]} x {shape[1]}: "
            f"{hint}, if both show the same field of view"
        )
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for old, new in zip(own, shape, strict=True)
    )
    notes = [f"the reference was resampled from {own[0]} x {own[1]} to {shape[0]} x {shape[1]} pixels (nearest)"]
    stretch = (own[1] / own[0]) / (shape[1] / shape[0])
    if abs(np.log(stretch)) > STRETCH:
        notes.append(
            f"width to height of the reference is {stretch:.2f} times that of the segmentation: it was stretched"
        )
    nearest = np.ix_(rows, columns)
    return replace(
        reference,
        labels=reference.labels[nearest],
        picture=None if reference.picture is None else reference.picture[nearest],
        notes=(*reference.notes, *notes),
    )


Kind = Literal["auto", "image", "labels"]

PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"}

MOST_CLASSES = 256
"""More different values than this are no label map."""

FEW_COLOURS = 32
"""A colour image with no more colours than this is likely a label map."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A map of classes."""

    labels: NDArray[np.int64]
    """(H, W), 0 to R - 1, or -1 for the pixels that have no class."""
    names: tuple[str, ...]
    """Names of the classes: their value in the file, or "colour 0" and so on."""
    source: str
    """Where it was read from."""
    kind: Literal["labels", "segmentation", "image"]
    """What it was."""
    colours: NDArray[np.float64] | None = None
    """(R, 3) mean sRGB in [0, 1] of each class of an image."""
    scores: dict[int, float] | None = None
    """Silhouette of each K tried on the colours of an image."""
    picture: NDArray[np.uint8] | None = None
    """(H, W, 3) sRGB of an image."""
    notes: tuple[str, ...] = ()
    """What was done to it, in sentences."""


def read_reference(
    source: str | Path,
    *,
    kind: Kind = "auto",
    ignore: int | None = None,
    k: tuple[int, int] = (3, 10),
    seed: int = 0,
) -> Reference:
    """Read a reference; the colours of an image are clustered by iterative K-means, as in the paper.

    Args:
        source: a picture (PNG, JPEG, TIFF and so on), a segmentation (its folder or file), or a NPY, NPZ, HDF5, FITS
            or MATLAB file, followed by `:KEY` where it holds more than one array. Pictures with a palette or in grey
            are label maps, whose values are the classes, and colour ones are images.
        kind: how to take it, where that is a wrong guess: image, or labels, where each colour is a class.
        ignore: value of a label map that means no class, besides -1 and NaN; others below -1 are refused.
        k: fewest and most clusters of colours.
        seed: of the clustering of colours.

    Raises:
        UserError: the file cannot be read, is neither, or has no class.
    """
    path = Path(source)
    if (path / SEGMENTATION).is_file():
        path = path / SEGMENTATION
    if path.is_file() and is_segmentation(path):
        found = read_segmentation(path)
        return _of_labels(found.labels, None, str(source), "segmentation", ())
    array = _load_picture(path, as_image=kind == "image") if _is_picture(path) else read_array(source, "the reference")
    array = array.squeeze() if array.ndim > 3 else array
    if array.ndim == 3 and array.shape[2] in (3, 4):
        rgb = as_bytes(array[..., :3], source)
        if kind == "labels":
            return _of_coloured_labels(rgb, source)
        return _of_image(rgb, source, k, seed, may_be_labels=kind == "auto")
    if kind == "image":
        raise UserError(f"{source}: expected an image (H, W, 3), got an array of shape {array.shape}")
    array = array if array.ndim == 2 else array.squeeze()  # a map of one line keeps its two dimensions
    if array.ndim != 2:
        raise UserError(
            f"{source}: expected a label map (H, W) or an image (H, W, 3), got an array of shape {array.shape}"
        )
    return _of_labels(array, ignore, str(source), "labels", ())


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES and path.is_file()


def _load_picture(path: Path, *, as_image: bool) -> NDArray[Any]:
    from PIL import UnidentifiedImageError

    from deepspec.data.pictures import open_picture

    try:
        with open_picture(path) as picture:
            plain = picture.mode in ("P", "1", "L", "I", "F") or picture.mode.startswith("I;")
            if as_image or not plain:
                return np.asarray(picture.convert("RGB"))
            return np.asarray(picture)
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{path}: cannot be read as a picture ({error})") from None


def _of_image(
    rgb: NDArray[np.uint8], source: str | Path, k: tuple[int, int], seed: int, *, may_be_labels: bool
) -> Reference:
    found = cluster_colours(rgb, k, seed=seed)
    tried = f"{min(found.scores)} to {max(found.scores)}" if found.scores else str(found.k)
    notes = [f"the colours of {source} were clustered by iterative K-means: K = {found.k} of {tried}"]
    if may_be_labels and (few := len(_colours(rgb)[0])) <= FEW_COLOURS:
        notes.append(f"the image has only {few} colours: if each is a class, give --kind labels")
    names = tuple(f"colour {i}" for i in range(found.k))
    labels = found.labels.astype(np.int64)
    return Reference(labels, names, str(source), "image", found.colours, found.scores, rgb, tuple(notes))


def _colours(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct colours as numbers 0xRRGGBB, and (H, W) which each pixel has."""
    packed = rgb.astype(np.int64) @ np.array([65536, 256, 1])
    colours, inverse = np.unique(packed, return_inverse=True)
    return colours, inverse.reshape(packed.shape)


def _of_coloured_labels(rgb: NDArray[np.uint8], source: str | Path) -> Reference:
    colours, labels = _colours(rgb)
    _check_number(len(colours), "colours", source)
    return Reference(labels, tuple(f"#{colour:06x}" for colour in colours), str(source), "labels")


def _of_labels(
    values: NDArray[Any],
    ignore: int | None,
    source: str,
    kind: Literal["labels", "segmentation"],
    notes: tuple[str, ...],
) -> Reference:
    if values.dtype.kind == "f":
        known = np.isfinite(values)
        if not np.array_equal(values[known], np.round(values[known])):
            raise UserError(f"{source}: expected whole numbers as labels, got {values.dtype} with fractions")
        values = np.where(known, values, -1)
    elif values.dtype.kind not in "iub":
        raise UserError(f"{source}: expected numbers as labels, got {values.dtype}")
    values = values.astype(np.int64)
    below = values < -1 if ignore is None else (values < -1) & (values != ignore)
    if below.any():
        lowest = int(values[below].min())
        raise UserError(
            f"{source}: expected classes from 0 on and -1 for none, got {lowest} in "
            f"{np.count_nonzero(values == lowest)} pixels; if it means no class, give --ignore {lowest}"
        )
    known = (values >= 0) & (values != ignore) if ignore is not None else values >= 0
    if not known.any():
        raise UserError(f"{source}: expected at least one pixel with a label, got only -1 and what is ignored")
    classes, inverse = np.unique(values[known], return_inverse=True)
    _check_number(len(classes), "values", source)
    labels = np.full(values.shape, -1, dtype=np.int64)
    labels[known] = inverse
    return Reference(labels, tuple(map(str, classes.tolist())), source, kind, notes=notes)


def _check_number(found: int, what: str, source: str | Path) -> None:
    if found > MOST_CLASSES:
        raise UserError(
            f"{source}: {found} different {what} are too many for a label map (at most {MOST_CLASSES}); "
            "if it is a picture, give --kind image"
        )
