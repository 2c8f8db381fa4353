"""All figures of a segmentation, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.lines.label import label_clusters
from deepspec.reporting.curve_figures import silhouette_curve
from deepspec.reporting.latent_figures import latent_matrix
from deepspec.reporting.map_figures import disagreement_map, integrated, label_map, masks
from deepspec.reporting.spectra_figures import averages_over_difference, cluster_rows, cluster_spectra
from deepspec.reporting.style import Scale, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from deepspec.lines.candidate import LabelledPeak
    from deepspec.segmentation import Segmentation

FIGURES = (
    "labels",
    "masks",
    "spectra",
    "clusters",
    "integrated",
    "silhouette",
    "difference",
    "latents",
)
"""Names of the files without their suffix; of an ensemble there is `disagreement` too."""


def save_figures(
    segmentation: Segmentation,
    out: str | Path,
    scale: Scale = "auto",
    *,
    labels: Sequence[Sequence[LabelledPeak]] | None = None,
    formats: Sequence[str] = ("png",),
) -> list[Path]:
    """Draw every figure that the segmentation has something to show in.

    Args:
        segmentation: what to show.
        out: an existing folder; earlier figures in it are replaced.
        scale: of the intensities of spectra.
        labels: peaks of each cluster, if they have been worked out already.
        formats: png, svg, pdf, one file each.

    Returns:
        The files written.
    """
    if labels is None:
        labels = label_clusters(segmentation.mean_raw, segmentation.axis)
    figures: dict[str, Figure] = {
        "labels": label_map(segmentation),
        "masks": masks(segmentation),
        "spectra": cluster_spectra(segmentation, scale, labels),
        "clusters": cluster_rows(segmentation, scale),
        "integrated": integrated(segmentation),
    }
    if segmentation.k > 1 and segmentation.k in segmentation.scores:
        figures["silhouette"] = silhouette_curve(segmentation)
    if segmentation.sample is not None:
        figures["difference"] = averages_over_difference(segmentation, scale)
    if segmentation.latents is not None:
        figures["latents"] = latent_matrix(segmentation)
    if segmentation.disagreement is not None:
        figures["disagreement"] = disagreement_map(segmentation)
    paths = [Path(out) / f"{name}.{kind}" for kind in formats for name in figures]
    for path in paths:
        save_figure(figures[path.stem], path)
    return paths
