"""What evaluations say of the runs whose checkpoints were evaluated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepspec.data.hdf5_file import read_hdf5
from deepspec.errors import UserError
from deepspec.model_file import MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.comparing.runs import RecordedRun

NUMBERS = "evaluation.json"


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
        for file in sorted({*run.folder.glob(NUMBERS), *run.folder.glob(f"*/{NUMBERS}")}):
            seen.add(file.resolve())
            try:
                found[run.name].append(_agreement(file))
            except UserError as error:
                notes.append(str(error))
    hashes = {_hash(run.folder / MODEL): run.name for run in runs if run.finished} if given else {}
    for file in (folder / NUMBERS for folder in given):
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


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
