"""The report of a segmentation: one HTML file that needs nothing else, neither a server nor a network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepspec.clustering.structure import GRADED
from deepspec.files import complete_or_absent
from deepspec.lines.label import label_clusters
from deepspec.pages import figure_html, table_html
from deepspec.reporting.figures import FIGURES
from deepspec.reporting.pigments import pigments_html, pigments_of
from deepspec.reporting.report_data import borders_of, memberships_data, report_data
from deepspec.texts import number_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepspec.lines.candidate import LabelledPeak
    from deepspec.segmentation import Segmentation

_SCRIPTS = ("data.js", "cut.js", "memberships.js", "map.js", "spectra.js", "borders.js", "latents.js", "main.js")


@dataclass(frozen=True)
class Section:
    """A part of a report."""

    title: str
    """Plain text."""
    html: str
    """Trusted HTML: escape what comes from outside."""


def write_report(
    segmentation: Segmentation,
    path: str | Path,
    *,
    labels: Sequence[Sequence[LabelledPeak]] | None = None,
    figures: Sequence[Path] = (),
    sections: Sequence[Section] = (),
    options: Mapping[str, object] | None = None,
    run_config: str = "",
) -> None:
    """Write a report, which appears under its name when complete; an existing one is replaced.

    Args:
        segmentation: what it is on.
        path: name of the file.
        labels: peaks of each cluster, if they have been worked out already.
        figures: PNG files to include; others are left out.
        sections: further parts, before the figures: such as the agreement with a reference.
        options: of the command, by name.
        run_config: the resolved configuration of the training, as YAML.
    """
    if labels is None:
        labels = label_clusters(segmentation.mean_raw, segmentation.axis)
    name = Path(segmentation.provenance.cube).name or "cube"
    memberships, without = memberships_data(segmentation)
    parts = {
        "title": f"Segmentation of {escape(name)}",
        "headline": escape(segmentation.headline),
        "structure": escape(_sentence(segmentation.structure.sentence)),
        "notes": "".join(
            f'<p class="note">{escape(_sentence(note))}</p>'
            for note in ([segmentation.retraining] if segmentation.retraining else []) + list(segmentation.notes)
        ),
        "memberships": escape(without),
        "borders": _borders(segmentation),
        "scores": _scores(segmentation, figures),
        "sections": "".join(
            f"<section><h2>{escape(part.title)}</h2>{part.html}</section>"
            for part in [*sections, *_cluster_sections(segmentation, labels)]
        ),
        "figures": _figures(figures, ""),
        "origin": _origin(segmentation, options or {}, run_config),
        "style": _page("page.css"),
        "data": report_data(segmentation, labels, memberships),
        "script": "\n".join(_page(script) for script in _SCRIPTS),
    }
    # Piece by piece, so that what is put in is never searched for marks itself.
    pieces = _page("page.html").split("{{")
    text = pieces[0] + "".join(parts[mark] + rest for mark, _, rest in (piece.partition("}}") for piece in pieces[1:]))
    with complete_or_absent(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def _cluster_sections(segmentation: Segmentation, labels: Sequence[Sequence[LabelledPeak]]) -> Sequence[Section]:
    """What the clusters scatter by, in numbers, and pigments that they may be."""
    found = []
    statistics = segmentation.statistics
    if statistics is not None:
        rows = []
        for cluster, name in enumerate(segmentation.cluster_labels):
            if segmentation.sizes[cluster] == 0:
                continue
            significance_C = np.nan_to_num(statistics.significance[cluster])
            place = int(np.abs(significance_C).argmax())
            most = "" if not significance_C.any() else (
                f"{segmentation.axis.values[place]:.4g} {segmentation.axis.unit}: "
                f"{statistics.difference[cluster, place]:+.3g} ({significance_C[place]:+.0f} standard errors)"
            )  # fmt: skip
            total = float(np.nansum(segmentation.mean_raw[cluster]))
            rows.append((name, int(segmentation.sizes[cluster]), number_text(total), most))
        unit = f", {statistics.unit}" if statistics.unit else ""
        head = ("cluster", "pixels", f"mean sum over channels{unit}", "where it differs most from all other pixels")
        note = f"<p>{escape(_sentence(statistics.sentence))} --export csv writes all of it.</p>"
        found.append(Section("Clusters in numbers", table_html(head, rows) + note))
    pigments = pigments_of(segmentation, labels)
    if any(pigments):
        found.append(Section("Pigments that the elements could be", pigments_html(segmentation, pigments, labels)))
    return found


def _page(name: str) -> str:
    return resources.files("deepspec.reporting").joinpath("page", name).read_text(encoding="utf-8")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _borders(segmentation: Segmentation) -> str:
    """A table of the borders; the page draws it anew when the merge tree is cut elsewhere."""
    borders = borders_of(segmentation)
    if borders is None:
        return "<p>What found these clusters did not look at their borders; the clusterer valleys does.</p>"
    if segmentation.k == 1:
        return "<p>One material: there is no border.</p>"
    words = (
        "<p>r is the density along a border over the lower height beside it: near 0 the border is firm, at 1 there is "
        f"none. From {GRADED} on it is called graded: one material may pass into the other.</p>"
    )
    known = segmentation.scattered is not None
    if known:
        words += (
            "<p>Scatter is how much of what tells the two apart goes when the channels are left out where the sample "
            "scatters the tube's lines. Where it is more than half, thickness or support may drive the border rather "
            "than elements.</p>"
        )
    rows = "".join(
        f'<tr data-pair="{border.first},{border.second}"><td>{border.first} and {border.second}</td>'
        f'<td class="number">{border.r:.2f}</td><td class="{border.kind}">{border.kind}</td>'
        + (f"<td>{border.scatter_text}</td>" if known else "")
        + "</tr>"
        for border in borders
    )
    head = (
        '<tr><th>clusters</th><th class="number">r</th><th>border</th>'
        + ("<th>scatter</th>" if known else "")
        + "</tr>"
    )
    return f'{words}<div class="scroll"><table id="borders"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _figures(files: Sequence[Path], section: str) -> str:
    """The pictures among some files whose figures stand in a section; what is of no table stands where most do."""
    html = ""
    for file in files:
        if file.suffix != ".png":
            continue
        caption, place = file.stem, ""
        if file.stem in FIGURES:
            caption, place = FIGURES[file.stem].caption, FIGURES[file.stem].section
        if place == section:
            html += figure_html(file.read_bytes(), caption)
    return html


def _scores(segmentation: Segmentation, figures: Sequence[Path]) -> str:
    clustering = segmentation.clustering
    if segmentation.provenance.clusters == "refit" and clustering is not None and not segmentation.scores:
        return f"<p>K = {segmentation.k}, decided by: {escape(clustering.evidence)}.</p>"
    if not segmentation.scores:
        return "<p>The clusters are those of the checkpoint: there was nothing to choose.</p>"
    rows = [
        (f"{k} (chosen)" if k == segmentation.k else str(k), score, segmentation.inertias[k])
        for k, score in segmentation.scores.items()
    ]
    head = ("K", "silhouette of the sampled latents", "sum of squared distances to the centres")
    return table_html(head, rows) + _figures(figures, "scores")


def _origin(segmentation: Segmentation, options: Mapping[str, object], run_config: str) -> str:
    silhouette = segmentation.silhouette
    rows: list[tuple[str, object]] = [
        *asdict(segmentation.provenance).items(),
        ("rows, columns, channels", f"{segmentation.labels.shape[0]}, {segmentation.labels.shape[1]}, "
                                    f"{segmentation.axis.channels}"),
        ("axis", str(segmentation.axis)),
        ("quantity of the decoded spectra", segmentation.quantity),
    ]  # fmt: skip
    if not math.isnan(silhouette.score):
        rows.append(
            ("silhouette of all latents", f"{number_text(silhouette.score)} ± {number_text(silhouette.standard_error)}")
        )
    if segmentation.clustering is not None:
        rows += [(f"clustering: {name}", value) for name, value in asdict(segmentation.clustering).items()]
    html = table_html(("", ""), rows)
    if options:
        html += "<h3>Options</h3>" + table_html(("option", "value"), [(k, str(v)) for k, v in options.items()])
    if run_config:
        html += f"<details><summary>Configuration of the training</summary><pre>{escape(run_config)}</pre></details>"
    return html
