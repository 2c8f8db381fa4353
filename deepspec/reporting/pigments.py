"""Pigments that the elements of each cluster could be, for the report and as a table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from deepspec.files import write_csv
from deepspec.pages import table_html
from deepspec.synthetic.pigment_candidates import elements_of_peaks, not_in_the_table, pigment_candidates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepspec.lines.candidate import LabelledPeak
    from deepspec.segmentation import Segmentation
    from deepspec.synthetic.pigment_candidates import PigmentCandidate

SUPPORT = ("Ca", "K", "Cl")
"""Elements that parchment, chalk grounds and salts have everywhere: no pigment has to explain them."""


def pigments_of(segmentation: Segmentation, labels: Sequence[Sequence[LabelledPeak]]) -> list[list[PigmentCandidate]]:
    """Candidates of each cluster, the most likely first; none on an axis without energies.

    Args:
        segmentation: whose clusters.
        labels: peaks of each cluster.
    """
    if segmentation.axis.unit != "keV":
        return [[] for _ in labels]
    return [pigment_candidates(elements_of_peaks(own), segmentation.axis, support=SUPPORT) for own in labels]


def pigments_html(
    segmentation: Segmentation, pigments: Sequence[Sequence[PigmentCandidate]], labels: Sequence[Sequence[LabelledPeak]]
) -> str:
    """A table of the candidates of each cluster, folded away."""
    html = (
        "<p>X-rays show elements, not compounds. Each cluster may be one of these historical pigments, a mixture of "
        "them, layers of several, or something that the table (pigments of Italian manuscripts, without modern ones) "
        f"does not have. {', '.join(SUPPORT)} may also be of the support.</p>"
    )
    for name, own, peaks in zip(segmentation.cluster_labels, pigments, labels, strict=True):
        if not own:
            continue
        rows = [
            (c.name, c.formula, c.used, f"{c.score:.2f}", ", ".join(c.found), ", ".join(c.missing), ", ".join(c.like))
            for c in own
        ]
        head = ("pigment", "formula", "in use", "rank", "for: found", "against: not found", "not told from")
        beyond = not_in_the_table(elements_of_peaks(peaks))
        more = f"<p>In none of these pigments: {escape(', '.join(beyond))}.</p>" if beyond else ""
        html += (
            f"<details><summary>Cluster {escape(name)}</summary><div class='scroll'>{table_html(head, rows)}</div>"
            f"{more}</details>"
        )
    return html


def save_pigments(segmentation: Segmentation, pigments: Sequence[Sequence[PigmentCandidate]], path: Path) -> None:
    """Candidates as CSV, a row for each."""
    rows = [
        [
            name,
            rank,
            c.name,
            c.formula,
            c.used,
            f"{c.score:.3f}",
            " ".join(c.found),
            " ".join(c.missing),
            " ".join(c.unseen),
            ", ".join(c.like),
        ]
        for name, own in zip(segmentation.cluster_labels, pigments, strict=True)
        for rank, c in enumerate(own, 1)
    ]
    head = [
        "cluster",
        "rank",
        "pigment",
        "formula",
        "in use",
        "score",
        "for",
        "against",
        "cannot be seen",
        "not told from",
    ]
    write_csv(path, head, rows, line_end="\n")
