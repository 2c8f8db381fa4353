"""Figures, exports and reports."""

from deepspec.lines import Candidate, LabelledPeak, Peak, find_peaks, label_clusters, label_peaks
from deepspec.reporting.agreement_figures import confusion_matrix
from deepspec.reporting.curve_figures import degradation_curves, degraded_masks, silhouette_curve
from deepspec.reporting.evaluation import EVALUATION_FIGURES, SERIES_FIGURES
from deepspec.reporting.figure_table import ReportFigure
from deepspec.reporting.figures import FIGURES, FigureContext, save_figures
from deepspec.reporting.latent_figures import latent_matrix
from deepspec.reporting.map_figures import integrated, label_map, masks
from deepspec.reporting.outputs import EXPORTS, Export, ExportContext
from deepspec.reporting.reference_figures import masked_rgb, mean_colours, rgb_and_clustered
from deepspec.reporting.spectra_figures import averages_over_difference, cluster_rows, cluster_spectra
from deepspec.reporting.training_figures import (
    TRAINING_FIGURES,
    Generated,
    generate,
    generated_spectra,
    layer_weights,
    trained_weights,
    training_history,
)
from deepspec.runs.folder import read_history

__all__ = [
    "EVALUATION_FIGURES",
    "EXPORTS",
    "FIGURES",
    "SERIES_FIGURES",
    "TRAINING_FIGURES",
    "Candidate",
    "Export",
    "ExportContext",
    "FigureContext",
    "Generated",
    "LabelledPeak",
    "Peak",
    "ReportFigure",
    "averages_over_difference",
    "cluster_rows",
    "cluster_spectra",
    "confusion_matrix",
    "degradation_curves",
    "degraded_masks",
    "find_peaks",
    "generate",
    "generated_spectra",
    "integrated",
    "label_clusters",
    "label_map",
    "label_peaks",
    "latent_matrix",
    "layer_weights",
    "masked_rgb",
    "masks",
    "mean_colours",
    "read_history",
    "rgb_and_clustered",
    "save_figures",
    "silhouette_curve",
    "trained_weights",
    "training_history",
]
