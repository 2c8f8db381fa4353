"""Physical generators of spectral datacubes with known ground truth."""

from deepspec.synthetic.degradation import degrade
from deepspec.synthetic.nebulae import NebularCube, nebular_cube
from deepspec.synthetic.nebular_spectra import NebularSpectra, Observation
from deepspec.synthetic.pigments import PigmentTable, load_pigments
from deepspec.synthetic.xrf import SyntheticScan, xrf_cube

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
