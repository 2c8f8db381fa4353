"""A segmentation of known labels whose latent points are clouds around the centres."""

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.functional import SilhouetteEstimate
from deepspec.segmentation import Provenance, Segmentation, Structure


def bands(height=20, width=30, k=3):
    """(H, W) vertical bands of equal width."""
    return np.broadcast_to(np.arange(width) * k // width, (height, width)).astype(np.int16).copy()


def segmentation(labels=None, spread=0.5, verdict="clear", latents=True):
    """With label -1 where there is none, and a cluster for every number up to the highest."""
    labels = bands() if labels is None else labels
    k = int(labels.max()) + 1
    rng = np.random.default_rng(0)
    centres = (10 * np.eye(max(k, 3))[:k, :3] if k <= 3 else 10 * rng.normal(size=(k, 3))).astype(np.float32)
    z = centres[labels] + spread * rng.normal(size=(*labels.shape, 3)).astype(np.float32)
    z[labels < 0] = np.nan
    axis = SpectralAxis.linear(1.0, 0.5, 8, "keV")
    image = np.where(labels < 0, np.nan, 1).astype(np.float32)
    spectra = np.ones((k, 8))
    return Segmentation(
        labels=labels,
        k=k,
        cluster_centers=centres,
        sizes=np.bincount(labels[labels >= 0], minlength=k),
        silhouette=SilhouetteEstimate(0.8, 0.0, 600),
        scores={},
        inertias={},
        axis=axis,
        decoded_axis=axis,
        quantity="counts",
        mean_raw=spectra,
        mean_input=spectra,
        mean_reconstructed=spectra,
        decoded_centre=spectra,
        total_raw=image,
        total_reconstructed=image,
        total_latent=image,
        structure=Structure(verdict, 0.8, 0.8, 0.4, 0.01, 0.05, 600),
        notes=(),
        provenance=Provenance("", "", "", "", "refit", 0, "1", "2", "3", "now"),
        latents=z if latents else None,
    )
