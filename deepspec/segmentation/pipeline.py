"""segment_cube: from a cube and a model to a `Segmentation`.

Shapes: P pixels of the cube (H x W), N of a piece, C channels, D of the decoder, L latent dimensions, K clusters, M
leaves of the merge tree.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from deepspec.clustering import CountSpectra
from deepspec.clustering.refit import cluster_means, find_clusters, silhouette_of
from deepspec.clustering.structure import SPECTRA, find_structure, judged_by_borders
from deepspec.data.scatter import first_channels
from deepspec.errors import UserError, described
from deepspec.files import model_file
from deepspec.functional.kmeans import fitting_range
from deepspec.segmentation.alignment import align
from deepspec.segmentation.cutting import Leaves
from deepspec.segmentation.drift import ScanSample, find_drift
from deepspec.segmentation.labelling import Explanations, explain
from deepspec.segmentation.model import choose_device
from deepspec.segmentation.options import SegmentOptions, changed, with_keywords_of
from deepspec.segmentation.provenance import Origin
from deepspec.segmentation.response import as_seen
from deepspec.segmentation.result import ClusteringRecord, Segmentation
from deepspec.segmentation.search import planned_search
from deepspec.segmentation.spectra import (
    SAMPLE_VALUES,
    ClusterMeans,
    CubeSpectra,
    PixelRecord,
    SpectraSample,
    draw_sample,
)
from deepspec.threads import one_thread_per_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.clustering import Clusterer, ClustererConfig, Partition
    from deepspec.clustering.structure import Structure
    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation.drift import Drift
    from deepspec.segmentation.labelling import Explained, LabelOptions, Labels
    from deepspec.segmentation.model import SegmentationModel
    from deepspec.segmentation.search import PlannedSearch
    from deepspec.segmentation.spectra import Piece, PieceSums

LABELLED_AT_ONCE = 2**16
"""Pixels held against the clusters at a time, where that needs no spectra."""


@with_keywords_of(SegmentOptions)
def segment_cube(
    cube: SpectralCube,
    model: SegmentationModel,
    options: SegmentOptions | None = None,
    *,
    clusterer: str | ClustererConfig | Clusterer | None = None,
    max_pixels_per_block: int = 8192,
    checkpoint: str | Path | None = None,
    inputs: NDArray[np.float32] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **changes: Any,
) -> Segmentation:
    """Label every usable pixel of a cube by the cluster that explains it best, and average each cluster's spectra.

    Args:
        cube: an open cube; it is read once (frozen) or twice (refit), a block at a time, and once more where pixels are
            judged by their counts or with their neighbours.
        model: a fitted model; it is moved to the device and used in evaluation mode.
        options: what can be chosen; each option may be given as a keyword too, as in `segment_cube(cube, model, k=6)`.
        clusterer: besides what `SegmentOptions` names, a configuration or any `Clusterer`.
        max_pixels_per_block: pixels read at once, at most; but for rounding it does not change the result.
        checkpoint: the model's file, or the name of the ready model, for the record.
        inputs: (H, W, Q) what the network encodes of each pixel instead of its preprocessed spectrum, such as the
            colours of a picture.
        progress: called after each block with the name of the pass, the pixels done and all.
        **changes: any field of `SegmentOptions`, such as `clusters="refit"`.

    Raises:
        UserError: the axes do not match, there are too few usable pixels, a frozen model has no clusters, `inputs`
            is of another size, or an option is unknown or impossible.
    """
    _check_arguments(cube, model)
    options = changed(options or SegmentOptions(), changes, "segment_cube")
    search = planned_search(model, options, clusterer)
    if max_pixels_per_block < 1:
        raise UserError(f"max_pixels_per_block: expected at least 1, got {max_pixels_per_block}")
    if inputs is not None and inputs.shape[:-1] != cube.mask.shape:
        raise UserError(f"inputs: expected shape {(*cube.mask.shape, 'Q')}, got {inputs.shape}")
    whole = cube.axis.channels
    cube = first_channels(cube, model.axis)
    alignment = align(cube, model, allow_rebin=options.rebin)
    device = torch.device(choose_device(str(options.device)))
    generator = torch.Generator().manual_seed(options.seed)
    file = None if checkpoint is None else model_file(checkpoint)
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
        passes = _Passes(spectra, record, some, inputs_PQ, search.labelling)
        if options.clusters == "frozen":
            found = passes.label_frozen(model.clusters.partition, options.seed)
        else:
            found = passes.find(search, options, generator)
        structure = passes.structure(found.partition, search.tested, generator)
        silhouette = silhouette_of(record.usable_latents, found.labels.labels_P[record.usable_P], generator)
        maps = _maps(cube, record, found.labels)
        by_cluster = _by_cluster(model, record, found)
        leaves = _leaves(model, found.partition, record, found.labels, found.means, cube.mask.shape)
        sample_of_pixels = draw_sample(record, some, model)
        provenance, unhashed = origin.provenance(options.clusters, options.seed)
    partition = found.partition
    segmentation = Segmentation(
        k=partition.k,
        silhouette=silhouette,
        scores=partition.search.scores if options.clusters == "refit" else {},
        inertias=partition.search.inertias if options.clusters == "refit" else {},
        axis=alignment.axis,
        decoded_axis=alignment.decoded_axis,
        quantity=model.preprocess.invertible_to,
        structure=structure,
        notes=(
            *(() if found.drift is None else (found.drift.sentence,)),
            *((f"the model takes the first {cube.axis.channels} of {whole} channels",) * (cube.axis.channels < whole)),
            *alignment.notes,
            *found.notes,
            *_left_out(cube, record, found.labels),
            *unhashed,
        ),
        provenance=provenance,
        sample=sample_of_pixels,
        clustering=ClusteringRecord(
            partition=partition.kind,
            evidence=partition.search.evidence,
            spatial=search.labelling.strength(partition),
            changed=found.labels.changed,
            unassigned=found.labels.unassigned,
            members=getattr(model.network, "members", 1),
        ),
        borders=np.array(partition.search.borders) if partition.search.borders else None,
        leaves=leaves,
        drift=found.drift,
        **maps,
        **by_cluster,
    )
    return segmentation if search.cut is None else segmentation.cut(search.cut)


class _Found(NamedTuple):
    """Clusters, and the pixels labelled by them."""

    partition: Partition
    labels: Labels
    means: ClusterMeans
    drift: Drift | None = None
    """Of frozen clusters, where the training is known."""
    notes: tuple[str, ...] = ()


def _maps(cube: SpectralCube, record: PixelRecord, labels: Labels) -> dict[str, Any]:
    """The fields of a `Segmentation` that have a number, or several, for each pixel."""

    def image(values_P: Tensor) -> NDArray[Any]:
        return values_P.cpu().numpy().reshape(*cube.mask.shape, *values_P.shape[1:])

    none_P = labels.labels_P < 0
    return {
        "labels": image(labels.labels_P.to(torch.int16)),
        "total_raw": image(record.total_raw_P.masked_fill(none_P, torch.nan)),
        "total_reconstructed": image(record.total_reconstructed_P.masked_fill(none_P, torch.nan)),
        "total_latent": image(record.z_PL.sum(1).masked_fill(none_P, torch.nan)),
        "latents": image(record.z_PL.masked_fill(none_P[:, None], torch.nan)),
        "memberships": None if labels.memberships_PK is None else image(labels.memberships_PK),
        "disagreement": None if labels.disagreement_P is None else image(labels.disagreement_P),
    }


def _by_cluster(model: SegmentationModel, record: PixelRecord, found: _Found) -> dict[str, Any]:
    """The fields of a `Segmentation` that have a row for each cluster."""
    partition = found.partition
    means = found.means.joined(_parents(partition), partition.k)
    centres_KL = cluster_means(record.z_PL, found.labels.labels_P, partition.centres)
    return {
        "cluster_centers": partition.centres.cpu().numpy().copy(),
        "sizes": means.sizes,
        "mean_raw": means.raw,
        "mean_input": means.input,
        "mean_reconstructed": means.reconstructed,
        "decoded_centre": model.decode(centres_KL).cpu().double().numpy(),
    }


def _check_arguments(cube: object, model: object) -> None:
    """Refuse what would fail far from here.

    Raises:
        UserError: the cube is no cube, or the model no model.
    """
    if not hasattr(cube, "mask") or not hasattr(cube, "axis"):
        raise UserError(
            f"segment_cube: expected a SpectralCube, got {described(cube)}: read_cube opens a file, and "
            "SpectralCube.from_array makes a cube of an array (rows, columns, channels)"
        )
    if isinstance(model, (str, os.PathLike)):
        raise UserError(f"segment_cube: expected a model, got the path {model}: DeepClustering.load reads it")


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
    explained: Explained | None
    sums: PieceSums | None


class _Measured:
    """The spectra as measured of a sample of pixels, for a clusterer that judges by them.

    Args:
        spectra: what passes.
        search: which clusterer.
        options: `sample` is the most pixels, fewer of many channels, so that they take no more than 256 MiB; `seed` is
            that of the choice.
        wanted: whether spectra are clustered at all, and not colours of a picture.
    """

    def __init__(self, spectra: CubeSpectra, search: PlannedSearch, options: SegmentOptions, *, wanted: bool) -> None:
        self._search, self._unit = search, spectra.cube.axis.unit
        self._kept: SpectraSample | None = None
        if search.looks_at_spectra and wanted:
            channels = spectra.alignment.target.channels
            size = min(options.sample, max(1, SAMPLE_VALUES // channels))
            own = torch.Generator().manual_seed(options.seed)
            self._kept = SpectraSample(spectra.cube.mask.size, size, own, spectra.device)

    def add(self, piece: Piece) -> None:
        """Let a piece pass by."""
        if self._kept is not None:
            self._kept.add(piece.pixels_N, piece.aligned_NC)

    def points(self, record: PixelRecord) -> tuple[Tensor, Tensor] | None:
        """Latent points and spectra of the sample; None where the clusterer goes by the latents alone."""
        if self._kept is None:
            return None
        x_NC = self._kept.spectra_ND
        if not self._search.judges_by(x_NC, self._unit):
            return None
        return record.z_PL[self._kept.pixels_N], x_NC


class _Passes:
    """What is done with the spectra as they pass.

    Args:
        spectra: of the cube.
        record: where numbers of each pixel are put.
        some: a sample of preprocessed spectra, filled in the first pass.
        inputs_PQ: what the network encodes instead of spectra, or None.
        labelling: how pixels are labelled.
    """

    def __init__(
        self,
        spectra: CubeSpectra,
        record: PixelRecord,
        some: SpectraSample,
        inputs_PQ: Tensor | None,
        labelling: LabelOptions,
    ) -> None:
        self._spectra, self._record, self._some = spectra, record, some
        self._inputs_PQ, self._labelling = inputs_PQ, labelling

    def label_frozen(self, partition: Partition, seed: int) -> _Found:
        """A single pass where the clusters are known and no neighbour has a say; else two.

        One more comes first for clusters of counts, which are corrected for the response of another detector. Returned
        are the clusters as this scan sees them too.
        """
        model = self._spectra.model
        record = model.clusters.record if self._inputs_PQ is None else None
        sample = None if record is None else ScanSample(self._spectra, seed)
        response = None
        if record is not None and sample is not None and isinstance(partition, CountSpectra):
            sample.read()
            partition, response = as_seen(partition, record, sample.x_NC, model.axis.values)
        explanations = self._explanations(partition)
        alone = self._labelling.strength(partition) == 0
        means = ClusterMeans(self._spectra, _groups(partition), self._record) if alone else None
        seen_before = sample is not None and sample.complete
        self.encode(None if seen_before else sample, partition, explanations, means)
        labels = explanations.labels()
        drift = None
        if record is not None and sample is not None:
            drift = find_drift(model, record, partition, sample.sampled(self._record.z_PL), response)
        return _Found(partition, labels, means or self._average(partition, labels), drift)

    def find(self, search: PlannedSearch, options: SegmentOptions, generator: torch.Generator) -> _Found:
        """Clusters of the latent points of a first pass, and the pixels labelled by them."""
        record = self._record
        notes: tuple[str, ...] = ()
        measured = _Measured(self._spectra, search, options, wanted=self._inputs_PQ is None)
        self.encode(measured)
        wanted, points = search.k, len(record.usable_latents)
        if options.k is None and isinstance(wanted, tuple) and (fitting := fitting_range(*wanted, points)) != wanted:
            tried = f"K from {fitting[0]} to {fitting[1]} instead of {wanted[0]} to {wanted[1]}"
            notes = (f"{tried}: {points} pixels are few",)
            wanted = fitting
        partition = find_clusters(
            search.clusterer, record.usable_latents, wanted, measured.points(record), generator, sample=options.sample
        )
        labels, means = self.label_found(partition)
        return _Found(partition, labels, means, None, notes)

    def structure(self, partition: Partition, tested: tuple[int, int], generator: torch.Generator) -> Structure:
        """Whether there is more than one material: by the borders of the clusters, or by a test of its own."""
        by_borders = judged_by_borders(partition.search.borders, len(self._record.usable_latents))
        if by_borders is not None:
            return by_borders
        some = self._some
        seen_ND = some.spectra_ND if self._inputs_PQ is None else self._inputs_PQ[some.pixels_N]
        network, threads = self._spectra.model.network, self._spectra.threads

        def encode(y_ND: Tensor) -> Tensor:
            return network.encode(y_ND).mean_NL.float()

        return find_structure(seen_ND, encode, tested, generator, threads)

    def label_found(self, partition: Partition) -> tuple[Labels, ClusterMeans]:
        """Labels by clusters that were found after the first pass."""
        explanations, record = self._explanations(partition), self._record
        if partition.needs_spectra:

            def work(piece: Piece) -> tuple[Tensor, Explained]:
                return piece.pixels_N, explain(partition, record.z_PL[piece.pixels_N], piece.aligned_NC)

            for pixels_N, explained in self._spectra.map(work, record.usable_P, "labelling"):
                explanations.add(pixels_N, explained)
        else:
            for pixels_N in torch.split(record.usable_P.nonzero()[:, 0], LABELLED_AT_ONCE):
                explanations.add(pixels_N, explain(partition, record.z_PL[pixels_N], None))
        labels = explanations.labels()
        return labels, self._average(partition, labels)

    def encode(
        self,
        measured: _Measured | ScanSample | None,
        partition: Partition | None = None,
        explanations: Explanations | None = None,
        means: ClusterMeans | None = None,
    ) -> None:
        """The first pass: latent points; and how well clusters that are known explain them, and the means."""
        cube, network, record, inputs_PQ = (
            self._spectra.cube,
            self._spectra.model.network,
            self._record,
            self._inputs_PQ,
        )

        def work(piece: Piece) -> _Encoded:
            seen_ND = piece.y_ND if inputs_PQ is None else inputs_PQ[piece.pixels_N]
            z_NL = network.encode(seen_ND).mean_NL.float()
            finite_N = z_NL.isfinite().all(1)
            if not finite_N.all():
                piece, z_NL = piece.only(finite_N), z_NL[finite_N]
            explained = None if partition is None else explain(partition, z_NL, piece.aligned_NC)
            sums = None
            if means is not None and partition is not None and explained is not None:
                sums = means.sums(piece, z_NL, self._leaf_alone(partition, explained))
            return _Encoded(piece, z_NL, explained, sums)

        mask_P = torch.tensor(cube.mask.reshape(-1), device=self._spectra.device)
        for piece, z_NL, explained, sums in self._spectra.map(work, mask_P, "encoding"):
            record.z_PL[piece.pixels_N] = z_NL
            record.total_raw_P[piece.pixels_N] = piece.total_N
            self._some.add(piece.pixels_N, piece.y_ND)
            if measured is not None:
                measured.add(piece)
            if explanations is not None and explained is not None:
                explanations.add(piece.pixels_N, explained)
            if means is not None and sums is not None:
                means.add(sums)
        if not record.usable_P.any():
            cube.find_dead()  # raises and explains, if that is the reason
            raise UserError(
                f"{cube.path or 'the cube'}: the checkpoint's preprocessing gives NaN for every spectrum, as a square "
                "root of negative values does; segment with a model fitted on such data"
            )

    def _explanations(self, partition: Partition) -> Explanations:
        rows, columns = self._spectra.cube.mask.shape
        return Explanations((rows, columns), partition, self._labelling)

    def _leaf_alone(self, partition: Partition, explained: Explained) -> Tensor:
        """(N,) leaf of each pixel without its neighbours, -1 where nothing explains it."""
        leaf_N = explained.leaves_NK.gather(1, explained.scores_NK.argmax(1)[:, None])[:, 0].long()
        return leaf_N.masked_fill(explained.unexplained_N, -1) if self._labelling.leaves_out(partition) else leaf_N

    def _average(self, partition: Partition, labels: Labels) -> ClusterMeans:
        """The last pass: means of the leaves."""
        record = self._record
        means = ClusterMeans(self._spectra, _groups(partition), record)

        def work(piece: Piece) -> PieceSums:
            return means.sums(piece, record.z_PL[piece.pixels_N], labels.leaves_P[piece.pixels_N])

        for sums in self._spectra.map(work, record.usable_P, "averaging"):
            means.add(sums)
        return means


def _groups(partition: Partition) -> int:
    """Number of leaves, or of clusters without a tree."""
    return partition.k if partition.search.tree is None else partition.search.tree.leaves


def _parents(partition: Partition) -> list[int]:
    """The cluster of each leaf."""
    return list(partition.search.parents) if partition.search.tree is not None else list(range(partition.k))


def _leaves(
    model: SegmentationModel,
    partition: Partition,
    record: PixelRecord,
    labels: Labels,
    means: ClusterMeans,
    shape: tuple[int, ...],
) -> Leaves | None:
    """The finest cut of the merge tree, if there is one."""
    tree = partition.search.tree
    if tree is None:
        return None
    known_ML = partition.centres[_parents(partition)] if partition.finer is None else partition.finer.centres
    centres_ML = cluster_means(record.z_PL, labels.leaves_P, known_ML)
    return Leaves(
        tree=tree,
        parents=tuple(_parents(partition)),
        labels=labels.leaves_P.to(torch.int16).cpu().numpy().reshape(shape),
        sizes=means.sizes_K.cpu().numpy(),
        cluster_centers=centres_ML.cpu().numpy(),
        mean_raw=means.raw,
        mean_input=means.input,
        mean_reconstructed=means.reconstructed,
        decoded_centre=model.decode(centres_ML).cpu().double().numpy(),
    )


def _left_out(cube: SpectralCube, record: PixelRecord, labels: Labels) -> tuple[str, ...]:
    """Notes on the pixels without a label, and on those that their neighbours changed, if there are any."""
    masked = int(cube.mask.size - cube.mask.sum())
    usable = len(record.usable_latents)
    unusable = cube.mask.size - usable - masked
    notes = []
    if masked + unusable:
        notes.append(f"left out {masked} masked and {unusable} dead (empty or NaN) of {cube.mask.size} pixels")
    if labels.unassigned:
        notes.append(f"{labels.unassigned} pixels ({labels.unassigned / usable:.1%}) are like no cluster: label -1")
    if labels.changed:
        notes.append(f"neighbouring pixels changed the label of {labels.changed:.1%} of the pixels")
    return tuple(notes)
