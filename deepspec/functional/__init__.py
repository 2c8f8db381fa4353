"""Pure tensor maths, no state: clustering, silhouette, discrepancy and agreement."""

from deepspec.functional.agreement import adjusted_rand_index, contingency_table, match_labels
from deepspec.functional.kmeans import (
    IKMeansResult,
    KMeansResult,
    TooFewPositionsError,
    clustered_silhouette,
    ikmeans,
    kmeans,
)
from deepspec.functional.mmd import mmd, normal_mmd
from deepspec.functional.silhouette import (
    SilhouetteEstimate,
    silhouette_estimate,
    silhouette_samples,
    silhouette_score,
)

__all__ = [
    "IKMeansResult",
    "KMeansResult",
    "SilhouetteEstimate",
    "TooFewPositionsError",
    "adjusted_rand_index",
    "clustered_silhouette",
    "contingency_table",
    "ikmeans",
    "kmeans",
    "match_labels",
    "mmd",
    "normal_mmd",
    "silhouette_estimate",
    "silhouette_samples",
    "silhouette_score",
]
