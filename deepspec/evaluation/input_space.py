"""Indices of a segmentation in the space of the spectra themselves, read once and in bounded memory.

In the latent space an encoder judges its own work; preprocessed spectra are what it was given.

Shapes: P labelled pixels, N of a piece, S of the sample, D preprocessed channels, K clusters that have pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from deepspec.data.scatter import first_channels
from deepspec.errors import UserError
from deepspec.evaluation.result import Internal
from deepspec.functional.centroid_indices import ClusterSums, calinski_harabasz, davies_bouldin, sums_about_centres
from deepspec.functional.silhouette_sample import silhouettes_of_sample
from deepspec.segmentation.alignment import align
from deepspec.segmentation.spectra import CubeSpectra
from deepspec.threads import one_thread_per_operation

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation import SegmentationModel
    from deepspec.segmentation.spectra import Piece

ANCHORS = 2048
"""Spectra whose silhouettes are worked out."""

SAMPLE_VALUES = 2**23
"""Most values of the sample that they are scored against: 32 MiB, and ten times that while distances are formed."""

MOST_SPECTRA = 2**17
"""Most spectra of it, for cubes of few channels."""

FEWEST = 256
"""Spectra that the sample has of the smallest cluster, if this has so many."""


class _Part(NamedTuple):
    sums: ClusterSums
    labels_N: Tensor
    """Those of the sample, like the next."""
    y_ND: Tensor


def input_space(
    labels: NDArray[np.int64],
    cube: SpectralCube,
    model: SegmentationModel,
    *,
    max_pixels_per_block: int = 8192,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Internal | None:
    """Silhouette, Davies-Bouldin and Calinski-Harabasz of preprocessed spectra under given labels.

    The silhouette is that of anchors against a sample of each cluster (see `silhouettes_of_sample`); the widths of
    Davies-Bouldin are those of the sample about the means of all; the rest is exact. Where the sample holds all
    spectra so is Davies-Bouldin, and where there are no more than `ANCHORS` the silhouette too.

    Args:
        labels: (H, W), below 0 where a pixel does not count.
        cube: an open cube of that size; it is read once, a block at a time.
        model: whose preprocessing the spectra get; a cube on another axis is rebinned to the model's.
        max_pixels_per_block: pixels read at once, at most.
        seed: of the choice of sample and anchors.
        progress: called after each block with the name of the pass, the pixels done and all.

    Returns:
        None where fewer than two clusters have pixels, or no cluster has two.

    Raises:
        UserError: the cube is of another size, lacks a spectrum where there is a label, or cannot be brought onto the
            model's channels.
    """
    if cube.mask.shape != labels.shape:
        raise UserError(f"{cube.path or 'the cube'} has shape {cube.mask.shape}, the segmentation {labels.shape}")
    flat_P = torch.from_numpy(labels.reshape(-1))
    numbers, sizes_K = torch.unique(flat_P[flat_P >= 0], return_counts=True)
    if not 2 <= len(numbers) < int(sizes_K.sum()):
        return None
    compact_P = torch.where(flat_P >= 0, torch.searchsorted(numbers, flat_P), -1)
    generator = torch.Generator().manual_seed(seed)
    most = min(MOST_SPECTRA, SAMPLE_VALUES // model.preprocess.channels_out)
    sampled_P = _choose(compact_P, sizes_K, most, generator)
    cube = first_channels(cube, model.axis)
    alignment = align(cube, model, allow_rebin=True)
    with torch.inference_mode(), one_thread_per_operation() as threads:
        spectra = CubeSpectra(cube, model, alignment, max_pixels_per_block, torch.device("cpu"), threads, progress)
        found = _collect(spectra, compact_P, sampled_P, len(numbers))
        seen = int(found.sums.count_K.sum())
        if seen < int(sizes_K.sum()):
            raise UserError(
                f"{cube.path or 'the cube'} has a spectrum for {seen} of the {int(sizes_K.sum())} pixels with a label: "
                "it is another cube than was segmented"
            )
        return _indices(found, generator)


def _choose(compact_P: Tensor, sizes_K: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """(P,) bool: random pixels of each cluster, in proportion but not too few of the smallest."""
    share = min(1.0, most / int(sizes_K.sum()))
    fewest = max(2, min(FEWEST, most // len(sizes_K)))
    sampled_P = torch.zeros(len(compact_P), dtype=torch.bool)
    for cluster, size in enumerate(sizes_K.tolist()):
        own = (compact_P == cluster).nonzero()[:, 0]
        wanted = min(size, max(fewest, round(share * size)))
        sampled_P[own[torch.randperm(size, generator=generator)[:wanted]]] = True
    return sampled_P


def _collect(spectra: CubeSpectra, compact_P: Tensor, sampled_P: Tensor, k: int) -> _Part:
    """Sums over all spectra, about zero, and the sample."""
    channels = spectra.model.preprocess.channels_out
    zeros_KD = torch.zeros(k, channels)

    def work(piece: Piece) -> _Part:
        labels_N, kept_N = compact_P[piece.pixels_N], sampled_P[piece.pixels_N]
        return _Part(sums_about_centres(piece.y_ND, labels_N, zeros_KD), labels_N[kept_N], piece.y_ND[kept_N])

    sums = sums_about_centres(torch.zeros(0, channels), torch.zeros(0, dtype=torch.int64), zeros_KD)
    labels, sample = [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0, channels)]
    # The sums of a piece are added before the next is taken, so that only the sample is kept.
    for part in spectra.map(work, compact_P >= 0, "spectra"):
        sums = sums + part.sums
        labels.append(part.labels_N)
        sample.append(part.y_ND)
    return _Part(sums, torch.cat(labels), torch.cat(sample))


def _indices(found: _Part, generator: torch.Generator) -> Internal:
    sums = found.sums
    means_KD = sums.deviation_KL / sums.count_K[:, None]
    by_points, by_clusters = silhouettes_of_sample(
        found.y_ND, found.labels_N, sums.count_K, max(ANCHORS, 2 * len(means_KD)), generator=generator
    )
    return Internal(
        silhouette_samples=by_points,
        silhouette_clusters=by_clusters,
        davies_bouldin=davies_bouldin(sums_about_centres(found.y_ND, found.labels_N, means_KD), means_KD),
        calinski_harabasz=calinski_harabasz(sums, torch.zeros_like(means_KD)),
    )
