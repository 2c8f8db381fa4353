"""All figures of a segmentation, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.reporting.maps import integrated, label_map, masks
from deepspec.reporting.scores import silhouette_curve
from deepspec.reporting.spectra import cluster_rows, cluster_spectra
from deepspec.reporting.style import Scale, save_figure

if TYPE_CHECKING:
    from deepspec.segmentation import Segmentation


def save_figures(segmentation: Segmentation, out: str | Path, scale: Scale = "auto") -> list[Path]:
    """Draw every figure that the segmentation has something to show in.

    Args:
        segmentation: what to show.
        out: an existing folder; earlier figures in it are replaced.
        scale: of the intensities of spectra.

    Returns:
        The files written.
    """
    figures = {
        "labels.png": label_map(segmentation),
        "masks.png": masks(segmentation),
        "spectra.png": cluster_spectra(segmentation, scale),
        "clusters.png": cluster_rows(segmentation, scale),
        "integrated.png": integrated(segmentation),
    }
    if segmentation.scores:
        figures["silhouette.png"] = silhouette_curve(segmentation)
    paths = [Path(out) / name for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        save_figure(figure, path)
    return paths
