"""How good is a segmentation: against a reference, in itself, and from one refit to the next."""

from deepspec.evaluation.origin import scores_in_input_space
from deepspec.evaluation.pipeline import evaluate_segmentation
from deepspec.evaluation.reference import Reference, fit_to_shape, merge_classes, read_mapping, read_reference
from deepspec.evaluation.result import Evaluation, Internal
from deepspec.evaluation.series import compare_segmentations

__all__ = [
    "Evaluation",
    "Internal",
    "Reference",
    "compare_segmentations",
    "evaluate_segmentation",
    "fit_to_shape",
    "merge_classes",
    "read_mapping",
    "read_reference",
    "scores_in_input_space",
]
