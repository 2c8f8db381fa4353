"""Whether the parts of a segmentation fit together: files of before there were checksums may be damaged anywhere."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from deepspec.segmentation.result import Segmentation


def check_sound(segmentation: Segmentation) -> None:
    """Compare the shapes of all parts, and the labels with the number of clusters and with their sizes.

    Raises:
        UserError: naming what contradicts what.
    """
    found, k = segmentation, segmentation.k
    labels = found.labels
    if labels.ndim != 2 or labels.dtype.kind != "i" or labels.size == 0:
        _refuse(f"labels are {labels.dtype} {labels.shape}, expected integers (rows, columns)")
    if labels.min() < -1 or labels.max() >= k:
        _refuse(f"labels are {labels.min()} to {labels.max()}, expected -1 to {k - 1}")
    counted = np.bincount(labels[labels >= 0].ravel(), minlength=k)
    if found.sizes.shape != (k,) or (counted != found.sizes).any():
        _refuse(f"clusters have {counted.tolist()} pixels, the file says {found.sizes.tolist()}")
    latent = found.centres.shape[-1]
    shapes: dict[str, tuple[int, ...]] = {
        "centres": (k, latent),
        "mean_raw": (k, found.axis.channels),
        **{f"total_{kind}": labels.shape for kind in ("raw", "reconstructed", "latent")},
        **dict.fromkeys(("mean_input", "mean_reconstructed", "decoded_centre"), (k, found.decoded_axis.channels)),
    }
    for name, shape in shapes.items():
        if getattr(found, name).shape != shape:
            _refuse(f"{name} has shape {getattr(found, name).shape}, expected {shape}")
    if found.latents is not None and found.latents.shape != (*labels.shape, latent):
        _refuse(f"latents have shape {found.latents.shape}, expected {(*labels.shape, latent)}")
    if found.scattered is not None and (
        found.scattered.shape != (found.axis.channels,) or found.scattered.dtype != np.bool_
    ):
        _refuse(f"scattered is {found.scattered.dtype} {found.scattered.shape}, expected bool ({found.axis.channels},)")
    if found.sample is not None:
        rows = {field.name: len(getattr(found.sample, field.name)) for field in fields(found.sample)}
        if len(set(rows.values())) > 1:
            _refuse(f"the parts of its sample have {rows} rows")


def _refuse(what: str) -> None:
    raise UserError(f"damaged segmentation: {what}")
