"""Cubes of known materials, and models of them: a linear one worked out directly, and a network trained in memory."""

import numpy as np
import torch
from torch import nn

from deepspec.axis import SpectralAxis
from deepspec.clustering import Clusters
from deepspec.data.cube import SpectralCube
from deepspec.models import NetworkConfig
from deepspec.models.autoencoder import Latent
from deepspec.preprocess import Preprocess
from deepspec.training.module import DeepClustering
from deepspec.training.objective import Objective, ObjectiveConfig, Weights

AXIS = SpectralAxis.linear(1.0, 0.25, 60, "keV")


def planted_rates(k=4, channels=60, counts=900.0):
    """(k, channels) expected counts: one peak of its own for each material, on a background they share."""
    e = np.arange(channels)
    centres = np.linspace(8, channels - 8, k)
    peaks = np.exp(-0.5 * ((e - centres[:, None]) / 2.5) ** 2)
    rates = peaks + 0.3 * np.exp(-e / 40)
    return counts * rates / rates.sum(1, keepdims=True)


def planted_cube(height=24, width=30, k=4, seed=0, counts=900.0):
    """Cube (uint16) and its labels: vertical bands whose widths grow with the number."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(np.arange(1, k + 1)) / (k * (k + 1) / 2)
    labels = np.searchsorted(edges, (np.arange(width) + 0.5) / width)
    labels = np.broadcast_to(labels, (height, width)).copy()
    counts_hwc = rng.poisson(planted_rates(k, counts=counts)[labels]).astype(np.uint16)
    return SpectralCube.from_array(counts_hwc, AXIS), labels


class _LinearNetwork(nn.Module):
    def __init__(self, mean_d, axes_ld):
        super().__init__()
        self.register_buffer("mean_D", mean_d)
        self.register_buffer("axes_LD", axes_ld)
        self.dropout = nn.Dropout(0.5)

    def encode(self, x_nd):
        return Latent((self.dropout(x_nd) - self.mean_D) @ self.axes_LD.T, None)

    def decode(self, z_nl):
        return z_nl @ self.axes_LD + self.mean_D


class LinearModel(nn.Module):
    """Principal components of the square roots of a cube's counts, with the attributes that segmenting asks for."""

    def __init__(self, cube, latent=3, steps=("sqrt",), axis=None, k_max=16):
        super().__init__()
        self.axis = axis or cube.axis
        self.preprocess = Preprocess(cube.shape[2], list(steps))
        x = torch.from_numpy(np.nan_to_num(cube.read_rows(0, cube.shape[0]).reshape(-1, cube.shape[2])).clip(min=0))
        self.preprocess.fit(x)
        y = self.preprocess(x)
        self.network = _LinearNetwork(y.mean(0), torch.linalg.svd(y - y.mean(0), full_matrices=False).Vh[:latent])
        self.clusters = Clusters(latent, k_max)
        self.eval()

    def decode(self, z_nl):
        return self.preprocess.inverse(self.network.decode(z_nl))


def spoilt_cube():
    """The planted cube as float32 with a masked pixel, one of zeros, one with NaN, one with infinity, in this order."""
    cube, labels = planted_cube()
    x = cube.read_rows(0, 24).astype(np.float32)
    mask = np.ones(labels.shape, bool)
    mask[0, 0] = False
    x[0, 0] = 60_000  # would show in every mean
    x[3, 5] = 0
    x[7, 20, 11] = np.nan
    x[23, 29, 0] = np.inf
    return SpectralCube.from_array(x, AXIS, mask), labels, [(0, 0), (3, 5), (7, 20), (23, 29)]


def train_by_heart(x, steps, output, epochs):
    """A network trained with a strong silhouette term on a few spectra, which it can tell apart by their noise."""
    torch.manual_seed(0)
    axis = SpectralAxis.linear(0, 1, x.shape[1], "channel")
    model = DeepClustering(
        axis.to_dict(), NetworkConfig(encoder=[128, 32], decoder=[32, 128], output=output), list(steps)
    )
    model.preprocess.fit(x)
    y = model.preprocess(x)
    objective, weights = Objective(ObjectiveConfig()), Weights(gamma=0.1)
    optimiser = torch.optim.Adam(model.network.parameters(), 2e-3)
    for _ in range(epochs):
        z = model.network.encode(y).mean_NL
        parts = objective(y, model.network.decode(z), z, z, weights, weights)
        optimiser.zero_grad()
        parts.total.backward()
        optimiser.step()
    return model.eval()
