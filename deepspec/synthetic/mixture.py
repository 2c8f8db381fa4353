"""From a colour to the pigments that could have made it, by colour distance.

Shapes: N colours, P pigments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Weighting = Literal["linear", "softmin"]
SOFTMIN_SCALE = 8.0  # delta-E 2000 units in which a softmin weight falls by e
_BLOCK = 8192  # colours at a time: delta-E keeps some twenty temporaries of (N, P)


def colour_distance(rgb_N3: NDArray[np.floating], rgb_P3: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, P) CIE delta-E 2000 between sRGB colours in [0, 1]: 1-2 is just visible, black to white is 100."""
    lab_P3 = rgb2lab(np.asarray(rgb_P3, dtype=np.float64))[None, :, :]
    lab_N3 = rgb2lab(np.asarray(rgb_N3, dtype=np.float64))[:, None, :]
    compare: Callable[..., NDArray[np.float64]] = deltaE_ciede2000
    blocks = [compare(lab_N3[i : i + _BLOCK], lab_P3) for i in range(0, len(lab_N3), _BLOCK)]
    return np.concatenate(blocks)


def pigment_weights(
    distance_NP: NDArray[np.float64],
    *,
    threshold: float = 0.6,
    weighting: Weighting = "linear",
    top_k: int | None = None,
) -> NDArray[np.float64]:
    """Shares of the pigments in each colour.

    Similarity is `(101 - dE) / 101`, as in ganX. Pigments below the threshold are left out; where that leaves
    none, the nearest pigment alone is taken.

    Args:
        distance_NP: delta-E 2000 from each colour to each pigment.
        threshold: least similarity, below 1; 0.6 keeps dE up to 40, 0.2 up to 81.
        weighting: "linear" weighs by similarity, as the paper does, and gives nearly equal shares to many
            pigments; "softmin" weighs by `exp(-(dE - min dE) / 8)`, which one or two pigments dominate.
        top_k: keep at most this many pigments, the nearest ones; default all.

    Returns:
        (N, P) weights that sum to 1 in each row.

    Raises:
        UserError: if the threshold is not below 1 or top_k is below 1.
    """
    if not threshold < 1.0:
        raise UserError(f"threshold={threshold}: expected a similarity below 1, for example 0.6")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k={top_k}: expected at least 1 pigment")
    nearest_N1 = distance_NP.min(axis=1, keepdims=True)
    similarity = (101.0 - distance_NP) / 101.0
    weights = similarity if weighting == "linear" else np.exp((nearest_N1 - distance_NP) / SOFTMIN_SCALE)
    rank_NP = distance_NP.argsort(axis=1, kind="stable").argsort(axis=1)
    kept = similarity >= threshold
    if top_k is not None:
        kept &= rank_NP < top_k
    # A similarity of dE > 101 is negative: it never becomes a weight, whatever the threshold.
    kept &= weights > 0
    weights = np.where(kept, weights, 0.0)
    weights[~kept.any(axis=1)] = (rank_NP == 0)[~kept.any(axis=1)]
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
