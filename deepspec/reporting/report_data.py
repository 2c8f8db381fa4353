"""What the page of a report needs to know, as JSON: arrays are base64 of little-endian bytes, large ones deflated.

Shapes: H rows, W columns, K clusters, S pixels of the sample.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.reporting.latents import sample_latents
from deepspec.reporting.maps import cluster_name
from deepspec.reporting.style import cluster_colours
from deepspec.reporting.tree_data import deflated, disagreement_data, tree_data
from deepspec.segmentation.scatter import MOSTLY
from deepspec.segmentation.structure import GRADED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepspec.data.axis import SpectralAxis
    from deepspec.lines.candidate import LabelledPeak
    from deepspec.reporting.latents import LatentSample
    from deepspec.segmentation import Segmentation


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
        "names": [cluster_name(segmentation, cluster) for cluster in range(segmentation.k)],
        "colours": cluster_colours(segmentation.k),
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
        "centres": _floats(segmentation.centres),
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


def number(value: float, digits: int = 4) -> str:
    """A number for a reader; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}g}"
