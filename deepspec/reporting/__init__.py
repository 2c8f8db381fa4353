"""Figures, exports and reports."""

from deepspec.lines import Candidate, LabelledPeak, Peak, find_peaks, label_clusters, label_peaks
from deepspec.reporting.confusion import confusion_matrix
from deepspec.reporting.degradation import degradation_curves, degraded_masks
from deepspec.reporting.figures import save_figures
from deepspec.reporting.generated import Generated, generate, generated_spectra
from deepspec.reporting.history import read_history, training_history
from deepspec.reporting.latents import latent_matrix
from deepspec.reporting.maps import integrated, label_map, masks
from deepspec.reporting.reference import masked_rgb, mean_colours, rgb_and_clustered
from deepspec.reporting.scores import silhouette_curve
from deepspec.reporting.spectra import averages_over_difference, cluster_rows, cluster_spectra
from deepspec.reporting.weights import layer_weights, trained_weights

__all__ = [
    "Candidate",
    "Generated",
    "LabelledPeak",
    "Peak",
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
