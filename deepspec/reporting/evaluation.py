"""What is drawn of evaluations, and what an evaluation adds to the report of its segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec import files
from deepspec.drawing import FORMATS
from deepspec.errors import UserError
from deepspec.evaluation.files import table_of_clusters
from deepspec.evaluation.result import summary
from deepspec.evaluation.series import SCORES
from deepspec.pages import figure_html, table_html
from deepspec.reporting.agreement_figures import class_confusion, class_errors, compared_maps
from deepspec.reporting.curve_figures import criteria_curves, degradation_curves, degraded_masks, stability_map
from deepspec.reporting.figure_table import ReportFigure, figure_table, file_names, save_table
from deepspec.reporting.reference_figures import masked_rgb, mean_colours, rgb_and_clustered
from deepspec.reporting.report import Section
from deepspec.texts import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from deepspec.evaluation import Evaluation
    from deepspec.evaluation.series import Entry, Noise


def _has_agreement(evaluation: Evaluation) -> bool:
    return evaluation.agreement is not None


def _has_picture(evaluation: Evaluation) -> bool:
    return evaluation.reference is not None and evaluation.reference.picture is not None


def _picture(evaluation: Evaluation) -> tuple[NDArray[np.uint8], NDArray[np.int_]]:
    """(H, W, 3) the picture that the reference was made of, and (H, W) the classes of its colours."""
    reference = evaluation.reference
    assert reference is not None
    assert reference.picture is not None
    return reference.picture, reference.labels


EVALUATION_FIGURES = figure_table(
    "deepspec.evaluation_figures",
    {
        "comparison": ReportFigure(
            "Reference, clusters in the colours of their classes, and where they differ",
            compared_maps,
            when=_has_agreement,
            section="agreement",
        ),
        "confusion": ReportFigure(
            "Confusion of classes and clusters: pixels, and shares of all (figures 7 and 14 of the paper; of a UMAP "
            "baseline A2 and A4)",
            class_confusion,
            when=lambda evaluation: _has_agreement(evaluation) and evaluation.k > 1,  # one cluster confuses nothing
            section="agreement",
        ),
        "errors": ReportFigure(
            "Each class: its cluster, the reference, and the errors (figures 6 and 13; of a UMAP baseline A1 and A3)",
            class_errors,
            when=_has_agreement,
            section="agreement",
        ),
        "picture": ReportFigure(
            "The picture, and its colours clustered (figure 8)",
            lambda evaluation: rgb_and_clustered(*_picture(evaluation)),
            when=_has_picture,
            section="agreement",
        ),
        "masked": ReportFigure(
            "The clustered picture behind the mask of each cluster (figure 12)",
            lambda evaluation: masked_rgb(evaluation.labels, evaluation.k, mean_colours(*_picture(evaluation))),
            when=_has_picture,
            section="agreement",
        ),
        "criteria": ReportFigure(
            "What each criterion says about the number of clusters",
            criteria_curves,
            when=lambda evaluation: evaluation.criteria is not None,
        ),
        "stability": ReportFigure(
            "How often each pixel changes its cluster when the clusters are found again on resampled pixels of the "
            "same latent points; training the network again is another question",
            stability_map,
            when=lambda evaluation: evaluation.stability is not None,
        ),
    },
    sections=("agreement",),
)
"""Of one evaluation. Another package adds to it by an entry point of the group `deepspec.evaluation_figures`. Sections:
`agreement`, for what needs a reference, or empty."""


@dataclass(frozen=True, eq=False)
class SeriesContext:
    """What figures of several evaluations against one reference are drawn from."""

    entries: Sequence[Entry]
    """All of them."""

    @cached_property
    def noisy(self) -> list[tuple[Entry, Noise]]:
        """Those of cubes that noise was added to, with the noise."""
        return [(entry, entry.noise) for entry in self.entries if entry.noise is not None]

    @property
    def is_graded(self) -> bool:
        """Whether there are two levels of noise to compare."""
        return len({noise.level for _, noise in self.noisy}) > 1

    @property
    def is_of_one_size(self) -> bool:
        """Whether the noisy ones can be shown beside each other."""
        return len({entry.evaluation.labels.shape for entry, _ in self.noisy}) == 1


def _degradation(series: SeriesContext) -> Figure:
    before = {round(noise.psnr_before, 6) for _, noise in series.noisy}
    agreements = [entry.evaluation.agreement for entry, _ in series.noisy]
    return degradation_curves(
        [entry.evaluation.method for entry, _ in series.noisy],
        [noise.level for _, noise in series.noisy],
        {
            name: [agreement.weighted[score] for agreement in agreements if agreement is not None]
            for name, score in SCORES.items()
        },
        before.pop() if len(before) == 1 else None,
    )


def _degraded(series: SeriesContext) -> Figure:
    reference = series.noisy[0][0].evaluation.reference
    assert reference is not None
    maps = [
        (entry.evaluation.method, noise.level, matched)
        for entry, noise in series.noisy
        if (matched := entry.evaluation.matched) is not None
    ]
    return degraded_masks(reference.labels, reference.names, maps)


SERIES_FIGURES = figure_table(
    "deepspec.series_figures",
    {
        "degradation": ReportFigure(
            "Agreement over the noise added (figure B2)", _degradation, when=lambda series: series.is_graded
        ),
        "degraded": ReportFigure(
            "Masks of the classes over the noise added (figure B1)",
            _degraded,
            when=lambda series: series.is_graded and series.is_of_one_size,
        ),
    },
)
"""Of several evaluations. Another package adds to it by an entry point of the group `deepspec.series_figures`."""


def evaluation_names() -> frozenset[str]:
    """Names of all files that an evaluation may consist of.

    Raises:
        UserError: a figure of another package cannot be loaded.
    """
    figures = dict(EVALUATION_FIGURES) | dict(SERIES_FIGURES)
    return frozenset({files.EVALUATION, files.CLUSTERS, files.MAPS, files.SCORES, files.REPORT}) | file_names(figures)


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
    return save_table(EVALUATION_FIGURES, evaluation, Path(out), formats)


def save_series_figures(entries: Sequence[Entry], out: str | Path, formats: Sequence[str] = ("png",)) -> list[str]:
    """Draw what is left of segmentations as noise is added to their cubes (figures B1 and B2).

    Args:
        entries: all against one reference.
        out: an existing folder.
        formats: png, svg, pdf, one file each.

    Returns:
        A sentence for what was not drawn.
    """
    series = SeriesContext(entries)
    save_table(SERIES_FIGURES, series, Path(out), formats)
    if not series.is_graded:
        return ["no figures of degradation: they take two levels of noise, in cubes of `synthesize degrade`"]
    return [] if series.is_of_one_size else ["no figure of the masks: the segmentations differ in size"]


_SHOWN = ("class", "cluster", "class_pixels", "cluster_pixels", "tversky", "precision", "recall", "f1", "iou")


def evaluation_sections(evaluation: Evaluation, figures: Sequence[Path]) -> list[Section]:
    """Sections for `write_report`: the agreement with the reference, if there is one, and the segmentation by itself.

    Args:
        evaluation: of the segmentation.
        figures: the files that `save_evaluation_figures` wrote.
    """
    drawn = {"": "", "agreement": ""}
    for file in figures:
        if file.suffix == ".png":
            entry = EVALUATION_FIGURES[file.stem]
            drawn[entry.section] += figure_html(file.read_bytes(), entry.caption)
    words = "".join(f"<p>{escape(line.strip())}</p>" for line in summary(evaluation))
    own = _internal(evaluation) + drawn[""]
    if evaluation.agreement is None:
        return [Section("Evaluation", words + own + drawn["agreement"])]
    head, *rows = table_of_clusters(evaluation)
    columns = [head.index(name) for name in _SHOWN]
    table = table_html([str(head[i]) for i in columns], [[row[i] for i in columns] for row in rows])
    return [
        Section("Agreement with the reference", words + table + drawn["agreement"]),
        Section("Number of clusters and stability under resampling", own),
    ]


def _internal(evaluation: Evaluation) -> str:
    """A table of the indices that need no reference, a row for each space."""
    spaces = (("latent", evaluation.internal), ("input: preprocessed spectra", evaluation.input_space))
    rows = []
    for space, found in spaces:
        if found is not None:
            silhouettes = (
                f"{number_text(estimate.score)} ± {number_text(estimate.standard_error, 2)}"
                for estimate in (found.silhouette_samples, found.silhouette_clusters)
            )
            rows.append([space, *silhouettes, found.davies_bouldin, found.calinski_harabasz])
    head = ["space", "silhouette, mean over pixels", "over clusters", "Davies-Bouldin", "Calinski-Harabasz"]
    return table_html(head, rows) if rows else ""
