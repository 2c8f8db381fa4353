"""What the spectra of each cluster scatter by, beside their means: quantiles, maxima, errors, differences.

Shapes: C channels, K clusters, N pixels, n rows of a block, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube

    Array = NDArray[np.float64]

SAMPLE_BYTES = 2**27
"""Most memory for the spectra that quantiles are taken from: 128 MiB."""

MOST_SAMPLED = 4096
"""Most spectra of a cluster for that; quantiles of 5 and 95 % are then right to half a percent of the pixels."""

QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, eq=False)
class ClusterStatistics:
    """Of the spectra of each cluster as measured; NaN for an empty cluster."""

    low: Array
    """(K, C) below which 5 % of the values lie, of the pixels that were sampled; likewise the next two."""
    median: Array
    """(K, C)."""
    high: Array
    """(K, C) above which 5 % lie."""
    maximum: Array
    """(K, C) the highest value of all pixels in each channel ("hot-max"): what few pixels have stands out here."""
    standard_error: Array
    """(K, C) of the mean, by the scatter of all pixels; NaN for a cluster of one."""
    difference: Array
    """(K, C) mean of the cluster less the mean of all other labelled pixels; NaN for a single cluster."""
    significance: Array
    """(K, C) the difference in units of its standard error."""
    sampled: NDArray[np.int64]
    """(K,) pixels that the quantiles come from; 0 where they are not known, as for clusters that were merged."""
    unit: str = ""
    """Of the values: the file's (BUNIT), counts for whole numbers, empty where it is not known."""

    @property
    def sentence(self) -> str:
        """From how many pixels the quantiles come."""
        known = self.sampled[self.sampled > 0]
        if known.size == 0:
            return "quantiles of the spectra are not known"
        return (
            f"median and 5 to 95 % band of a cluster come from a random sample of at most {MOST_SAMPLED} of its pixels "
            f"({known.min()} to {known.max()})"
        )


@dataclass(frozen=True, eq=False)
class _Sums:
    """Of each cluster, in double precision."""

    n_K: Array
    mean_KC: Array
    spread_KC: Array
    """Sum of the squared deviations from the mean."""


