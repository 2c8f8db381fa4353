"""What the page of a report needs to know, as JSON: arrays are base64 of little-endian bytes, large ones deflated.

With it the page cuts the merge tree, shows memberships and spectra, and says how firm borders are and where the map is
unsure.

Shapes: H rows, W columns, K clusters, M leaves, S pixels of the sample of latent points.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import zlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from deepspec.clustering.structure import GRADED
from deepspec.reporting.latent_figures import sample_latents
from deepspec.segmentation.scatter import MOSTLY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.lines.candidate import LabelledPeak
    from deepspec.reporting.latent_figures import LatentSample
    from deepspec.segmentation import Segmentation


MOST_MEMBERSHIPS = 2**20
"""Most characters that memberships may take of a page, so that it stays light to mail and to open."""

TOO_MANY = (
    "The probabilities of the clusters are left out of this page, which they would make too large: they are in "
    "segmentation.h5, and --export memberships writes them as images."
)


class Border(NamedTuple):
    """What divides two clusters."""

    first: int
    """Cluster, the smaller number."""
    second: int
    """The other."""
    r: float
    """Valley ratio: the density along the border over the lower height beside it, 0 to 1."""
    kind: Literal["firm", "graded"]
    """Firm where r is below `GRADED`."""
    scatter: float | None
    """How much of what tells the two apart is scatter of the tube's lines, 0 to 1 (`scatter_share`); None where it is
    not known."""

    @property
    def scatter_text(self) -> str:
        """The share, and whether scatter drives the border."""
        if self.scatter is None:
            return "not known"
        return f"{100 * self.scatter:.0f} %" + (", drives the border" if self.scatter > MOSTLY else "")


def borders_of(segmentation: Segmentation) -> list[Border] | None:
    """The border of every pair of clusters, the most graded first; None where borders were not looked at.

    Of equal ones the pair with the lower numbers comes first.
    """
    if segmentation.borders is None:
        return None
    found = []
    shares = segmentation.border_scatter
    for first, second in itertools.combinations(range(segmentation.k), 2):
        r = float(segmentation.borders[first, second])
        share = math.nan if shares is None else float(shares[first, second])
        scatter = share if math.isfinite(share) else None
        found.append(Border(first, second, r, "firm" if r < GRADED else "graded", scatter))
    return sorted(found, key=lambda border: -border.r)


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
        "colours": leaf_colours(leaves.parents, leaves.sizes.tolist(), segmentation.cluster_colours),
        "labels": None if own else deflated(leaves.labels.astype("<i2")),
        "spectra": None if own else {name: deflated(values.astype("<f4")) for name, values in spectra.items()},
        "centres": None if own else deflated(leaves.cluster_centers.astype("<f4")),
        "sample": None if in_sample is None else deflated(in_sample.astype("<i2")),
    }


def leaf_colours(parents: tuple[int, ...], sizes: list[int], cluster_colours: Sequence[str]) -> list[str]:
    """A colour for each leaf: the largest of each cluster has the cluster's, the others are paler.

    A cluster of any cut has the colour of its largest leaf: clusters keep their colours while others merge.

    Args:
        parents: (M,) cluster of each leaf.
        sizes: (M,) pixels.
        cluster_colours: (K,) of the clusters.
    """
    colours = [""] * len(parents)
    for cluster, colour in enumerate(cluster_colours):
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


def report_data(
    segmentation: Segmentation, labels: Sequence[Sequence[LabelledPeak]], memberships: str | None = None
) -> str:
    """JSON text that may stand inside a script element.

    Args:
        segmentation: what the page shows.
        labels: peaks of each cluster.
        memberships: of `memberships_data`, if they are shown.
    """
    rows, columns = segmentation.labels.shape
    spectra = {
        "raw": ("measured", segmentation.mean_raw, "counts or flux as measured"),
        "input": ("decoded", segmentation.mean_input, segmentation.quantity),
        "reconstructed": ("decoded", segmentation.mean_reconstructed, segmentation.quantity),
        "centre": ("decoded", segmentation.decoded_centre, segmentation.quantity),
    }
    sample = sample_latents(segmentation)
    data = {
        "rows": rows,
        "columns": columns,
        "names": segmentation.cluster_names,
        "colours": segmentation.cluster_colours,
        "labels": deflated(segmentation.labels.astype("<i2")),
        "sizes": segmentation.sizes.tolist(),
        "images": {
            "measured": _grey(segmentation.total_raw),
            "decoded": _grey(segmentation.total_reconstructed),
        },
        "memberships": memberships,
        "disagreement": disagreement_data(segmentation),
        "axes": {"measured": _axis(segmentation.axis), "decoded": _axis(segmentation.decoded_axis)},
        "spectra": {
            name: {"axis": axis, "quantity": quantity, "values": _floats(values)}
            for name, (axis, values, quantity) in spectra.items()
        },
        "peaks": [[_peak(found) for found in cluster] for cluster in labels],
        "centres": _floats(segmentation.cluster_centers),
        "latents": _latents(sample),
        "borders": None if segmentation.borders is None else segmentation.borders.tolist(),
        "graded": GRADED,
        "scattered": None if segmentation.scattered is None else np.flatnonzero(segmentation.scattered).tolist(),
        "mostly": MOSTLY,
        "tree": tree_data(segmentation, None if sample is None else sample.pixels_S),
    }
    return json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _floats(values: NDArray[Any]) -> str:
    return _base64(np.ascontiguousarray(values, dtype="<f4").tobytes())


def _grey(image: NDArray[np.float32]) -> str:
    """(H, W) of 8 bits, half a percent of the pixels beyond black and white each."""
    finite = np.isfinite(image)
    low, high = np.percentile(image[finite], [0.5, 99.5]) if finite.any() else (0.0, 1.0)
    shade = (np.where(finite, image, low) - low) / (high - low if high > low else 1)
    return _base64(zlib.compress((255 * np.clip(shade, 0, 1)).round().astype(np.uint8).tobytes(), 1))


def _axis(axis: SpectralAxis) -> dict[str, str]:
    return {"label": axis.label, "unit": axis.unit, "values": _floats(axis.values)}


def _peak(found: LabelledPeak) -> dict[str, Any]:
    return {
        "position": found.peak.position,
        "height": found.peak.height,
        "significance": round(found.peak.significance, 1),
        "text": found.text,
        "candidates": [
            {
                "label": candidate.label,
                "kind": candidate.kind,
                "score": round(candidate.score, 3),
                "family": round(candidate.family, 3),
            }
            for candidate in found.candidates
        ],
    }


def _latents(sample: LatentSample | None) -> dict[str, Any] | None:
    if sample is None:
        return None
    return {
        "dimensions": sample.points_SL.shape[1],
        "points": _floats(sample.points_SL),
        "labels": _base64(sample.labels_S.astype("<i2").tobytes()),
    }
