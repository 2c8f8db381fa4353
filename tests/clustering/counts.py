"""Made counts: spectra with peaks, one for each material."""

import numpy as np

CHANNELS = 120


def spectra(materials, overlap=0.6, seed=0):
    """(K, C) probabilities over the channels; materials share a part of their peaks."""
    rng = np.random.default_rng(seed)
    channel = np.arange(CHANNELS)
    common = sum(np.exp(-((channel - peak) ** 2) / 8) for peak in rng.uniform(5, 115, 4)) + 0.05
    own = [
        sum(np.exp(-((channel - peak) ** 2) / 8) for peak in rng.uniform(5, 115, 3)) + 0.05 for _ in range(materials)
    ]
    mixed = np.stack([overlap * common / common.sum() + (1 - overlap) * one / one.sum() for one in own])
    return mixed / mixed.sum(1, keepdims=True)


def drawn(spectra_KC, labels_N, counts, seed=1):
    """(N, C) Poisson counts; `counts` is the mean number of each pixel, or one for all."""
    rng = np.random.default_rng(seed)
    expected = spectra_KC[labels_N] * np.broadcast_to(np.asarray(counts, dtype=float), len(labels_N))[:, None]
    return rng.poisson(expected).astype(np.float32)
