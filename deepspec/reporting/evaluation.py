"""All figures of an evaluation, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.reporting.agreement import class_confusion, class_errors, compared_maps
from deepspec.reporting.criteria import criteria_curves, stability_map
from deepspec.reporting.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deepspec.evaluation import Evaluation


def save_evaluation_figures(evaluation: Evaluation, out: str | Path) -> list[Path]:
    """Draw every figure that the evaluation has something to show in.

    Args:
        evaluation: what to show.
        out: an existing folder; earlier figures in it are replaced.

    Returns:
        The files written.
    """
    figures: dict[str, Figure] = {}
    if evaluation.agreement is not None:
        figures |= {
            "comparison.png": compared_maps(evaluation),
            "confusion.png": class_confusion(evaluation),
            "errors.png": class_errors(evaluation),
        }
    if evaluation.criteria is not None:
        figures["criteria.png"] = criteria_curves(evaluation)
    if evaluation.stability is not None:
        figures["stability.png"] = stability_map(evaluation)
    paths = [Path(out) / name for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        save_figure(figure, path)
    return paths
