"""All figures of an evaluation, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.evaluation.files import MAPS, NUMBERS, TABLE
from deepspec.evaluation.series import SCORES
from deepspec.evaluation.series import TABLE as TABLE_OF_SEVERAL
from deepspec.reporting.agreement import class_confusion, class_errors, compared_maps
from deepspec.reporting.criteria import criteria_curves, stability_map
from deepspec.reporting.degradation import degradation_curves, degraded_masks
from deepspec.reporting.reference import masked_rgb, mean_colours, rgb_and_clustered
from deepspec.reporting.style import FORMATS, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from deepspec.evaluation import Evaluation
    from deepspec.evaluation.series import Entry

FIGURES = ("comparison", "confusion", "errors", "picture", "masked", "criteria", "stability", "degradation", "degraded")
"""Names of the files without their suffix."""

FILES = frozenset({NUMBERS, TABLE, MAPS, TABLE_OF_SEVERAL, "report.html"}) | {
    f"{name}.{kind}" for name in FIGURES for kind in FORMATS
}
"""Names of all files that an evaluation may consist of."""


def parse_formats(text: str) -> tuple[str, ...]:
    """Formats of figures: png, and those that a text names.

    Raises:
        UserError: it names another.

    >>> parse_formats("svg, pdf")
    ('png', 'svg', 'pdf')
    """
    names = [name for part in text.split(",") if (name := part.strip()) not in ("", "none", "png")]
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise UserError(f"export '{unknown[0]}': expected svg, pdf, or both with a comma, or none; PNG is always there")
    return ("png", *dict.fromkeys(names))


def save_evaluation_figures(evaluation: Evaluation, out: str | Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Draw every figure that the evaluation has something to show in.

    Args:
        evaluation: what to show.
        out: an existing folder; earlier figures in it are replaced.
        formats: png, svg, pdf, one file each.

    Returns:
        The files written.
    """
    figures: dict[str, Figure] = {}
    if evaluation.agreement is not None:
        figures["comparison"] = compared_maps(evaluation)
        if evaluation.k > 1:  # one cluster confuses nothing
            figures["confusion"] = class_confusion(evaluation)
        figures["errors"] = class_errors(evaluation)
    reference = evaluation.reference
    if reference is not None and reference.picture is not None:
        figures["picture"] = rgb_and_clustered(reference.picture, reference.labels)
        figures["masked"] = masked_rgb(
            evaluation.labels, evaluation.k, mean_colours(reference.picture, reference.labels)
        )
    if evaluation.criteria is not None:
        figures["criteria"] = criteria_curves(evaluation)
    if evaluation.stability is not None:
        figures["stability"] = stability_map(evaluation)
    return _save(figures, Path(out), formats)


def save_series_figures(entries: Sequence[Entry], out: str | Path, formats: Sequence[str] = ("png",)) -> list[str]:
    """Draw what is left of segmentations as noise is added to their cubes (figures B1 and B2).

    Args:
        entries: all against one reference.
        out: an existing folder.
        formats: png, svg, pdf, one file each.

    Returns:
        A sentence for what was not drawn.
    """
    noisy = [(entry, entry.noise) for entry in entries if entry.noise is not None]
    if len({noise.level for _, noise in noisy}) < 2:
        return ["no figures of degradation: they take two levels of noise, in cubes of `synthesize degrade`"]
    before = {round(noise.psnr_before, 6) for _, noise in noisy}
    agreements = [entry.evaluation.agreement for entry, _ in noisy]
    figures = {
        "degradation": degradation_curves(
            [entry.evaluation.method for entry, _ in noisy],
            [noise.level for _, noise in noisy],
            {
                name: [agreement.weighted[score] for agreement in agreements if agreement is not None]
                for name, score in SCORES.items()
            },
            before.pop() if len(before) == 1 else None,
        )
    }
    reference = noisy[0][0].evaluation.reference
    shapes = {entry.evaluation.labels.shape for entry, _ in noisy}
    assert reference is not None
    left_out = []
    if len(shapes) == 1:
        maps = [
            (entry.evaluation.method, noise.level, matched)
            for entry, noise in noisy
            if (matched := entry.evaluation.matched) is not None
        ]
        figures["degraded"] = degraded_masks(reference.labels, reference.names, maps)
    else:
        left_out.append("no figure of the masks: the segmentations differ in size")
    _save(figures, Path(out), formats)
    return left_out


def _save(figures: Mapping[str, Figure], out: Path, formats: Sequence[str]) -> list[Path]:
    paths = [out / f"{name}.{kind}" for kind in formats for name in figures]
    for path in paths:
        save_figure(figures[path.stem], path)
    return paths
