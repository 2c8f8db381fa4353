"""Bring a reference to the size of a segmentation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from deepspec.evaluation.reference import Reference

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
