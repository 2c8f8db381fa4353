"""Files of an evaluation: every number as JSON, a table of the clusters as CSV, the maps as HDF5.

`scores.csv` is one table of many evaluations, read from what they wrote.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.hdf5_file import sealed_hdf5
from deepspec.errors import UserError
from deepspec.files import CLUSTERS, EVALUATION, MAPS, write_csv
from deepspec.functional.agreement_scores import SCORES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from deepspec.evaluation.reference import Reference
    from deepspec.evaluation.result import Evaluation
    from deepspec.functional import Agreement, KCriteria, Stability


VERSION = 1


def write_files(evaluation: Evaluation, folder: Path, segmentation: str) -> None:
    """Write `evaluation.json`, `clusters.csv` and `maps.h5` into an existing folder.

    Args:
        evaluation: what to write.
        folder: where.
        segmentation: file of the segmentation, for the record.
    """
    text = json.dumps(as_dict(evaluation, segmentation), indent=1, allow_nan=False)
    (folder / EVALUATION).write_text(text + "\n", encoding="utf-8")
    if evaluation.agreement is not None:
        head, *rows = table_of_clusters(evaluation)
        write_csv(folder / CLUSTERS, [str(name) for name in head], rows)
    maps = {
        "labels": evaluation.labels.astype(np.int16),
        "matched": evaluation.matched,
        "reference": None if evaluation.reference is None else evaluation.reference.labels,
        "changed": evaluation.changed,
    }
    with sealed_hdf5(folder / MAPS) as file:
        for name, array in maps.items():
            if array is not None:
                array = array.astype(np.int16) if array.dtype.kind == "i" else array
                file.create_dataset(name, data=array, compression="gzip", compression_opts=1)


def as_dict(evaluation: Evaluation, segmentation: str) -> dict[str, Any]:
    """Every number by name, in plain types; null where a number is not defined."""
    content = {
        "format": "deepspec-evaluation",
        "version": VERSION,
        "segmentation": segmentation,
        "method": evaluation.method,
        "partition": evaluation.partition,
        "k": evaluation.k,
        "pixels": int((evaluation.labels >= 0).sum()),
        "reference": _reference(evaluation.reference),
        "agreement": _agreement(evaluation),
        "internal": None if evaluation.internal is None else asdict(evaluation.internal),
        "internal_input_space": None if evaluation.input_space is None else asdict(evaluation.input_space),
        "number_of_clusters": _criteria(evaluation.criteria),
        "stability": _stability(evaluation.stability, evaluation.stability_sentence),
        "structure": {**asdict(evaluation.structure), "sentence": evaluation.structure.sentence},
        "drift": None
        if evaluation.drift is None
        else {**asdict(evaluation.drift), "sentence": evaluation.drift.sentence},
        "notes": list(evaluation.notes),
    }
    plain: dict[str, Any] = _plain(content)
    return plain


def table_of_clusters(evaluation: Evaluation) -> list[list[str | int | float]]:
    """A head, a row per class with its cluster, then a row per cluster without a class.

    Where clusters were named by hand, the last column has the names.

    Raises:
        ValueError: there was no reference.
    """
    agreement, reference = evaluation.agreement, evaluation.reference
    if agreement is None or reference is None:
        raise ValueError("expected an evaluation against a reference")
    counts, sizes = agreement.counts, agreement.table_PR.sum(1).tolist()
    head = ["class", "cluster", "class_pixels", "cluster_pixels", "tp", "fp", "fn", "tn", *SCORES]
    rows: list[list[str | int | float]] = [[*head, *(["cluster_name"] if evaluation.names else [])]]

    def name_of(cluster: int) -> list[str | int | float]:
        return [evaluation.names[cluster] if cluster >= 0 else ""] if evaluation.names else []

    for number, cluster in enumerate(agreement.columns.tolist()):
        if number >= len(reference.names):
            rows.append(["", cluster, "", sizes[cluster], *[""] * (4 + len(SCORES)), *name_of(cluster)])
            continue
        four = [int(part[number]) for part in (counts.tp_R, counts.fp_R, counts.fn_R, counts.tn_R)]
        scores = [_cell(float(agreement.per_class[name][number])) for name in SCORES]
        own = ["", ""] if cluster < 0 else [cluster, sizes[cluster]]
        rows.append(
            [reference.names[number], own[0], int(counts.support_R[number]), own[1], *four, *scores, *name_of(cluster)]
        )
    return rows


def _cell(value: float) -> float | str:
    return "" if math.isnan(value) else round(value, 6)


def _reference(reference: Reference | None) -> dict[str, Any] | None:
    if reference is None:
        return None
    return {
        "source": reference.source,
        "kind": reference.kind,
        "classes": list(reference.names),
        "colours": None if reference.colours is None else reference.colours.tolist(),
        "silhouette_of_colours": reference.scores,
    }


def _agreement(evaluation: Evaluation) -> dict[str, Any] | None:
    agreement: Agreement | None = evaluation.agreement
    if agreement is None or evaluation.reference is None:
        return None
    names = evaluation.reference.names
    match = {str(c): names[m] if m >= 0 else None for c, m in enumerate(agreement.match_P.tolist())}
    counts = agreement.counts
    return {
        "pixels": agreement.points,
        **agreement.scalars(),
        "class_of_cluster": match,
        "per_class": {
            name: {
                "cluster": cluster if cluster >= 0 else None,
                "tp": int(counts.tp_R[i]),
                "fp": int(counts.fp_R[i]),
                "fn": int(counts.fn_R[i]),
                "tn": int(counts.tn_R[i]),
                **{score: float(values[i]) for score, values in agreement.per_class.items()},
            }
            for i, (name, cluster) in enumerate(zip(names, agreement.columns.tolist(), strict=False))
        },
        "confusion": agreement.confusion.tolist(),
        "confusion_columns": agreement.columns.tolist(),
        "contingency": agreement.table_PR.tolist(),
    }


def _criteria(criteria: KCriteria | None) -> dict[str, Any] | None:
    if criteria is None:
        return None
    return {
        "picks": criteria.picks,
        "curves": criteria.curves,
        "gap_errors": criteria.gap_errors,
        "sentence": criteria.sentence,
    }


def _stability(found: Stability | None, sentence: str | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "ari": found.ari,
        "ari_sd": found.ari_sd,
        "pairwise_ari": found.pairwise_ari,
        "jaccard": found.jaccard_K.tolist(),
        "changed": float(found.changed_N.mean()),
        "refits": found.refits,
        "sentence": sentence,
    }


def _plain(value: Any) -> Any:
    """Without NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


