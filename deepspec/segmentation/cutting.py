"""The merge tree of a segmentation, and its clusters where it is cut elsewhere.

Shapes: H rows, W columns, C channels of the cube, D of the decoder, G groups of pixels, K clusters, M leaves, L latent
dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.clustering import Tree


@dataclass(frozen=True, eq=False, kw_only=True)
class Groups:
    """Pixels in G groups, and what each group looks like; fields as in `Segmentation`."""

    labels: NDArray[np.int16]
    """(H, W), 0 to G - 1, or -1."""
    sizes: NDArray[np.int64]
    """(G,) pixels."""
    cluster_centers: NDArray[np.float32]
    """(G, L) mean latent points."""
    mean_raw: NDArray[np.float64]
    """(G, C), like the next three as those of the clusters."""
    mean_input: NDArray[np.float64]
    """(G, D)."""
    mean_reconstructed: NDArray[np.float64]
    """(G, D)."""
    decoded_centre: NDArray[np.float64]
    """(G, D)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Leaves(Groups):
    """The finest cut of the merge tree, of which any coarser one is made without clustering again: M groups."""

    tree: Tree
    """What joins what, the least firm border first."""
    parents: tuple[int, ...]
    """(M,) the cluster of each leaf."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Cut(Groups):
    """The merge tree cut into K groups, the largest first."""

    borders: NDArray[np.float64]
    """(K, K) valley ratio of the border of each pair, as the tree has it."""
    leaves: Leaves
    """The same leaves, with the new groups as parents."""


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


def cut_leaves(leaves: Leaves, k: int) -> Cut:
    """Merge the leaves into k clusters, the largest first; nothing is clustered again.

    Args:
        leaves: of a segmentation.
        k: 1 to the number of leaves.
    """
    clusters = leaves.tree.clusters(k)
    clusters.sort(key=lambda own: -int(leaves.sizes[own].sum()))
    parents = np.empty(leaves.tree.leaves, dtype=np.int64)
    for cluster, own in enumerate(clusters):
        parents[own] = cluster

    def mean(spectra_M: NDArray[Any]) -> NDArray[np.float64]:
        filled = [[leaf for leaf in own if leaves.sizes[leaf] > 0] or own[:1] for own in clusters]
        weights = [np.maximum(leaves.sizes[own], 1) for own in filled]
        return np.stack([np.average(spectra_M[own], 0, w) for own, w in zip(filled, weights, strict=True)])

    return Cut(
        labels=np.where(leaves.labels >= 0, parents[leaves.labels], -1).astype(np.int16),
        cluster_centers=mean(leaves.cluster_centers).astype(np.float32),
        sizes=np.array([leaves.sizes[own].sum() for own in clusters]),
        mean_raw=mean(leaves.mean_raw),
        mean_input=mean(leaves.mean_input),
        mean_reconstructed=mean(leaves.mean_reconstructed),
        decoded_centre=mean(leaves.decoded_centre),
        borders=_cut_borders(leaves.tree, clusters),
        leaves=replace(leaves, parents=tuple(parents.tolist())),
    )


def cut_memberships(memberships: NDArray[np.float32], before: Leaves, cut: Cut) -> NDArray[np.float32]:
    """Probabilities of the clusters of a cut, from those of the clusters before it.

    Those of coarser clusters add up; a finer cluster has that of the whole where the pixel is in it.

    Args:
        memberships: (H, W, K) of the clusters before.
        before: the leaves with those as parents.
        cut: of the same leaves.
    """
    earlier, now = np.array(before.parents), np.array(cut.leaves.parents)
    found = np.zeros((*cut.labels.shape, len(cut.sizes)), dtype=np.float32)
    for cluster in range(memberships.shape[-1]):
        targets = np.unique(now[earlier == cluster])
        if len(targets) == 1:
            found[..., targets[0]] += memberships[..., cluster]
            continue
        for target in targets:
            found[..., target] += np.where(cut.labels == target, memberships[..., cluster], 0)
        outside = ~np.isin(cut.labels, targets)
        found[..., targets[0]] += np.where(outside, memberships[..., cluster], 0)
    return found


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
