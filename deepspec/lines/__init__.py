"""Lines of X-ray and emission-line spectra: peaks, what they may be, and what they say about the axis."""

from deepspec.lines.calibration_fit import Calibration
from deepspec.lines.candidate import Candidate, LabelledPeak
from deepspec.lines.label import Identification, LineOptions, identify, label_clusters, label_peaks
from deepspec.lines.peaks import Peak, find_peaks
from deepspec.lines.sentences import refined_axis, sentences
from deepspec.lines.tube import scattered_channels, tube_limit

__all__ = [
    "Calibration",
    "Candidate",
    "Identification",
    "LabelledPeak",
    "LineOptions",
    "Peak",
    "find_peaks",
    "identify",
    "label_clusters",
    "label_peaks",
    "refined_axis",
    "scattered_channels",
    "sentences",
    "tube_limit",
]
