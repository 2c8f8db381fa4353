"""Evaluation: all that is said about a segmentation, as numbers and in a few lines of plain words.

Shapes: H rows, W columns, K clusters, R classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.clustering.structure import Structure
    from deepspec.evaluation.reference import Reference
    from deepspec.functional import Agreement, KCriteria, SilhouetteEstimate, Stability
    from deepspec.segmentation import Drift


JUDGED_BY = {"gaussians": "Gaussian densities", "counts": "the likelihood of the counts"}
"""What the partitions go by that do not go by the nearest centre."""

NO_CLASS = -2
"""In `Evaluation.matched`: the pixel's cluster has no class."""


@dataclass(frozen=True)
class Internal:
    """Indices that need no reference, of the latent points or of the preprocessed spectra."""

    silhouette_samples: SilhouetteEstimate
    """Silhouette, averaged over pixels."""
    silhouette_clusters: SilhouetteEstimate
    """Averaged within each cluster and then over clusters (equation 2 of the paper)."""
    davies_bouldin: float
    """The smaller, the better separated."""
    calinski_harabasz: float
    """The larger, the better separated."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found; None where there was nothing to find it from."""

    labels: NDArray[np.int64]
    """(H, W) the segmentation's labels, -1 outside the mask."""
    k: int
    """Its number of clusters."""
    reference: Reference | None
    """What it was compared with, at its size."""
    agreement: Agreement | None
    """How well they agree."""
    internal: Internal | None
    """Without any reference, of the latent points."""
    criteria: KCriteria | None
    """How many clusters there are by several criteria."""
    stability: Stability | None
    """Whether refits find the same."""
    changed: NDArray[np.float32] | None
    """(H, W) share of the refits in which a pixel changes its cluster; NaN without a label."""
    structure: Structure
    """Whether there is more than one material at all."""
    notes: tuple[str, ...]
    """What should be known about it, in sentences."""
    method: str = ""
    """What made the segmentation: a baseline, or the run of a network."""
    input_space: Internal | None = None
    """Without any reference, of the preprocessed spectra: see `scores_in_input_space`."""
    partition: str = "nearest"
    """What the segmentation's pixels are judged by, see `ClusteringRecord`."""
    drift: Drift | None = None
    """Of frozen clusters: how the scan differs from the training."""
    names: tuple[str, ...] = ()
    """(K,) what its clusters were called by hand, empty for those that were not; empty if none was."""

    def called(self, cluster: int) -> str:
        """Number of a cluster, and its name if it has one."""
        name = self.names[cluster] if self.names and cluster >= 0 else ""
        return f"{cluster} ({name})" if name else str(cluster)

    @property
    def matched(self) -> NDArray[np.int64] | None:
        """(H, W) class of each pixel's cluster, `NO_CLASS` where that has none, -1 without a label."""
        if self.agreement is None:
            return None
        match = self.agreement.match_P.cpu().numpy()
        matched: NDArray[np.int64] = np.append(np.where(match < 0, NO_CLASS, match), -1)[self.labels]
        return matched

    @property
    def compared(self) -> NDArray[np.bool_] | None:
        """(H, W) pixels that have a cluster and a class."""
        return None if self.reference is None else (self.labels >= 0) & (self.reference.labels >= 0)

    @property
    def k_sentence(self) -> str:
        """Whether the criteria agree on K, and whether there is anything to divide."""
        structure = f"{self.structure.sentence}{self._caution}"
        if self.criteria is None:
            return structure
        by = "" if self._by_centres else "by K-means on the latent points, "
        return f"{by}{self.criteria.sentence}. {structure[0].upper()}{structure[1:]}"

    @property
    def stability_sentence(self) -> str | None:
        """What resampling says; None if it was not tried."""
        if self.stability is None:
            return None
        return self.stability.sentence_of("" if self._by_centres else JUDGED_BY.get(self.partition, self.partition))

    @property
    def _by_centres(self) -> bool:
        """Whether the segmentation goes by the nearest centre, as the K-means does that it is held against."""
        return self.partition == "nearest"

    @property
    def _caution(self) -> str:
        if self.structure.verdict == "none":
            return ": any number of clusters divides noise here"
        unstable = self._by_centres and self.stability is not None and self.stability.level == "unstable"
        if self.structure.verdict == "weak" and unstable:
            return ": refits do not find the clusters again either, so take it for one material"
        return ""


def summary(evaluation: Evaluation) -> list[str]:
    """Lines to print: agreement, each class, indices, number of clusters, stability, notes."""
    lines: list[str] = []
    if evaluation.agreement is not None and evaluation.reference is not None:
        lines += _agreement(evaluation, evaluation.agreement, evaluation.reference)
    for space, internal in (("latent", evaluation.internal), ("input", evaluation.input_space)):
        if internal is not None:
            lines.append(
                f"in the {space} space: silhouette {_score(internal.silhouette_samples)} over pixels, "
                f"{_score(internal.silhouette_clusters)} over clusters; Davies-Bouldin {internal.davies_bouldin:.3f} "
                f"(low is good), Calinski-Harabasz {internal.calinski_harabasz:.0f} (high is good)"
            )
    lines.append(f"number of clusters: {evaluation.k_sentence}")
    if evaluation.stability_sentence is not None:
        lines.append(evaluation.stability_sentence)
    return lines + [f"note: {note}" for note in evaluation.notes]


def _agreement(evaluation: Evaluation, agreement: Agreement, reference: Reference) -> list[str]:
    clusters = len(agreement.match_P)
    ours = f"{clusters} clusters" if clusters > 1 else "one cluster"
    lines = [
        f"{ours} against {len(reference.names)} classes of {reference.source}, "
        f"{agreement.points} pixels that have both",
        f"{_percent(agreement.overall_accuracy)} of the pixels are in the cluster of their class; "
        f"ARI {agreement.ari:.3f}, NMI {agreement.information.nmi:.3f}, purity {agreement.purity:.3f}",
        f"F1 {agreement.macro['f1']:.3f} (by size {agreement.weighted['f1']:.3f}), "
        f"Tversky {agreement.macro['tversky']:.3f} (by size {agreement.weighted['tversky']:.3f})",
    ]
    for number, name in enumerate(reference.names):
        cluster, size = int(agreement.columns[number]), int(agreement.counts.support_R[number])
        if size == 0:
            lines.append(f"  class {name}: no pixel")
        elif cluster < 0:
            lines.append(f"  class {name}, {size} pixels: no cluster is left for it")
        else:
            scores = {key: float(agreement.per_class[key][number]) for key in ("recall", "precision", "f1")}
            lines.append(
                f"  class {name}, {size} pixels: {_percent(scores['recall'])} of it is in cluster "
                f"{evaluation.called(cluster)}, of which it makes up {_percent(scores['precision'])} "
                f"(F1 {scores['f1']:.3f})"
            )
    left = agreement.columns[len(reference.names) :].tolist()
    if left:
        lines.append(
            f"  without a class: cluster{'s' if len(left) > 1 else ''} {', '.join(map(evaluation.called, left))} "
            f"({_percent(agreement.unmatched_share)} of the pixels)"
        )
    return lines


def _score(estimate: SilhouetteEstimate) -> str:
    error = f" ± {estimate.standard_error:.3f}" if estimate.standard_error > 0 else ""
    return f"{estimate.score:.3f}{error}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
