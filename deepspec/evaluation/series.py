"""Several segmentations against one reference: other methods, other seeds, or cubes with more and more noise."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import h5py

from deepspec.data.hdf5_file import read_hdf5
from deepspec.errors import UserError
from deepspec.evaluation.origin import cube_of
from deepspec.evaluation.pipeline import evaluate_segmentation
from deepspec.evaluation.reference import fit_to_shape
from deepspec.files import EVALUATION, write_csv
from deepspec.files import SCORES as TABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from deepspec.evaluation.reference import Reference
    from deepspec.evaluation.result import Evaluation
    from deepspec.segmentation import Segmentation

SCORES = {"weighted accuracy": "accuracy", "weighted F1": "f1"}
"""Of figure B2, and their names among the weighted means of `Agreement`."""


@dataclass(frozen=True)
class Noise:
    """What `synthesize degrade` wrote into a cube's file."""

    level: float
    """Share of the PSNR that was to be lost."""
    psnr: float
    """dB."""
    psnr_before: float
    """Of the cube that noise was added to, dB."""
    added_sd: float
    """Standard deviation of the noise that was added, in the unit of the cube."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One of the segmentations."""

    source: str
    """Its file."""
    evaluation: Evaluation
    """Against the reference."""
    noise: Noise | None
    """Of its cube; None for one that no noise was added to."""


def read_noise(cube: Path) -> Noise | None:
    """Noise that `synthesize degrade` added to a cube; None for any other file."""
    if not h5py.is_hdf5(cube):
        return None
    with read_hdf5(cube, locking=False) as file:
        found = {name: file.attrs.get(name) for name in Noise.__dataclass_fields__}
    if any(value is None for value in found.values()):
        return None
    return Noise(**{name: float(value) for name, value in found.items()})


def compare_segmentations(
    segmentations: Sequence[tuple[str, Segmentation]],
    reference: Reference,
    *,
    cubes: str | None = None,
    mask: NDArray[np.bool_] | None = None,
    resample: bool = False,
    alpha: float = 0.7,
    beta: float = 0.3,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[list[Entry], tuple[str, ...]]:
    """Compare each with the reference, and read from its cube's file how much noise was added.

    Args:
        segmentations: file and content of each.
        reference: of their size.
        cubes: folder that holds the cubes, where they are not at the recorded places.
        mask: (H, W) the pixels that count.
        resample: whether a reference of another size may be resampled.
        alpha: weight of false negatives in the Tversky index.
        beta: weight of false positives.
        seed: seed of all random choices.
        device: where to compute with the latent points.

    Returns:
        An entry for each in their order, and what should be known, in sentences.

    Raises:
        UserError: sizes differ, or no pixel has both a cluster and a class.
    """
    entries, notes = [], list(reference.notes)
    for source, segmentation in segmentations:
        rows, columns = segmentation.labels.shape
        fitted = fit_to_shape(reference, (rows, columns), resample=resample)
        found = evaluate_segmentation(
            segmentation, fitted, mask=mask, k=None, refits=0, alpha=alpha, beta=beta, seed=seed, device=device
        )
        noise = None
        try:
            noise = read_noise(cube_of(segmentation.provenance, cubes))
        except UserError as error:
            notes.append(f"{source}: whether noise was added is not known: {error}")
        entries.append(Entry(source, found, noise))
    return entries, tuple(notes)


def as_row(entry: Entry) -> dict[str, str | int | float | None]:
    """What is said of a segmentation, in plain types; None where a number is not defined."""
    evaluation, noise = entry.evaluation, entry.noise
    agreement, internal = evaluation.agreement, evaluation.internal
    assert agreement is not None
    row: dict[str, str | int | float | None] = {
        "segmentation": entry.source,
        "method": evaluation.method,
        "k": evaluation.k,
        **(dict.fromkeys(Noise.__dataclass_fields__) if noise is None else asdict(noise)),
        "ari": agreement.ari,
        "nmi": agreement.information.nmi,
        "overall_accuracy": agreement.overall_accuracy,
        **{f"weighted_{score}": agreement.weighted[score] for score in SCORES.values()},
        "macro_f1": agreement.macro["f1"],
        "macro_tversky": agreement.macro["tversky"],
        "silhouette": None if internal is None else internal.silhouette_samples.score,
    }
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def write_series(entries: Sequence[Entry], notes: Sequence[str], reference: Reference, folder: Path) -> None:
    """Write `scores.csv` and `evaluation.json` into an existing folder."""
    rows = [as_row(entry) for entry in entries]
    write_csv(folder / TABLE, list(rows[0]), rows)
    content: dict[str, Any] = {
        "format": "deepspec-evaluation-series",
        "version": 1,
        "reference": {"source": reference.source, "kind": reference.kind, "classes": list(reference.names)},
        "segmentations": rows,
        "notes": list(notes),
    }
    (folder / EVALUATION).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def series_summary(entries: Sequence[Entry], notes: Sequence[str]) -> list[str]:
    """Lines to print: a table, then the notes."""
    lines = [f"{'degradation':>11} {'K':>3} {'ARI':>6} {'class accuracy':>14} {'F1':>6}  method, segmentation"]
    for entry in entries:
        row, level = as_row(entry), "-" if entry.noise is None else f"{entry.noise.level:g}"
        scores = f"{row['ari']:6.3f} {row['weighted_accuracy']:14.3f} {row['weighted_f1']:6.3f}"
        lines.append(f"{level:>11} {row['k']:3d} {scores}  {row['method']}, {entry.source}")
    return lines + [f"note: {note}" for note in notes]
