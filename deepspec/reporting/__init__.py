"""Figures and reports."""

from deepspec.reporting.figures import save_figures
from deepspec.reporting.maps import integrated, label_map, masks
from deepspec.reporting.scores import silhouette_curve
from deepspec.reporting.spectra import cluster_rows, cluster_spectra

__all__ = [
    "cluster_rows",
    "cluster_spectra",
    "integrated",
    "label_map",
    "masks",
    "save_figures",
    "silhouette_curve",
]
