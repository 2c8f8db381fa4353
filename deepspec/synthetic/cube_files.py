"""Write synthetic cubes, of scanners and of nebulae, as HDF5 with their ground truth, and a picture of each."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from deepspec.data.cube_file import TRAINING, compression, cube_file
from deepspec.files import complete_or_absent
from deepspec.synthetic.nebula_image import CLASS_COLOURS
from deepspec.synthetic.nebular_models import CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.synthetic.degradation import Degraded
    from deepspec.synthetic.nebulae import NebularCube
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


def write_nebular_cube(path: Path, cube: NebularCube, attributes: Mapping[str, str | int | float]) -> None:
    """Write a cube to an HDF5 file, which appears under its name when complete.

    Datasets: `img` and, without noise, `clean` (H, W, C) float32, `axis` (C,) with attribute `unit`, `label` (H, W)
    with attribute `classes`, `source` and `amplitude` (H, W), `spectra` (S, C), `weights` (S, 4), `noise_sd` (C,) and
    `rgb` (H, W, 3).

    Args:
        path: name of the file; an existing one is replaced.
        cube: what to write.
        attributes: of the file.
    """
    blocks = [(slice(0, len(cube.data)), cube.data)]
    with cube_file(path, cube.data.shape, cube.data.dtype, cube.axis, blocks, attributes) as file:
        file.create_dataset("clean", data=cube.clean, chunks=file["img"].chunks, **compression())
        file.create_dataset("label", data=cube.labels, **compression())
        for name in ("source", "amplitude", "spectra", "rgb"):
            file.create_dataset(name, data=getattr(cube, name), **compression())
        file["weights"] = cube.weights
        for name in ("label", "weights"):
            file[name].attrs["classes"] = list(CLASSES)
        file["noise_sd"] = cube.noise_sd


def write_degraded(
    path: Path,
    degraded: Degraded,
    axis: SpectralAxis,
    labels: NDArray[Any] | None,
    attributes: Mapping[str, str | int | float],
) -> None:
    """Write a cube with added noise: `img` (H, W, C) float32, `axis`, `label` if there is one, attributes.

    Args:
        path: name of the file; an existing one is replaced.
        degraded: what to write; its numbers become attributes.
        axis: of the cube.
        labels: (H, W) ground truth of the cube that noise was added to.
        attributes: more, of the file.
    """
    names = ("level", "achieved", "psnr", "psnr_before", "added_sd")
    metadata = {**attributes, **{name: getattr(degraded, name) for name in names}}
    blocks = [(slice(0, len(degraded.data)), degraded.data)]
    with cube_file(path, degraded.data.shape, degraded.data.dtype, axis, blocks, metadata) as file:
        if labels is not None:
            file.create_dataset("label", data=labels, **compression())


def write_nebular_preview(path: Path, cube: NebularCube) -> None:
    """Write a PNG of the image, its classes in their colours, and the cube summed over wavelength."""
    classes = (255 * CLASS_COLOURS).astype(np.uint8)[cube.labels]
    total = cube.data.sum(axis=2)
    low, high = np.percentile(total, [1, 99])
    grey = (255 * np.clip((total - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)
    picture = np.concatenate([cube.rgb, classes, np.repeat(grey[:, :, None], 3, axis=2)], axis=1)
    with complete_or_absent(path) as part:
        Image.fromarray(picture).save(part, format="PNG")
