"""Runs compared in a table: a row per run, with its results, its evaluations' scores and what is set differently."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepspec.data.fingerprint import sha256_of
from deepspec.data.hdf5_file import read_hdf5
from deepspec.errors import UserError
from deepspec.files import EVALUATION, MODEL
from deepspec.runs.folder import MISSING, value_of
from deepspec.texts import short_names, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepspec.runs.folder import RecordedRun


Row = dict[str, Any]

RESULTS = ("run", "epochs", "K", "silhouette", "reconstruction", "target", "warnings", "ARI", "F1")

TITLES = {"silhouette": "silhouette (sample)"}
"""What the tables for readers call a column: that of latents sampled in training is not that of a segmented cube."""

SortKey = Literal["run", "epochs", "k", "silhouette", "reconstruction", "target", "warnings", "ari", "f1", "given"]

DESCENDING = ("epochs", "silhouette", "ARI", "F1")
"""More is better, and comes first."""

WIDEST, MOST_SETTINGS, MOST_RUNS = 26, 6, 8
"""Characters of a value; settings beside the results, and runs beside each other, that fit into a terminal."""


@dataclass(frozen=True)
class Scores:
    """Agreement with references, averaged over a run's evaluations."""

    ari: float
    f1: float
    """Averaged over classes."""
    count: int


def find_scores(runs: Sequence[RecordedRun], given: Sequence[Path]) -> tuple[dict[str, Scores], list[str]]:
    """Scores by the run's name, and what should be known about them.

    An evaluation within a run's folder is that run's; one that is given belongs to the run whose model.ckpt its
    segmentation records by its hash.

    Args:
        runs: whose.
        given: folders of evaluations.

    Raises:
        UserError: a given evaluation cannot be read.
    """
    found: dict[str, list[dict[str, Any]]] = {run.name: [] for run in runs}
    notes, seen = [], set()
    for run in runs:
        for file in sorted({*run.folder.glob(EVALUATION), *run.folder.glob(f"*/{EVALUATION}")}):
            seen.add(file.resolve())
            try:
                found[run.name].append(_agreement(file))
            except UserError as error:
                notes.append(str(error))
    hashes = {sha256_of(run.folder / MODEL): run.name for run in runs if run.finished} if given else {}
    for file in (folder / EVALUATION for folder in given):
        if file.resolve() in seen:
            continue
        agreement = _agreement(file)
        checkpoint = _checkpoint(file)
        if checkpoint in hashes:
            found[hashes[checkpoint]].append(agreement)
        else:
            why = "of none of these runs" if checkpoint else "its segmentation is not there to tell whose it is"
            notes.append(f"{file.parent} was left out: {why}")
    scores = {}
    for name, agreements in found.items():
        known = [agreement for agreement in agreements if agreement]
        if known:
            mean = {key: sum(one[key] for one in known) / len(known) for key in ("ari", "macro_f1")}
            scores[name] = Scores(mean["ari"], mean["macro_f1"], len(known))
    if any(score.count > 1 for score in scores.values()):
        counts = ", ".join(f"{name} {score.count}" for name, score in scores.items())
        notes.append(f"ARI and F1 are means over evaluations: {counts}")
    return scores, notes


def _agreement(file: Path) -> dict[str, Any]:
    """The agreement with the reference; empty if there was none."""
    try:
        agreement = json.loads(file.read_text(encoding="utf-8"))["agreement"] or {}
        return {key: float(agreement[key]) for key in ("ari", "macro_f1")} if agreement else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read as an evaluation: {type(error).__name__}: {error}") from error


def _checkpoint(file: Path) -> str:
    """Hash of the checkpoint that an evaluated segmentation was made by; empty if that cannot be told."""
    recorded = Path(json.loads(file.read_text(encoding="utf-8")).get("segmentation", ""))
    for place in (recorded, file.parent / recorded, file.parent.parent / recorded):
        try:
            with read_hdf5(place) as content:
                return str(content["provenance"].attrs["checkpoint_sha256"])
        except (OSError, KeyError):
            continue
    return ""


