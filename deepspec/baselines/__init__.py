"""What a user would try instead of a deep network, through the same door: raw spectra, PCA, NMF, UMAP, colours."""

from typing import TYPE_CHECKING

from deepspec.lazy_names import lazy_names

if TYPE_CHECKING:
    from deepspec.baselines.fitting import Baseline, fit_baseline, segment_by_baseline
    from deepspec.baselines.model import BaselineModel
    from deepspec.baselines.options import METHODS, BaselineOptions, Method

__all__ = [
    "METHODS",
    "Baseline",
    "BaselineModel",
    "BaselineOptions",
    "Method",
    "fit_baseline",
    "segment_by_baseline",
]

__getattr__ = lazy_names(
    __name__,
    {
        "METHODS": "deepspec.baselines.options",
        "Baseline": "deepspec.baselines.fitting",
        "BaselineModel": "deepspec.baselines.model",
        "BaselineOptions": "deepspec.baselines.options",
        "Method": "deepspec.baselines.options",
        "fit_baseline": "deepspec.baselines.fitting",
        "segment_by_baseline": "deepspec.baselines.fitting",
    },
)