COLUMNS = {
    "segmentation": ("segmentation",),
    "method": ("method",),
    "reference": ("reference", "source"),
    "pixels": ("pixels",),
    "k": ("k",),
    "classes": ("reference", "classes"),
    "ari": ("agreement", "ari"),
    "nmi": ("agreement", "nmi"),
    "overall_accuracy": ("agreement", "overall_accuracy"),
    "weighted_f1": ("agreement", "weighted_f1"),
    "macro_f1": ("agreement", "macro_f1"),
    "macro_tversky": ("agreement", "macro_tversky"),
    "silhouette": ("internal", "silhouette_samples", "score"),
    "silhouette_input_space": ("internal_input_space", "silhouette_samples", "score"),
    "stability": ("stability", "ari"),
    "structure": ("structure", "verdict"),
}
"""Of the table, and where each value is in `evaluation.json`; of the classes their number."""


def write_overview(folders: Iterable[Path], file: Path) -> int:
    """Write a row for each folder that holds an evaluation; no file if none does.

    Returns:
        The number of rows.

    Raises:
        UserError: what is in a folder cannot be read.
    """
    rows = [_row(_read(folder / EVALUATION)) for folder in folders if (folder / EVALUATION).is_file()]
    if rows:
        write_csv(file, list(COLUMNS), rows)
    return len(rows)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is no evaluation: {error}") from None
    if not isinstance(found, dict) or found.get("format") != "deepspec-evaluation":
        raise UserError(f"{file} is no evaluation of one segmentation")
    return found


def _row(found: Mapping[str, Any]) -> dict[str, str | int | float | None]:
    row = {name: _at(found, path) for name, path in COLUMNS.items()}
    classes = row["classes"]
    return {**row, "classes": None if classes is None else len(classes)}


def _at(found: Any, path: tuple[str, ...]) -> Any:
    """A value of nested mappings; None where one of them is not there."""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found
