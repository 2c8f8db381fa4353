"""What an evaluation adds to the report of its segmentation."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from deepspec.evaluation.files import table_of_clusters
from deepspec.evaluation.summary import summary
from deepspec.reporting.report import Section, figure_html, table_html
from deepspec.reporting.report_data import number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepspec.evaluation import Evaluation

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
