"""evaluate_segmentation: from a segmentation and a reference to an `Evaluation`.

Shapes: H rows, W columns, P labelled pixels, L latent dimensions, K clusters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.errors import UserError
from deepspec.evaluation.result import Evaluation, Internal
from deepspec.functional import (
    TooFewPositionsError,
    k_criteria,
    score_agreement,
    silhouette_estimate,
    stability,
)
from deepspec.functional.agreement import count_pairs
from deepspec.functional.centroid_indices import calinski_harabasz, davies_bouldin, sums_about_centres
from deepspec.pretrained import name_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.evaluation.reference import Reference
    from deepspec.functional import Agreement, KCriteria, Stability
    from deepspec.segmentation import Segmentation

ANCHORS = 2048
"""Pixels whose silhouettes are worked out."""


def evaluate_segmentation(
    segmentation: Segmentation,
    reference: Reference | None = None,
    *,
    mask: NDArray[np.bool_] | None = None,
    k: tuple[int, int] | None = (3, 10),
    refits: int = 20,
    alpha: float = 0.7,
    beta: float = 0.3,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Compare a segmentation with a reference, with itself refitted, and with other numbers of clusters.

    Args:
        segmentation: what to evaluate.
        reference: of its size; None where there is none.
        mask: (H, W) the pixels that count.
        k: fewest and most clusters that the criteria for K are worked out for; None for no criteria.
        refits: on bootstrap samples; 0 for none.
        alpha: weight of false negatives in the Tversky index.
        beta: weight of false positives.
        seed: seed of all random choices.
        device: where to compute with the latent points.

    Raises:
        UserError: the sizes differ, or no pixel is left.
    """
    labels = segmentation.labels.astype(np.int64)
    notes = [] if reference is None else list(reference.notes)
    if mask is not None:
        labels = np.where(mask, labels, -1)
        notes.append(f"only the {np.count_nonzero(mask)} pixels of the mask count")
    if segmentation.retraining:
        notes.append(segmentation.retraining)
    if not (labels >= 0).any():
        raise UserError("no pixel of the segmentation has a label within the mask")
    agreement = None if reference is None else _agreement(labels, reference, segmentation.k, alpha, beta)
    internal = criteria = stable = changed = None
    if segmentation.latents is None:
        notes.append(
            "the segmentation was written by an earlier version, without its latent points: "
            "segment again for the criteria for K and the stability"
        )
    else:
        place = labels >= 0
        z_PL = torch.from_numpy(segmentation.latents[place]).to(device)
        labels_P = torch.from_numpy(labels[place]).to(device)
        generator = torch.Generator().manual_seed(seed)
        internal = _internal(z_PL, labels_P, torch.from_numpy(segmentation.cluster_centers).to(device), generator)
        criteria = None if k is None else _criteria(z_PL, k, generator, notes)
        if refits:
            stable = _stability(z_PL, labels_P, segmentation.k, refits, generator, notes)
        if stable is not None:
            changed = np.full(labels.shape, np.nan, dtype=np.float32)
            changed[place] = stable.changed_N.cpu().numpy()
    return Evaluation(
        labels=labels,
        k=segmentation.k,
        reference=reference,
        agreement=agreement,
        internal=internal,
        criteria=criteria,
        stability=stable,
        changed=changed,
        structure=segmentation.structure,
        notes=tuple(notes),
        method=method_of(segmentation),
        partition="nearest" if segmentation.clustering is None else segmentation.clustering.partition,
        drift=segmentation.drift,
        names=segmentation.names or (),
    )


def method_of(segmentation: Segmentation) -> str:
    """The name of a baseline, ready model or run folder; of a network also whether its own clusters were kept."""
    if segmentation.baseline is not None:
        return segmentation.baseline.method
    provenance = segmentation.provenance
    if not provenance.checkpoint:
        return "no checkpoint"
    folder = Path(provenance.checkpoint).absolute().parent
    name = folder.parent.name if folder.name == "checkpoints" else folder.name
    return f"{name_of(provenance.checkpoint) or name} ({provenance.clusters})"


def _agreement(labels: NDArray[np.int64], reference: Reference, k: int, alpha: float, beta: float) -> Agreement:
    if reference.labels.shape != labels.shape:
        raise UserError(f"{reference.source} has shape {reference.labels.shape}, the segmentation {labels.shape}")
    pair = torch.from_numpy(labels), torch.from_numpy(reference.labels)
    table = count_pairs(*pair, k, len(reference.names))
    if not table.any():
        raise UserError(f"no pixel has both a cluster and a class of {reference.source}")
    return score_agreement(table, alpha=alpha, beta=beta)


def _internal(z_PL: Tensor, labels_P: Tensor, centres_KL: Tensor, generator: torch.Generator) -> Internal | None:
    present = int((torch.bincount(labels_P) > 0).sum())
    if not 2 <= present < len(z_PL):
        return None
    anchors = max(ANCHORS, 2 * present)
    sums = sums_about_centres(z_PL, labels_P, centres_KL)
    return Internal(
        silhouette_samples=silhouette_estimate(z_PL, labels_P, anchors, generator=generator),
        silhouette_clusters=silhouette_estimate(z_PL, labels_P, anchors, average="clusters", generator=generator),
        davies_bouldin=davies_bouldin(sums, centres_KL),
        calinski_harabasz=calinski_harabasz(sums, centres_KL),
    )


def _criteria(z_PL: Tensor, k: tuple[int, int], generator: torch.Generator, notes: list[str]) -> KCriteria | None:
    if not 2 <= k[0] <= k[1]:
        raise UserError(f"k: expected 2 <= fewest <= most clusters, got {k[0]} and {k[1]}")
    if len(z_PL) <= k[1]:
        notes.append(f"no criteria for K: {len(z_PL)} pixels cannot be divided into {k[1]} clusters")
        return None
    try:
        return k_criteria(z_PL, *k, generator=generator)
    except TooFewPositionsError:
        notes.append(f"no criteria for K: the pixels have fewer than {k[0]} different latent points")
        return None


def _stability(
    z_PL: Tensor, labels_P: Tensor, k: int, refits: int, generator: torch.Generator, notes: list[str]
) -> Stability | None:
    present = torch.bincount(labels_P, minlength=k) > 0
    used = int(present.sum())
    if k == 1:
        notes.append("no stability: one material has no division that could be found again")
        return None
    if used < 2 or len(z_PL) < 2 * used:
        notes.append("no stability: it needs two clusters and two pixels for each")
        return None
    if used < k:  # clusters of the training that this cube does not have
        notes.append(f"refits look for the {used} clusters that have pixels")
    number_K = present.cumsum(0) - 1
    return stability(z_PL, number_K[labels_P], used, refits=refits, generator=generator)
