"""Write a nebular cube, or one with noise added, as HDF5 with its ground truth, and a picture of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from deepspec.data.complete_file import complete_or_absent
from deepspec.data.cube_file import compression, cube_file
from deepspec.synthetic.nebula_image import CLASS_COLOURS
from deepspec.synthetic.nebular_models import CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis
    from deepspec.synthetic.degradation import Degraded
    from deepspec.synthetic.nebulae import NebularCube


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
