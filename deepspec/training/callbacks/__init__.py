"""Lightning callbacks."""

from deepspec.training.callbacks.ikmeans import CollapseWarning, IKMeansCallback
from deepspec.training.callbacks.loss_schedule import LossSchedule
from deepspec.training.callbacks.progress import EpochLine

__all__ = ["CollapseWarning", "EpochLine", "IKMeansCallback", "LossSchedule"]
