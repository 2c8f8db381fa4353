"""Evaluation: all that is said about a segmentation.

Shapes: H rows, W columns, K clusters, R classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.evaluation.reference import Reference
    from deepspec.functional import Agreement, KCriteria, SilhouetteEstimate, Stability
    from deepspec.segmentation import Drift
    from deepspec.segmentation.structure import Structure

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
