"""What the page of a report needs to cut the merge tree, to show memberships, and to say where the map is unsure.

Shapes: H rows, W columns, K clusters, M leaves, S pixels of the sample of latent points.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.reporting.style import cluster_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.segmentation import Segmentation

MOST_MEMBERSHIPS = 2**20
"""Most characters that memberships may take of a page, so that it stays light to mail and to open."""

TOO_MANY = "The probabilities of the clusters are left out of this page, which they would make too large: they are in "
TOO_MANY += "segmentation.h5, and --export memberships writes them as images."


def deflated(values: NDArray[Any]) -> str:
    """The bytes of an array, deflated, as base64."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 6)).decode("ascii")


def tree_data(segmentation: Segmentation, pixels_S: NDArray[np.intp] | None) -> dict[str, Any] | None:
    """The merge tree and its leaves; what is the same as of the clusters is null. None without a tree.

    Args:
        segmentation: whose.
        pixels_S: (S,) the pixels whose latent points are shown; None if none are.
    """
    leaves = segmentation.leaves
    if leaves is None:
        return None
    own = list(leaves.parents) == list(range(segmentation.k))  # the leaves are the clusters
    spectra = {
        "raw": leaves.mean_raw,
        "input": leaves.mean_input,
        "reconstructed": leaves.mean_reconstructed,
        "centre": leaves.decoded_centre,
    }
    in_sample = None if own or pixels_S is None else leaves.labels.reshape(-1)[pixels_S]
    return {
        "merges": [[merge.first, merge.second, merge.r] for merge in leaves.tree.merges],
        "parents": list(leaves.parents),
        "sizes": leaves.sizes.tolist(),
        "colours": leaf_colours(leaves.parents, leaves.sizes.tolist(), segmentation.k),
        "labels": None if own else deflated(leaves.labels.astype("<i2")),
        "spectra": None if own else {name: deflated(values.astype("<f4")) for name, values in spectra.items()},
        "centres": None if own else deflated(leaves.centres.astype("<f4")),
        "sample": None if in_sample is None else deflated(in_sample.astype("<i2")),
    }


def leaf_colours(parents: tuple[int, ...], sizes: list[int], k: int) -> list[str]:
    """A colour for each leaf: the largest of each cluster has the cluster's, the others are paler.

    A cluster of any cut has the colour of its largest leaf: clusters keep their colours while others merge.

    Args:
        parents: (M,) cluster of each leaf.
        sizes: (M,) pixels.
        k: clusters.
    """
    colours = [""] * len(parents)
    for cluster, colour in enumerate(cluster_colours(k)):
        own = sorted((leaf for leaf, parent in enumerate(parents) if parent == cluster), key=lambda leaf: -sizes[leaf])
        for rank, leaf in enumerate(own):
            colours[leaf] = _paler(colour, 0.65 * rank / len(own))
    return colours


def _paler(colour: str, share: float) -> str:
    """A colour mixed with white."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in parts)


def memberships_data(segmentation: Segmentation) -> tuple[str | None, str]:
    """Probabilities of 8 bits (K, H, W), deflated, and a note for the reader where they are too many to be shown."""
    if segmentation.memberships is None or segmentation.k == 1:
        return None, ""
    if segmentation.memberships.size > 1000 * MOST_MEMBERSHIPS:  # nothing deflates better than that
        return None, TOO_MANY
    content = deflated(bytes_of(np.moveaxis(segmentation.memberships, -1, 0)))
    return (content, "") if len(content) <= MOST_MEMBERSHIPS else (None, TOO_MANY)


def disagreement_data(segmentation: Segmentation) -> str | None:
    """Share of an ensemble's members that put each pixel elsewhere, of 8 bits (H, W); None without an ensemble."""
    found: NDArray[np.floating] | None = getattr(segmentation, "disagreement", None)
    return None if found is None else deflated(bytes_of(found))


def bytes_of(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Shares 0 to 1 as 8 bits, 0 where they are NaN."""
    filled = np.where(np.isfinite(shares), shares, 0)
    whole: NDArray[np.uint8] = np.rint(255 * np.clip(filled, 0, 1)).astype(np.uint8)
    return whole
