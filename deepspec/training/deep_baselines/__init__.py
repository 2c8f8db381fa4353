"""Published deep clustering methods on our encoder and data, to compare with: DCN, IDEC and VaDE."""

from deepspec.training.deep_baselines.build import build_deep_baseline
from deepspec.training.deep_baselines.config import DeepBaselineConfig
from deepspec.training.deep_baselines.epoch import start_epoch
from deepspec.training.deep_baselines.method import DeepBaseline
from deepspec.training.deep_baselines.run_checks import check_begun, check_run

__all__ = ["DeepBaseline", "DeepBaselineConfig", "build_deep_baseline", "check_begun", "check_run", "start_epoch"]
