"""Lightning callbacks."""

from deepspec.training.clustering_callback import CollapseWarning, IKMeansCallback
from deepspec.training.epoch_line import EpochLine
from deepspec.training.loss_schedule import LossSchedule

__all__ = ["CollapseWarning", "EpochLine", "IKMeansCallback", "LossSchedule"]