def cluster_statistics(
    cube: SpectralCube,
    labels: NDArray[np.integer],
    k: int,
    *,
    channels: int | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> ClusterStatistics:
    """Read a cube once more, a block at a time, and describe the spectra of each cluster.

    Args:
        cube: open.
        labels: (H, W) 0 to k - 1, -1 for pixels that count nowhere.
        k: number of clusters.
        channels: only the first so many; default all.
        seed: of the choice of pixels that quantiles are taken from.
        progress: called with the name of the pass, the pixels done and all.

    Raises:
        UserError: the labels are of another size than the cube, or the cube cannot be read.
    """
    if labels.shape != cube.mask.shape:
        raise UserError(f"labels: expected the size of the cube, {cube.mask.shape}, got {labels.shape}")
    channels = channels or cube.axis.channels
    rows, columns = cube.mask.shape
    most = max(8, min(MOST_SAMPLED, SAMPLE_BYTES // (4 * channels * max(k, 1))))
    sampled_HW = _choice(labels, k, most, seed)
    n_K = np.zeros(k)
    mean_KC, spread_KC = np.zeros((k, channels)), np.zeros((k, channels))
    maximum_KC = np.full((k, channels), -np.inf)
    kept: list[list[NDArray[np.float32]]] = [[] for _ in range(k)]
    whole = True
    for where, x_nWC in cube.blocks(min(cube.block_pixels, 8192)):
        own_nW = labels[where]
        for cluster in np.unique(own_nW[own_nW >= 0]).tolist():
            inside_nW = own_nW == cluster
            x_NC = x_nWC[inside_nW][:, :channels].astype(np.float64)
            # Chan, Golub & LeVeque (1983): counts of 1e5 with a scatter of 1 lose nothing.
            count, mean_C = len(x_NC), x_NC.mean(0)
            apart_C, total = mean_C - mean_KC[cluster], n_K[cluster] + count
            spread_KC[cluster] += ((x_NC - mean_C) ** 2).sum(0) + apart_C**2 * (n_K[cluster] * count / total)
            mean_KC[cluster] += apart_C * (count / total)
            n_K[cluster] = total
            np.maximum(maximum_KC[cluster], x_NC.max(0), out=maximum_KC[cluster])
            some_NC = x_NC[sampled_HW[where][inside_nW]]
            kept[cluster].append(some_NC.astype(np.float32))
            whole = whole and bool((some_NC == np.round(some_NC)).all() and (some_NC >= 0).all())
        if progress is not None:
            progress("statistics", where.stop * columns, rows * columns)
    quantiles = np.full((3, k, channels), np.nan)
    sampled_K = np.zeros(k, np.int64)
    for cluster, spectra in enumerate(kept):
        if n_K[cluster] > 0:
            together = np.concatenate(spectra)
            quantiles[:, cluster] = np.quantile(together, QUANTILES, axis=0)
            sampled_K[cluster] = len(together)
    unit = str(cube.metadata.get("BUNIT", "")).strip() or ("counts" if whole and (labels >= 0).any() else "")
    empty = n_K == 0
    maximum_KC[empty], mean_KC[empty] = np.nan, np.nan
    return _described(_Sums(n_K, mean_KC, spread_KC), quantiles, maximum_KC, sampled_K, unit)


def _described(
    sums: _Sums, quantiles: Array, maximum_KC: Array, sampled_K: NDArray[np.int64], unit: str
) -> ClusterStatistics:
    n_K1 = sums.n_K[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        variance_KC = np.where(n_K1 > 1, sums.spread_KC / (n_K1 - 1), np.nan)
        error_KC = np.sqrt(variance_KC / n_K1)
        seen = np.flatnonzero(sums.n_K)
        difference, rest_error = np.full_like(sums.mean_KC, np.nan), np.full_like(sums.mean_KC, np.nan)
        for cluster in seen.tolist():
            others = seen[seen != cluster]
            if len(others):
                n, mean_C, spread_C = _pooled(sums, others)
                difference[cluster] = sums.mean_KC[cluster] - mean_C
                rest_error[cluster] = np.sqrt(spread_C / max(n - 1, 1) / n)
        together = np.hypot(error_KC, rest_error)
        significance = np.where(together > 0, difference / together, np.where(difference == 0, 0.0, np.nan))
    low, median, high = quantiles
    return ClusterStatistics(low, median, high, maximum_KC, error_KC, difference, significance, sampled_K, unit)


def _pooled(sums: _Sums, chosen: NDArray[np.intp] | Sequence[int]) -> tuple[float, Array, Array]:
    """Number, mean and sum of squared deviations of several clusters together."""
    n_M1 = sums.n_K[chosen][:, None]
    n = float(n_M1.sum())
    mean_C = (n_M1 * sums.mean_KC[chosen]).sum(0) / n
    spread_C = (sums.spread_KC[chosen] + n_M1 * (sums.mean_KC[chosen] - mean_C) ** 2).sum(0)
    return n, mean_C, spread_C


def regrouped(
    statistics: ClusterStatistics, mean_KC: Array, sizes_K: NDArray[np.int64], groups: Sequence[Sequence[int]]
) -> ClusterStatistics:
    """The statistics of clusters that are put together.

    Args:
        statistics: of the clusters.
        mean_KC: (K, C) their mean spectra.
        sizes_K: (K,) pixels.
        groups: the numbers of the clusters in each new one; clusters in none are dropped.

    Returns:
        Means, errors, maxima and differences are exact; quantiles of clusters that were merged of several are NaN.
    """
    # A cluster of one has no scatter: its error is not a number, and its spread 0.
    error_KC = np.nan_to_num(statistics.standard_error)
    n_K = sizes_K.astype(float)
    sums = _Sums(n_K, np.nan_to_num(mean_KC), error_KC**2 * (n_K * np.maximum(n_K - 1, 0))[:, None])
    number, channels = len(groups), mean_KC.shape[1]
    n_G, mean_GC, spread_GC = np.zeros(number), np.full((number, channels), np.nan), np.zeros((number, channels))
    quantiles, maximum_GC = np.full((3, number, channels), np.nan), np.full((number, channels), np.nan)
    sampled_G = np.zeros(number, np.int64)
    for group, members in enumerate(groups):
        seen = [cluster for cluster in members if sizes_K[cluster] > 0]
        if seen:
            n_G[group], mean_GC[group], spread_GC[group] = _pooled(sums, seen)
            maximum_GC[group] = statistics.maximum[seen].max(0)
        if len(seen) == 1:
            parts = (statistics.low, statistics.median, statistics.high)
            quantiles[:, group] = [part[seen[0]] for part in parts]
            sampled_G[group] = statistics.sampled[seen[0]]
    return _described(_Sums(n_G, mean_GC, spread_GC), quantiles, maximum_GC, sampled_G, statistics.unit)


def _choice(labels: NDArray[np.integer], k: int, most: int, seed: int) -> NDArray[np.bool_]:
    """(H, W) a uniform random sample of at most so many pixels of each cluster."""
    generator = np.random.default_rng(seed)
    flat, chosen = labels.ravel(), np.zeros(labels.size, dtype=bool)
    for cluster in range(k):
        pixels = np.flatnonzero(flat == cluster)
        chosen[pixels if len(pixels) <= most else generator.choice(pixels, most, replace=False)] = True
    return chosen.reshape(labels.shape)


ARRAYS = tuple(field.name for field in fields(ClusterStatistics) if field.name != "unit")
"""Names of all arrays, for files."""
