"""Synthetic datacubes with known ground truth, for tests, benchmarks and training without measurements.

Names are loaded when they are first used: reading the table of X-ray lines, for one, needs none of the generators.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepspec.synthetic.degradation import degrade
    from deepspec.synthetic.nebulae import NebularCube, nebular_cube
    from deepspec.synthetic.nebular_spectra import NebularSpectra, Observation
    from deepspec.synthetic.pigments import PigmentTable, load_pigments
    from deepspec.synthetic.xrf import SyntheticScan, xrf_cube

_HOME = {
    "NebularCube": "deepspec.synthetic.nebulae",
    "NebularSpectra": "deepspec.synthetic.nebular_spectra",
    "Observation": "deepspec.synthetic.nebular_spectra",
    "PigmentTable": "deepspec.synthetic.pigments",
    "SyntheticScan": "deepspec.synthetic.xrf",
    "degrade": "deepspec.synthetic.degradation",
    "load_pigments": "deepspec.synthetic.pigments",
    "nebular_cube": "deepspec.synthetic.nebulae",
    "xrf_cube": "deepspec.synthetic.xrf",
}

__all__ = [
    "NebularCube",
    "NebularSpectra",
    "Observation",
    "PigmentTable",
    "SyntheticScan",
    "degrade",
    "load_pigments",
    "nebular_cube",
    "xrf_cube",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'deepspec.synthetic' has no attribute {name!r}")
