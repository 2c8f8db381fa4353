"""Write a synthetic scan as an HDF5 cube with its ground truth, and a picture of it."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from deepspec.data.complete_file import complete_or_absent
from deepspec.data.cube_file import TRAINING, compression, cube_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.synthetic.xrf import SyntheticScan


def write_scan(
    path: Path,
    scan: SyntheticScan,
    attributes: Mapping[str, str | int | float],
    mask: NDArray[np.bool_] | None = None,
) -> None:
    """Write a scan to an HDF5 file, which appears under its name when complete.

    Datasets: `img` (H, W, C) uint16, `axis` (C,) with attribute `unit`, `label` (H, W), `rgb` (H, W, 3),
    `weights` (K, P) with attribute `pigments`, `rates` (K, C), and, where there are any, `pixel_weights` (H, W, P)
    and `mask` (H, W).

    Args:
        path: name of the file; an existing one is replaced.
        scan: what to write.
        attributes: of the file, beside the ones the scan has itself.
        mask: (H, W) pixels that training may see; `ingest` takes these alone.
    """
    metadata = {**attributes, "fwhm_mn_ev": scan.fwhm_ev}
    blocks = [(slice(0, len(scan.counts)), scan.counts)]
    with cube_file(path, scan.counts.shape, scan.counts.dtype, scan.axis, blocks, metadata) as file:
        file.create_dataset("label", data=scan.labels, **compression())
        file.create_dataset("rgb", data=scan.rgb, **compression())
        file["weights"] = scan.weights
        file["weights"].attrs["pigments"] = list(scan.pigments)
        file["rates"] = scan.rates
        if scan.pixel_weights is not None:
            file.create_dataset("pixel_weights", data=scan.pixel_weights, **compression())
        if mask is not None:
            file.create_dataset("mask", data=mask, **compression())
            file["mask"].attrs["use"] = TRAINING


def write_preview(path: Path, scan: SyntheticScan) -> None:
    """Write a PNG of the image and, to its right, its clusters in colours of evenly spaced hues."""
    hues = [colorsys.hsv_to_rgb(k / len(scan.weights), 0.75, 0.9) for k in range(len(scan.weights))]
    labels = (255 * np.array(hues)).astype(np.uint8)[scan.labels]
    with complete_or_absent(path) as part:
        Image.fromarray(np.concatenate([scan.rgb, labels], axis=1)).save(part, format="PNG")