def result_rows(runs: Sequence[RecordedRun], scores: Mapping[str, Scores], keys: Sequence[str]) -> list[Row]:
    """A row per run: `RESULTS`, further terms of the loss, the differing keys, `folder`, `wanted` epochs and `problem`.

    Losses are those of the epoch whose weights were kept, of the validation split if there is one; `warnings` counts
    the signs of a collapse over all epochs. None where there is nothing.
    """
    rows = []
    terms = further_terms(runs)
    for run in runs:
        history, score = run.history, scores.get(run.name)
        signs = [value for value in history.get("ikmeans/warnings", ()) if math.isfinite(value)]
        k = run.at_kept(history.get("ikmeans/k", []))
        row: Row = {
            "run": run.name,
            "epochs": run.epochs,
            "K": None if k is None else int(k),
            "silhouette": run.at_kept(history.get("ikmeans/silhouette", [])),
            "reconstruction": run.at_kept(run.column("reconstruction")),
            **{name: run.at_kept(run.column(name)) for name in terms},
            "target": run.at_kept(run.column("target")),
            "warnings": int(sum(signs)) if signs else None,
            "ARI": None if score is None else score.ari,
            "F1": None if score is None else score.f1,
        }
        for key in keys:
            value = value_of(run.config, key)
            row[key] = "" if value is MISSING else setting_text(value)
        rows.append(row | {"folder": str(run.folder), "wanted": run.wanted, "problem": "; ".join(run.problems)})
    return rows


def further_terms(runs: Sequence[RecordedRun]) -> list[str]:
    """Terms of the loss that other packages have added to some of the runs, by name."""
    weights = dict.fromkeys(column for run in runs for column in run.history if column.startswith("weight/"))
    return [name for name in (column.removeprefix("weight/") for column in weights) if name not in RESULTS]


def shown_results(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """Columns of the results in which some row has a value, in their order."""
    others = {*keys, "folder", "wanted", "problem"}
    return [name for name in rows[0] if name not in others and any(row[name] is not None for row in rows)]


def sort_rows(rows: Sequence[Row], key: SortKey) -> list[Row]:
    """Rows by a column, the best first; those without a value last, and in the order they had."""
    if key == "given":
        return list(rows)
    name = next(column for column in RESULTS if column.lower() == key)
    known = [row for row in rows if row[name] is not None]
    return sorted(known, key=lambda row: row[name], reverse=name in DESCENDING) + [
        row for row in rows if row[name] is None
    ]


def lines_of(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """The tables for the terminal: results, with the settings beside them if they are few, else below by key."""
    shown = shown_results(rows, keys)
    beside = [] if len(keys) > MOST_SETTINGS else list(keys)
    # The last part alone is often no more than `value` or `kind`.
    titles = {
        key: ".".join(key.split(".")[-max(2, name.count(".") + 1) :]) for key, name in short_names(beside).items()
    }
    table = [[*(TITLES.get(name, name) for name in shown), *(titles[key] for key in beside)]]
    for row in rows:
        results = [epochs_text(row) if name == "epochs" else result_text(row[name]) for name in shown]
        table.append([*results, *(_cut(row[key]) for key in beside)])
    lines = _aligned(table)
    if keys and not beside:
        if len(rows) > MOST_RUNS:
            lines += ["", f"the configurations differ in {len(keys)} keys: see comparison.csv"]
        else:
            below = [["differs", *(row["run"] for row in rows)]]
            below += [[key, *(_cut(row[key]) for row in rows)] for key in keys]
            lines += ["", *_aligned(below)]
    elif not keys:
        lines += ["", "the configurations do not differ"]
    problems = [f"{row['run']}: {row['problem']}" for row in rows if row["problem"]]
    return lines + ([""] if problems else []) + problems


def epochs_text(row: Row) -> str:
    """Epochs that there are, of those that were asked for."""
    return f"{row['epochs']}/{row['wanted']}" if row["wanted"] else str(row["epochs"])


def result_text(value: float | str | None) -> str:
    """A result for a table, four digits; empty without one."""
    return "" if value is None else value_text(value)


def setting_text(value: object) -> str:
    """A setting in short: widths as 512-256-3.

    >>> setting_text([512, 3]), setting_text(1e-3), setting_text(None), setting_text(["sqrt", {"step": "standard"}])
    ('512-3', '0.001', 'none', 'sqrt standard')
    """
    if value is None:
        return "none"
    if isinstance(value, list):
        separator = "-" if all(isinstance(item, int) for item in value) else " "
        return separator.join(setting_text(item) for item in value) or "[]"
    if isinstance(value, dict):
        return ",".join(setting_text(item) for item in value.values()) or "{}"
    return value_text(value)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table]
