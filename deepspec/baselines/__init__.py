"""What a user would try instead of a deep network, through the same door: raw spectra, PCA, NMF, UMAP, colours."""

from deepspec.baselines.fitting import METHODS, Baseline, BaselineOptions, Method, fit_baseline, segment_by_baseline
from deepspec.baselines.model import BaselineModel

__all__ = [
    "METHODS",
    "Baseline",
    "BaselineModel",
    "BaselineOptions",
    "Method",
    "fit_baseline",
    "segment_by_baseline",
]
