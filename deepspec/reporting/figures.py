"""The figures of a segmentation, in one table; `ReportFigure` says what an entry has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.files import METRICS
from deepspec.lines.label import label_clusters
from deepspec.reporting.curve_figures import silhouette_curve
from deepspec.reporting.figure_table import ReportFigure, figure_table, save_table
from deepspec.reporting.latent_figures import latent_matrix
from deepspec.reporting.line_map_files import draw_maps
from deepspec.reporting.map_figures import disagreement_map, integrated, label_map, masks
from deepspec.reporting.spectra_figures import averages_over_difference, cluster_bands, cluster_rows, cluster_spectra
from deepspec.reporting.training_figures import (
    generate,
    generated_spectra,
    layer_weights,
    trained_weights,
    training_history,
)
from deepspec.runs.folder import read_history

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from matplotlib.figure import Figure

    from deepspec.drawing import Scale
    from deepspec.lines.candidate import LabelledPeak
    from deepspec.reporting.training_figures import Generated
    from deepspec.segmentation import Segmentation


@dataclass(frozen=True, eq=False)
class FigureContext:
    """What a figure of a segmentation may be drawn from."""

    segmentation: Segmentation
    """What to show."""
    labels: Sequence[Sequence[LabelledPeak]]
    """Peaks of each cluster."""
    scale: Scale = "auto"
    """Of the intensities of spectra."""

    @property
    def checkpoint(self) -> str:
        """File of the model; empty where the segmentation was made without one, or with one in memory."""
        return self.segmentation.provenance.checkpoint

    @cached_property
    def generated(self) -> Generated | None:
        """Spectra drawn from the prior of the model; None if it is not variational."""
        return generate(self.segmentation, self.checkpoint)


def _line_maps(shown: FigureContext) -> Figure:
    assert shown.segmentation.line_maps is not None
    return draw_maps(shown.segmentation.line_maps)


def _generated_spectra(shown: FigureContext) -> Figure:
    assert shown.generated is not None
    return generated_spectra(shown.segmentation, shown.generated, shown.scale)


FIGURES = figure_table(
    "deepspec.figures",
    {
        "labels": ReportFigure("Label map", lambda shown: label_map(shown.segmentation)),
        "masks": ReportFigure("Mask of each cluster", lambda shown: masks(shown.segmentation)),
        "spectra": ReportFigure(
            "Mean measured, mean decoded and decoded mean spectrum of each cluster (equations 9, 8 and 10)",
            lambda shown: cluster_spectra(shown.segmentation, shown.scale, shown.labels),
        ),
        "statistics": ReportFigure(
            "Measured spectra of each cluster: mean, median, band of 5 to 95 % of its pixels, and maximum of all",
            lambda shown: cluster_bands(shown.segmentation, shown.scale),
            when=lambda shown: shown.segmentation.statistics is not None,
        ),
        "clusters": ReportFigure(
            "Mask, mean decoded and mean measured spectrum over the flattened cube (figures 4 and 9 of the paper)",
            lambda shown: cluster_rows(shown.segmentation, shown.scale),
        ),
        "integrated": ReportFigure(
            "Cube, decoded cube and latents, summed (figures 5 and 11)", lambda shown: integrated(shown.segmentation)
        ),
        "maps": ReportFigure(
            "Maps of the lines: elements with overlapping lines told apart, or flux, velocity and dispersion of gas",
            _line_maps,
            when=lambda shown: shown.segmentation.line_maps is not None,
        ),
        "silhouette": ReportFigure(
            "Silhouette of the pixels that were sampled to choose the number of clusters, in the latent space",
            lambda shown: silhouette_curve(shown.segmentation),
            when=lambda shown: shown.segmentation.k > 1 and shown.segmentation.k in shown.segmentation.scores,
            section="scores",
        ),
        "difference": ReportFigure(
            "The three averages over |measured - decoded| of the flattened cube (figure 10)",
            lambda shown: averages_over_difference(shown.segmentation, shown.scale),
            when=lambda shown: shown.segmentation.sample is not None,
        ),
        "latents": ReportFigure(
            "Latent points of a sample of pixels",
            lambda shown: latent_matrix(shown.segmentation),
            when=lambda shown: shown.segmentation.latents is not None,
        ),
        "disagreement": ReportFigure(
            "Stability under retraining: share of the networks that put a pixel into another cluster",
            lambda shown: disagreement_map(shown.segmentation),
            when=lambda shown: shown.segmentation.disagreement is not None,
        ),
        "training": ReportFigure(
            "Training: losses, weights beta and gamma, learning rate, clusters",
            lambda shown: training_history(read_history(history_file(Path(shown.checkpoint)))),
            export="training",
        ),
        "weights": ReportFigure(
            "Weights of each layer before and after training",
            lambda shown: layer_weights(*trained_weights(shown.checkpoint)),
            export="training",
        ),
        "generated": ReportFigure(
            "Spectra drawn from the prior of the variational model, in the clusters that they fall into",
            _generated_spectra,
            when=lambda shown: shown.generated is not None,
            export="generated",
            missing="no generated spectra: the checkpoint's network is a plain autoencoder, which has no distribution "
            "to draw from; fit with --model.network.variational true",
        ),
    },
    sections=("scores",),
)
"""By the names of their files without suffix. Another package adds one by an entry point of the group
`deepspec.figures`, and a notebook by `FIGURES.register(name, ReportFigure(...))`: every command that writes a
segmentation then draws it, and its report shows it. Sections: `scores`, beside the numbers that chose K, or empty."""


def history_file(checkpoint: Path) -> Path:
    """`METRICS` beside a checkpoint, or one folder up, as for those in `checkpoints`; it may not exist."""
    beside = checkpoint.parent / METRICS
    return beside if beside.is_file() else checkpoint.parent.parent / METRICS


def save_figures(
    segmentation: Segmentation,
    out: str | Path,
    scale: Scale = "auto",
    *,
    labels: Sequence[Sequence[LabelledPeak]] | None = None,
    formats: Sequence[str] = ("png",),
    exports: Collection[str] = (),
) -> list[Path]:
    """Draw every figure that the segmentation has something to show in.

    Args:
        segmentation: what to show.
        out: an existing folder; earlier figures in it are replaced.
        scale: of the intensities of spectra.
        labels: peaks of each cluster, if they have been worked out already.
        formats: png, svg, pdf, one file each.
        exports: of `deepspec.reporting.outputs.EXPORTS`: those that figures of the table are drawn for.

    Returns:
        The files written.

    Raises:
        UserError: the checkpoint or its metrics.csv, which exports need, cannot be read.
    """
    if labels is None:
        labels = label_clusters(segmentation.mean_raw, segmentation.axis)
    return save_table(FIGURES, FigureContext(segmentation, labels, scale), Path(out), formats, exports)
