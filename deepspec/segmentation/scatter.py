"""How much of what tells clusters apart is scatter of the X-ray tube's lines, and not the elements of the sample.

C channels, K clusters.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOSTLY = 0.5
"""Scatter drives a border of which it makes more than this share."""


def scatter_share(
    mean_KC: NDArray[np.float64], sizes_K: NDArray[np.int64], scattered_C: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share of what tells each pair of clusters apart that goes when the channels of scatter are left out.

    With p and q the mean spectra of two clusters, each divided by its sum, pixels are told apart by a mean
    log likelihood ratio of J = sum (p - q) log(p / q) over all channels (Jeffreys' divergence). With p' and q' these
    spectra in the other channels E alone, divided by their sums P and Q there, the elements account for

        J_E = P sum_E p' log(p' / q') + Q sum_E q' log(q' / p'),

    by the chain rule a part of J, and the share is 1 - J_E / J. It is not the sum of the terms of J over the channels
    of scatter: where one sample scatters more, the shares of all its elements fall.

    From J and J_E is taken what noise alone would give, half the sum over their channels of 1 / n for the counts n of
    each of the two spectra, so that small clusters are not said to differ where they are noisy; a channel where both
    have c counts enters this with c / (c + 1). Half a count is added to each channel of a cluster, as an empty one has
    no logarithm.

    Args:
        mean_KC: mean counts of each cluster, NaN for an empty one.
        sizes_K: pixels of each.
        scattered_C: bool, which channels are those of scatter.

    Returns:
        float64 (K, K), symmetric, 0 to 1; NaN on the diagonal, for empty clusters, and where nothing but noise is left.
    """
    k = len(mean_KC)
    share_KK = np.full((k, k), np.nan)
    counts_KC = np.maximum(mean_KC, 0) * sizes_K[:, None]
    usable = [i for i in range(k) if sizes_K[i] > 0 and np.isfinite(counts_KC[i]).all() and counts_KC[i].any()]
    for i, j in itertools.combinations(usable, 2):
        total = _divergence(counts_KC[i], counts_KC[j], np.ones_like(scattered_C))
        elements = _divergence(counts_KC[i], counts_KC[j], ~scattered_C)
        if total > 0:
            share_KK[i, j] = share_KK[j, i] = min(1.0, max(0.0, 1 - elements / total))
    return share_KK


def _divergence(first_C: NDArray[np.float64], second_C: NDArray[np.float64], channels_C: NDArray[np.bool_]) -> float:
    """Jeffreys' divergence of two spectra in some channels, weighted by their shares there, less that of noise."""
    if not channels_C.any():
        return 0.0
    both_C = (first_C + second_C)[channels_C]
    occupied = float((both_C / (both_C + 1)).sum())
    spectra, weights, noise = [], [], 0.0
    for counts_C in (first_C + 0.5, second_C + 0.5):
        inside = float(counts_C[channels_C].sum())
        spectra.append(counts_C[channels_C] / inside)
        weights.append(inside / float(counts_C.sum()))
        noise += occupied / inside
    ratio_C = np.log(spectra[0] / spectra[1])
    found = weights[0] * float(spectra[0] @ ratio_C) - weights[1] * float(spectra[1] @ ratio_C)
    return found - 0.5 * sum(weights) * noise


def scatter_note(share_KK: NDArray[np.float64] | None, anode: str) -> str:
    """A sentence that names the borders that scatter drives, the most driven first; empty where it drives none."""
    if share_KK is None:
        return ""
    k = len(share_KK)
    driven = [(float(share_KK[i, j]), i, j) for i in range(k) for j in range(i + 1, k) if share_KK[i, j] > MOSTLY]
    if not driven:
        return ""
    driven.sort(reverse=True)
    pairs = ", ".join(f"{i} and {j} ({share:.0%})" for share, i, j in driven[:5])
    more = f" and {len(driven) - 5} more" if len(driven) > 5 else ""
    return (
        f"scatter drives the border between clusters {pairs}{more}: most of what tells them apart goes when the "
        f"channels are left out where the sample scatters the tube's {anode} lines; it may be thickness or support, "
        "and not elements"
    )
