"""How good is a segmentation: against a reference, in itself, and from one refit to the next."""

from typing import TYPE_CHECKING

from deepspec.lazy_names import lazy_names

if TYPE_CHECKING:
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

__getattr__ = lazy_names(
    __name__,
    {
        "Evaluation": "deepspec.evaluation.result",
        "Internal": "deepspec.evaluation.result",
        "Reference": "deepspec.evaluation.reference",
        "compare_segmentations": "deepspec.evaluation.series",
        "evaluate_segmentation": "deepspec.evaluation.pipeline",
        "fit_to_shape": "deepspec.evaluation.reference",
        "merge_classes": "deepspec.evaluation.reference",
        "read_mapping": "deepspec.evaluation.reference",
        "read_reference": "deepspec.evaluation.reference",
        "scores_in_input_space": "deepspec.evaluation.origin",
    },
)
