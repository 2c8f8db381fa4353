"""segment_cube: from a cube and a model to a `Segmentation`.

Shapes: P pixels of the cube (H x W), N of a piece, D channels of the decoder, L latent dimensions, K clusters.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from deepspec.errors import UserError
from deepspec.functional.k_range import fitting_range
from deepspec.segmentation.alignment import align
from deepspec.segmentation.latents import Found, cluster_means, refit, silhouette_of
from deepspec.segmentation.means import ClusterMeans, PixelRecord
from deepspec.segmentation.model import searched_range
from deepspec.segmentation.provenance import Origin
from deepspec.segmentation.result import Segmentation
from deepspec.segmentation.sample import draw_sample
from deepspec.segmentation.spectra import CubeSpectra, SpectraSample
from deepspec.segmentation.structure import SPECTRA, find_structure
from deepspec.segmentation.threads import one_thread_per_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation.means import PieceSums
    from deepspec.segmentation.model import SegmentationModel
    from deepspec.segmentation.result import ClustersMode
    from deepspec.segmentation.spectra import Piece


def segment_cube(
    cube: SpectralCube,
    model: SegmentationModel,
    *,
    clusters: ClustersMode = "frozen",
    k: tuple[int, int] | None = None,
    rebin: bool = False,
    max_pixels_per_block: int = 8192,
    sample: int = 32768,
    restarts: int = 3,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoint: str | Path | None = None,
    inputs: NDArray[np.float32] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Segmentation:
    """Label every usable pixel of a cube by the cluster of its latent point, and average each cluster's spectra.

    Args:
        cube: an open cube; it is read once (frozen) or twice (refit), a block at a time.
        model: a fitted model; it is moved to `device` and used in evaluation mode.
        clusters: frozen keeps the clusters of the training, so that the same number is the same material in every
            cube; refit finds new ones in this cube by IKMeans.
        k: fewest and most clusters of refit, by default those of the training, as far as the pixels suffice (see
            `fitting_range`); the most also bounds the test of structure, which starts from two.
        rebin: whether a cube on another axis is brought onto the model's.
        max_pixels_per_block: pixels read at once, at most; but for rounding it does not change the result.
        sample: pixels that IKMeans works on, at most; the centres are then refined on all.
        restarts: K-means runs per K.
        seed: of everything random.
        device: where to compute, `cpu` or `cuda`.
        checkpoint: the model's file, for the record.
        inputs: (H, W, Q) what the network encodes of each pixel instead of its preprocessed spectrum, such as the
            colours of a picture.
        progress: called after each block with the name of the pass, the pixels done and all.

    Raises:
        UserError: the axes do not match, there are too few usable pixels, a frozen model has no clusters, or `inputs`
            is of another size.
    """
    given, k = k, searched_range(model, k)
    check_options(model, clusters, k, min(max_pixels_per_block, sample, restarts))
    if inputs is not None and inputs.shape[:-1] != cube.mask.shape:
        raise UserError(f"inputs: expected shape {(*cube.mask.shape, 'Q')}, got {inputs.shape}")
    alignment = align(cube, model, allow_rebin=rebin)
    device = torch.device(device)
    generator = torch.Generator().manual_seed(seed)
    few: tuple[str, ...] = ()
    file = None if checkpoint is None else Path(checkpoint)
    with (
        Origin(cube.path, file) as origin,
        _evaluating(model, device),
        torch.inference_mode(),
        one_thread_per_operation() as threads,
    ):
        spectra = CubeSpectra(cube, model, alignment, max_pixels_per_block, device, threads, progress)
        record = PixelRecord(cube.mask.size, model.clusters.centres.shape[1], device)
        some = SpectraSample(cube.mask.size, SPECTRA, generator, device)
        inputs_PQ = None if inputs is None else torch.from_numpy(inputs).reshape(cube.mask.size, -1).to(device)
        if clusters == "frozen":
            found, means = _label_frozen(spectra, record, some, inputs_PQ)
        else:
            _encode(spectra, record, some, None, inputs_PQ)
            points, wanted = len(record.usable_latents), k
            if given is None and (k := fitting_range(*wanted, points)) != wanted:
                few = (f"K from {k[0]} to {k[1]} instead of {wanted[0]} to {wanted[1]}: {points} pixels are few",)
            found = refit(record.usable_latents, k, sample, restarts, generator)
            means = _average(spectra, record, found)
        seen_ND = some.spectra_ND if inputs_PQ is None else inputs_PQ[some.pixels_N]
        structure = find_structure(
            seen_ND, lambda y_ND: model.network.encode(y_ND).mean_NL.float(), (2, k[1]), generator, threads
        )
        silhouette = silhouette_of(record.usable_latents, record.labels_P[record.usable_P], generator)
        decoded_KD = model.decode(cluster_means(record.z_PL, record.labels_P, found.clusters.used))
        sample_of_pixels = draw_sample(record, some, model)
        provenance, unhashed = origin.provenance(clusters, seed)

    def image(values_P: Tensor) -> NDArray[Any]:
        return values_P.cpu().numpy().reshape(cube.mask.shape)

    return Segmentation(
        labels=image(record.labels_P.to(torch.int16)),
        k=len(found.clusters.used),
        centres=found.clusters.used.cpu().numpy().copy(),
        sizes=means.sizes_K.cpu().numpy(),
        silhouette=silhouette,
        scores=found.scores,
        inertias=found.inertias,
        axis=alignment.axis,
        decoded_axis=alignment.decoded_axis,
        quantity=model.preprocess.invertible_to,
        mean_raw=means.raw,
        mean_input=means.input,
        mean_reconstructed=means.reconstructed,
        decoded_centre=decoded_KD.cpu().double().numpy(),
        total_raw=image(record.total_raw_P),
        total_reconstructed=image(record.total_reconstructed_P),
        total_latent=image(record.z_PL.sum(1)),
        structure=structure,
        notes=alignment.notes + few + _left_out(cube, record) + unhashed,
        provenance=provenance,
        sample=sample_of_pixels,
        latents=record.z_PL.cpu().numpy().reshape(*cube.mask.shape, -1),
    )


def check_options(model: SegmentationModel, clusters: ClustersMode, k: tuple[int, int], least: int) -> None:
    """Refuse options that no cube could be segmented with.

    Args:
        model: with clusters, or without.
        clusters: frozen or refit.
        k: fewest and most clusters.
        least: of the numbers that must be at least 1.

    Raises:
        UserError: saying which.
    """
    if clusters not in ("frozen", "refit"):
        raise UserError(f"clusters: expected frozen or refit, got {clusters!r}")
    if not 2 <= k[0] <= k[1]:
        raise UserError(f"k: expected 2 <= fewest <= most clusters, got {k[0]} and {k[1]}")
    if least < 1:
        raise UserError("max_pixels_per_block, sample and restarts: expected at least 1 of each")
    if clusters == "frozen" and not int(model.clusters.count):
        raise UserError("the checkpoint has no clusters: let new ones be found in this cube with --clusters refit")


@contextmanager
def _evaluating(model: SegmentationModel, device: torch.device) -> Iterator[None]:
    """The model on `device` without dropout, and in the mode it was in afterwards."""
    training = model.training
    model.to(device)
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class _Encoded(NamedTuple):
    piece: Piece
    z_NL: Tensor
    sums: PieceSums | None


def _encode(
    spectra: CubeSpectra,
    record: PixelRecord,
    some: SpectraSample,
    means: ClusterMeans | None,
    inputs_PQ: Tensor | None,
) -> None:
    """First pass: latent points, and labels and means if the clusters are known already."""
    cube, network = spectra.cube, spectra.model.network

    def work(piece: Piece) -> _Encoded:
        seen_ND = piece.y_ND if inputs_PQ is None else inputs_PQ[piece.pixels_N]
        z_NL = network.encode(seen_ND).mean_NL.float()
        finite_N = z_NL.isfinite().all(1)
        if not finite_N.all():
            piece, z_NL = piece.only(finite_N), z_NL[finite_N]
        return _Encoded(piece, z_NL, None if means is None else means.sums(piece, z_NL))

    mask_P = torch.tensor(cube.mask.reshape(-1), device=spectra.device)
    for piece, z_NL, sums in spectra.map(work, mask_P, "encoding"):
        record.z_PL[piece.pixels_N] = z_NL
        record.total_raw_P[piece.pixels_N] = piece.total_N
        some.add(piece.pixels_N, piece.y_ND)
        if means is not None and sums is not None:
            means.add(sums)
    if not record.usable_P.any():
        cube.find_dead()  # raises and explains, if that is the reason
        raise UserError(
            f"{cube.path or 'the cube'}: the checkpoint's preprocessing gives NaN for every spectrum, as a square "
            "root of negative values does; segment with a model fitted on such data"
        )


def _label_frozen(
    spectra: CubeSpectra, record: PixelRecord, some: SpectraSample, inputs_PQ: Tensor | None
) -> tuple[Found, ClusterMeans]:
    """The only pass, where the clusters are known: everything at once."""
    found = Found(spectra.model.clusters, {}, {})
    means = ClusterMeans(spectra, found.clusters, record)
    _encode(spectra, record, some, means, inputs_PQ)
    return found, means


def _average(spectra: CubeSpectra, record: PixelRecord, found: Found) -> ClusterMeans:
    """Second pass: labels and means by clusters that were found after the first."""
    means = ClusterMeans(spectra, found.clusters, record)
    for sums in spectra.map(lambda piece: means.sums(piece, record.z_PL[piece.pixels_N]), record.usable_P, "averaging"):
        means.add(sums)
    return means


def _left_out(cube: SpectralCube, record: PixelRecord) -> tuple[str, ...]:
    """A note on the pixels without a label, if there are any."""
    masked = int(cube.mask.size - cube.mask.sum())
    unusable = cube.mask.size - len(record.usable_latents) - masked
    if masked + unusable == 0:
        return ()
    return (f"left out {masked} masked and {unusable} dead (empty or NaN) of {cube.mask.size} pixels",)
