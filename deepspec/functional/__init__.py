"""Pure tensor maths, no state: clustering, silhouette, discrepancy and agreement."""

from deepspec.functional.agreement import adjusted_rand_index, contingency_table, match_labels
from deepspec.functional.agreement_scores import (
    Agreement,
    confusion_matrix,
    purity,
    score_agreement,
    shared_information,
    tversky_index,
)
from deepspec.functional.k_criteria import KCriteria, k_criteria
from deepspec.functional.kmeans import (
    IKMeansResult,
    KMeansResult,
    TooFewPositionsError,
    clustered_silhouette,
    ikmeans,
    kmeans,
    kmeans_range,
)
from deepspec.functional.mmd import mmd, normal_mmd
from deepspec.functional.silhouette import (
    SilhouetteEstimate,
    silhouette_estimate,
    silhouette_samples,
    silhouette_score,
)
from deepspec.functional.stability import Stability, stability

__all__ = [
    "Agreement",
    "IKMeansResult",
    "KCriteria",
    "KMeansResult",
    "SilhouetteEstimate",
    "Stability",
    "TooFewPositionsError",
    "adjusted_rand_index",
    "clustered_silhouette",
    "confusion_matrix",
    "contingency_table",
    "ikmeans",
    "k_criteria",
    "kmeans",
    "kmeans_range",
    "match_labels",
    "mmd",
    "normal_mmd",
    "purity",
    "score_agreement",
    "shared_information",
    "silhouette_estimate",
    "silhouette_samples",
    "silhouette_score",
    "stability",
    "tversky_index",
]
