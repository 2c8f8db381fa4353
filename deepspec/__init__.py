"""Deep clustering of spectral datacubes: what in an image is the same stuff, from its spectra alone.

The public names are loaded when they are first used, because torch and Lightning take seconds to import and most
commands need only one of them.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from deepspec.lazy_names import lazy_names

if TYPE_CHECKING:
    from deepspec import functional, metrics, synthetic
    from deepspec.automatic.estimator import DeepSpectralClustering
    from deepspec.automatic.segmenting import auto_segment
    from deepspec.axis import SpectralAxis
    from deepspec.baselines import segment_by_baseline
    from deepspec.data.cube import SpectralCube, read_cube
    from deepspec.data.shards.datamodule import SpectraDataModule
    from deepspec.evaluation import evaluate_segmentation, read_reference
    from deepspec.line_maps import LineMaps, map_lines
    from deepspec.models import SpectralModel
    from deepspec.segmentation import Segmentation, relabel_segmentation, segment_cube
    from deepspec.training.module import DeepClustering
    from deepspec.training.run import Run, train

__version__ = "0.1.0"

# Threads of torch that wait for work spin unless this says otherwise, and beside any other busy process a training step
# then takes ten times as long. OpenMP reads it once, when torch is loaded: later it would mislead whoever looks at it.
if "torch" not in sys.modules:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    "DeepClustering": "deepspec.training.module",
    "DeepSpectralClustering": "deepspec.automatic.estimator",
    "LineMaps": "deepspec.line_maps",
    "Run": "deepspec.training.run",
    "Segmentation": "deepspec.segmentation",
    "SpectraDataModule": "deepspec.data.shards.datamodule",
    "SpectralAxis": "deepspec.axis",
    "SpectralCube": "deepspec.data.cube",
    "SpectralModel": "deepspec.models",
    "auto_segment": "deepspec.automatic.segmenting",
    "evaluate_segmentation": "deepspec.evaluation",
    "functional": __name__,
    "map_lines": "deepspec.line_maps",
    "metrics": __name__,
    "read_cube": "deepspec.data.cube",
    "read_reference": "deepspec.evaluation",
    "relabel_segmentation": "deepspec.segmentation",
    "segment_by_baseline": "deepspec.baselines",
    "segment_cube": "deepspec.segmentation",
    "synthetic": __name__,
    "train": "deepspec.training.run",
}

_PARTS = (
    "baselines",
    "clustering",
    "data",
    "errors",
    "evaluation",
    "lines",
    "models",
    "preprocess",
    "reporting",
    "segmentation",
    "training",
)
_HOME |= dict.fromkeys(_PARTS, __name__)  # public ones, as deepspec.errors.UserError, though not by `import *`

__all__ = [
    "DeepClustering",
    "DeepSpectralClustering",
    "LineMaps",
    "Run",
    "Segmentation",
    "SpectraDataModule",
    "SpectralAxis",
    "SpectralCube",
    "SpectralModel",
    "auto_segment",
    "evaluate_segmentation",
    "functional",
    "map_lines",
    "metrics",
    "read_cube",
    "read_reference",
    "relabel_segmentation",
    "segment_by_baseline",
    "segment_cube",
    "synthetic",
    "train",
]


__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
