"""Segmentations to draw, with the right shapes and types: what figures show is worked out elsewhere."""

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.functional import SilhouetteEstimate
from deepspec.segmentation import PixelSample, Provenance, Segmentation, Structure


def segmentation(k=3, shape=(12, 20), channels=40, axis=None, latent=3):
    """Noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(shape[0] * shape[1]).reshape(shape) % (k + 1) - 1
    axis = axis or SpectralAxis.linear(1.0, 0.5, channels, "keV")
    image = np.where(labels < 0, np.nan, rng.uniform(1, 2, shape)).astype(np.float32)
    spectra = [100 * rng.uniform(0, 1, (k, axis.channels)) for _ in range(4)]
    pixels = np.flatnonzero(labels.ravel() >= 0)
    return Segmentation(
        labels=labels.astype(np.int16),
        k=k,
        cluster_centers=rng.normal(size=(k, latent)).astype(np.float32),
        sizes=np.bincount(labels[labels >= 0], minlength=k),
        silhouette=SilhouetteEstimate(0.8123, 0.0046, 1024),
        scores={2: 0.5, k: 0.8, k + 1: np.nan},
        inertias={2: 3.0, k: 2.0, k + 1: 1.0},
        axis=axis,
        decoded_axis=axis,
        quantity="counts",
        mean_raw=spectra[0],
        mean_input=spectra[1],
        mean_reconstructed=spectra[2],
        decoded_centre=spectra[3],
        total_raw=image,
        total_reconstructed=2 * image**2,
        total_latent=image,
        structure=Structure("clear", 0.8, 0.8, 0.4, 0.01, 1 / 21, 1000),
        notes=(),
        provenance=Provenance("", "", "", "", "refit", 0, "1", "2", "3", "2026-11-22T18:26:00+00:00"),
        latents=np.where(labels[..., None] < 0, np.nan, rng.normal(size=(*shape, latent))).astype(np.float32),
        sample=PixelSample(
            pixels=pixels[:7],
            input=rng.uniform(0, 9, (len(pixels[:7]), axis.channels)).astype(np.float32),
            reconstructed=rng.uniform(0, 9, (len(pixels[:7]), axis.channels)).astype(np.float32),
        ),
    )
