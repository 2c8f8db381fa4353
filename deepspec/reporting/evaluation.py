"""All figures of an evaluation, and their files.

What an evaluation adds to the report of its segmentation.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.evaluation.files import MAPS, NUMBERS, TABLE, table_of_clusters
from deepspec.evaluation.result import summary
from deepspec.evaluation.series import SCORES
from deepspec.evaluation.series import TABLE as TABLE_OF_SEVERAL
from deepspec.reporting.agreement_figures import class_confusion, class_errors, compared_maps
from deepspec.reporting.curve_figures import criteria_curves, degradation_curves, degraded_masks, stability_map
from deepspec.reporting.reference_figures import masked_rgb, mean_colours, rgb_and_clustered
from deepspec.reporting.report import Section, figure_html, table_html
from deepspec.reporting.report_data import number
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


_CAPTIONS = {
    "comparison": "Reference, clusters in the colours of their classes, and where they differ",
    "confusion": "Confusion of classes and clusters: pixels, and shares of all (figures 7 and 14 of the paper; of a "
    "UMAP baseline A2 and A4)",
    "errors": "Each class: its cluster, the reference, and the errors (figures 6 and 13; of a UMAP baseline A1 and A3)",
    "picture": "The picture, and its colours clustered (figure 8)",
    "masked": "The clustered picture behind the mask of each cluster (figure 12)",
    "criteria": "What each criterion says about the number of clusters",
    "stability": "How often each pixel changes its cluster when the clusters are found again on resampled pixels of "
    "the same latent points; training the network again is another question",
}
_SHOWN = ("class", "cluster", "class_pixels", "cluster_pixels", "tversky", "precision", "recall", "f1", "iou")


def evaluation_sections(evaluation: Evaluation, figures: Sequence[Path]) -> list[Section]:
    """Sections for `write_report`: the agreement with the reference, if there is one, and the segmentation by itself.

    Args:
        evaluation: of the segmentation.
        figures: the files that `save_evaluation_figures` wrote.
    """
    drawn = {
        file.stem: figure_html(file.read_bytes(), _CAPTIONS[file.stem]) for file in figures if file.suffix == ".png"
    }
    words = "".join(f"<p>{escape(line.strip())}</p>" for line in summary(evaluation))
    own = _internal(evaluation) + "".join(drawn.get(name, "") for name in ("criteria", "stability"))
    if evaluation.agreement is None:
        return [Section("Evaluation", words + own)]
    head, *rows = table_of_clusters(evaluation)
    columns = [head.index(name) for name in _SHOWN]
    table = table_html([str(head[i]) for i in columns], [[row[i] for i in columns] for row in rows])
    compared = "".join(drawn.get(name, "") for name in ("comparison", "confusion", "errors", "picture", "masked"))
    return [
        Section("Agreement with the reference", words + table + compared),
        Section("Number of clusters and stability under resampling", own),
    ]


def _internal(evaluation: Evaluation) -> str:
    """A table of the indices that need no reference, a row for each space."""
    spaces = (("latent", evaluation.internal), ("input: preprocessed spectra", evaluation.input_space))
    rows = []
    for space, found in spaces:
        if found is not None:
            silhouettes = (
                f"{number(estimate.score)} ± {number(estimate.standard_error, 2)}"
                for estimate in (found.silhouette_samples, found.silhouette_clusters)
            )
            rows.append([space, *silhouettes, found.davies_bouldin, found.calinski_harabasz])
    head = ["space", "silhouette, mean over pixels", "over clusters", "Davies-Bouldin", "Calinski-Harabasz"]
    return table_html(head, rows) if rows else ""
