"""Split an image into its main colours: K-Means on the pixels, K by silhouette.

Shapes: H rows, W columns, N pixels, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from skimage.color import rgb2lab

from deepspec.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ColourSpace = Literal["rgb", "lab"]
FITTED_PIXELS = 20_000
SCORED_PIXELS = 2048
SCORES_PER_K = 3
TOLERANCE = 0.01  # scores this near the best count as equal, and the smallest K of them is taken


@dataclass(frozen=True)
class ColourClusters:
    """Main colours of an image.

    Attributes:
        labels: (H, W) int16, 0 to K - 1; every label occurs.
        colours: (K, 3) float64 mean sRGB of each cluster in [0, 1].
        scores: mean silhouette of each K tried.
    """

    labels: NDArray[np.int16]
    colours: NDArray[np.float64]
    scores: dict[int, float]

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.colours)


def cluster_colours(
    rgb_HW3: NDArray[np.uint8], k_range: tuple[int, int] = (3, 10), *, space: ColourSpace = "rgb", seed: int = 0
) -> ColourClusters:
    """Cluster the colours of an image.

    Every K of the range, both ends included, is fitted on at most 20,000 pixels and scored by the silhouette,
    averaged over three subsamples of 2048 pixels that are the same for all K.

    Args:
        rgb_HW3: uint8 image.
        k_range: least and greatest K; equal ones skip the search.
        space: cluster in sRGB, as the paper does, or in CIELAB, where distances follow the eye.
        seed: of the subsamples and of K-Means.

    Raises:
        UserError: if the range is not 2 <= least <= greatest or the image has fewer colours than the least K.
    """
    k_min, k_max = k_range
    if not 2 <= k_min <= k_max:
        raise UserError(f"k_range={k_min}, {k_max}: expected 2 <= least <= greatest")
    height, width, _ = rgb_HW3.shape
    rgb_N3 = rgb_HW3.reshape(-1, 3) / 255.0
    x_N3 = rgb_N3 if space == "rgb" else rgb2lab(rgb_N3)
    rng = np.random.default_rng(seed)
    sample = x_N3[rng.choice(len(x_N3), min(FITTED_PIXELS, len(x_N3)), replace=False)]
    colours = len(np.unique(sample, axis=0))
    if colours < k_min or len(sample) <= k_min:
        raise UserError(
            f"the image has {colours} distinct colours in {len(sample)} pixels, too few for {k_min} clusters: "
            f"use another image or a lower k_range"
        )
    labels, scores = _search(sample, x_N3, range(k_min, min(k_max, colours, len(sample) - 1) + 1), rng)
    sizes = np.bincount(labels)
    means = np.stack([np.bincount(labels, weights=rgb_N3[:, i]) / sizes for i in range(3)], axis=1)
    return ColourClusters(labels.reshape(height, width).astype(np.int16), means, scores)


def _search(
    sample_N3: NDArray[np.float64], x_N3: NDArray[np.float64], ks: range, rng: np.random.Generator
) -> tuple[NDArray[np.intp], dict[int, float]]:
    """Labels of all pixels for the smallest K that scores like the best on the sample, and the scores."""
    # Here, not on top: scikit-learn takes two seconds to import, and most commands that get here do not need it.
    from sklearn.cluster import KMeans
    from sklearn.metrics import euclidean_distances
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    scored = min(SCORED_PIXELS, len(sample_N3))
    picks = [rng.choice(len(sample_N3), scored, replace=False) for _ in range(SCORES_PER_K if len(ks) > 1 else 0)]
    models, scores = {}, {}
    # One thread: with more, the order of summation and so the last bits of the centres vary from run to run.
    with threadpool_limits(1):
        distances = [euclidean_distances(sample_N3[pick]) for pick in picks]
        for k in ks:
            models[k] = KMeans(k, n_init=4, random_state=int(rng.integers(2**31))).fit(sample_N3)
            if picks:
                labels_of_picks = [models[k].labels_[pick] for pick in picks]
                scores[k] = float(np.mean(list(map(_silhouette, distances, labels_of_picks))))
        best = min((k for k in scores if scores[k] >= max(scores.values()) - TOLERANCE), default=ks[0])
        predicted = models[best].predict(x_N3)
    # Relabelled without gaps: a cluster that keeps no pixel of the whole image does not exist.
    return np.unique(predicted, return_inverse=True)[1], scores


def _silhouette(distance_NN: NDArray[np.float64], labels_N: NDArray[np.int32]) -> float:
    if not 1 < len(np.unique(labels_N)) < len(labels_N):
        return 0.0  # the subsample missed all clusters but one
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(distance_NN, labels_N, metric="precomputed"))
