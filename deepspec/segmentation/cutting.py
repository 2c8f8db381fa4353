"""Cut the merge tree of a segmentation elsewhere.

Shapes: H rows, W columns, K clusters, M leaves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from deepspec.clustering.refit import silhouette_of
from deepspec.errors import UserError
from deepspec.functional import SilhouetteEstimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.clustering import Tree
    from deepspec.segmentation.result import Segmentation


def number_of_clusters(tree: Tree | None, k: int | None, firm: float | None) -> int:
    """How many clusters a cut has.

    Raises:
        UserError: see `Segmentation.cut`.
    """
    if (k is None) == (firm is None):
        raise UserError("a cut of the merge tree needs either k, the number of clusters, or firm, from 0 to 1")
    if tree is None:
        raise UserError(
            "there is no merge tree to cut: these clusters were found by a clusterer without one; find them anew with "
            "--clusters refit, and --clusterer valleys for a tree"
        )
    if firm is not None:
        if not 0 <= firm <= 1:
            raise UserError(f"firm: expected 0 to 1, got {firm}")
        return tree.count(firm)
    assert k is not None
    if not 1 <= k <= tree.leaves:
        raise UserError(
            f"k: the merge tree can be cut into 1 to {tree.leaves} clusters, got {k}; --clusters refit finds others"
        )
    return k


def cut_segmentation(segmentation: Segmentation, k: int | None, firm: float | None) -> Segmentation:
    """See `Segmentation.cut`."""
    leaves = segmentation.leaves
    k = number_of_clusters(None if leaves is None else leaves.tree, k, firm)
    if k == segmentation.k:
        return segmentation
    assert leaves is not None
    clusters = leaves.tree.clusters(k)
    clusters.sort(key=lambda own: -int(leaves.sizes[own].sum()))
    parents = np.empty(leaves.tree.leaves, dtype=np.int64)
    for cluster, own in enumerate(clusters):
        parents[own] = cluster
    labels = np.where(leaves.labels >= 0, parents[leaves.labels], -1).astype(np.int16)
    memberships = segmentation.memberships
    if memberships is not None:
        memberships = _cut_memberships(memberships, labels, np.array(leaves.parents), parents, k)

    def mean(spectra_M: NDArray[Any]) -> NDArray[np.float64]:
        filled = [[leaf for leaf in own if leaves.sizes[leaf] > 0] or own[:1] for own in clusters]
        weights = [np.maximum(leaves.sizes[own], 1) for own in filled]
        return np.stack([np.average(spectra_M[own], 0, w) for own, w in zip(filled, weights, strict=True)])

    return replace(
        segmentation,
        labels=labels,
        k=k,
        centres=mean(leaves.centres).astype(np.float32),
        sizes=np.array([leaves.sizes[own].sum() for own in clusters]),
        silhouette=_silhouette(segmentation, labels),
        mean_raw=mean(leaves.mean_raw),
        mean_input=mean(leaves.mean_input),
        mean_reconstructed=mean(leaves.mean_reconstructed),
        decoded_centre=mean(leaves.decoded_centre),
        borders=_cut_borders(leaves.tree, clusters),
        memberships=memberships,
        leaves=replace(leaves, parents=tuple(parents.tolist())),
        notes=(*segmentation.notes, _note(k, segmentation.k)),
    )


def _note(k: int, found: int) -> str:
    clusters = "1 cluster" if k == 1 else f"{k} clusters"
    return (
        f"merge tree cut into {clusters} instead of the {found} found; the evidence for more than one material is a "
        "matter of the cube, and stays that of the clusters found"
    )


def _silhouette(segmentation: Segmentation, labels: NDArray[np.int16]) -> SilhouetteEstimate:
    """Of the new labels on the latent points; NaN in files of earlier versions, which do not have these."""
    if segmentation.latents is None:
        return SilhouetteEstimate(np.nan, np.nan, 0)
    z_PL = torch.from_numpy(segmentation.latents.reshape(-1, segmentation.latents.shape[-1]))
    generator = torch.Generator().manual_seed(segmentation.provenance.seed)
    return silhouette_of(z_PL, torch.from_numpy(labels.reshape(-1).astype(np.int64)), generator)


def _cut_memberships(
    memberships: NDArray[np.float32],
    labels: NDArray[np.int16],
    before: NDArray[np.int64],
    now: NDArray[np.int64],
    k: int,
) -> NDArray[np.float32]:
    """Those of coarser clusters add up; a finer cluster has that of the whole where the pixel is in it."""
    cut = np.zeros((*labels.shape, k), dtype=np.float32)
    for cluster in range(memberships.shape[-1]):
        targets = np.unique(now[before == cluster])
        if len(targets) == 1:
            cut[..., targets[0]] += memberships[..., cluster]
            continue
        for target in targets:
            cut[..., target] += np.where(labels == target, memberships[..., cluster], 0)
        outside = ~np.isin(labels, targets)
        cut[..., targets[0]] += np.where(outside, memberships[..., cluster], 0)
    return cut


def _cut_borders(tree: Tree, clusters: list[list[int]]) -> NDArray[np.float64]:
    """(K, K) r at which each pair is joined in the tree."""
    place = {leaf: number for number, own in enumerate(clusters) for leaf in own}
    borders = np.eye(len(clusters))
    nodes = {leaf: [leaf] for leaf in range(tree.leaves)}
    for number, merge in enumerate(tree.merges):
        first, second = nodes.pop(merge.first), nodes.pop(merge.second)
        for i in {place[leaf] for leaf in first}:
            for j in {place[leaf] for leaf in second} - {i}:
                borders[i, j] = borders[j, i] = merge.r
        nodes[tree.leaves + number] = first + second
    return borders
