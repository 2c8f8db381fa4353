"""Physical generators of spectral datacubes with known ground truth."""

from deepspec.synthetic.pigments import PigmentTable, load_pigments
from deepspec.synthetic.xrf import SyntheticScan, xrf_cube

__all__ = ["PigmentTable", "SyntheticScan", "load_pigments", "xrf_cube"]
