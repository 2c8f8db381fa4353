"""Merge clusters that no valley divides, split those that one runs through, and keep the tree of it all.

What decides is the evidence, of counts or of latent points: the border between two clusters, the best split of one.

Shapes: N points, K clusters, M leaves of the tree.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from numpy.typing import NDArray

FINEST = 0.98
"""Finer cuts than the clusters found are kept in the tree as long as r is below this: a border that grades."""

BEYOND_DOUBT = 0.1
"""Borders with r below this are equally firm: what is left of r is noise, and the loss decides which is given up."""

LEAVES = 16
"""Most leaves of the tree, unless more clusters are found."""


class Group(Protocol):
    """A cluster as the evidence knows it."""

    @property
    def member_N(self) -> NDArray[np.bool_]:
        """(N,) bool."""


class Evidence(Protocol):
    """What clusters are judged by."""

    @property
    def least(self) -> int:
        """Fewest points of a cluster."""

    def group(self, member_N: NDArray[np.bool_]) -> Any:
        """A cluster of these members."""

    def border(self, first: Any, second: Any) -> float:
        """Valley ratio r of the border between two clusters, 0 to 1: the mean over several draws, if it has any."""

    def loss(self, first: Any, second: Any) -> float:
        """How much worse both together explain their points than each its own, at least 0."""

    def adjacent(self, groups: list[Any], first: int, second: int) -> bool:
        """Whether two of the clusters may be merged."""

    def split(self, member_N: NDArray[np.bool_], generator: torch.Generator) -> tuple[float, NDArray[np.bool_]]:
        """R of the best division of a cluster, and the members of one part; r = 1 where there is none."""


class Merge(NamedTuple):
    """Two nodes of a tree become one. Leaves are 0 to M - 1, and the node that merge i makes is M + i."""

    first: int
    second: int
    r: float
    """Valley ratio of their border: what divides them, the less the firmer; never above that of an earlier merge."""


@dataclass(frozen=True)
class Tree:
    """From the finest cut to a single cluster, the least firm border first."""

    leaves: int
    """M, at least 1."""
    merges: tuple[Merge, ...]
    """M - 1 of them."""

    def clusters(self, k: int) -> list[list[int]]:
        """The leaves of each of k clusters, in the order of their first leaves.

        Raises:
            ValueError: k is not from 1 to `leaves`.
        """
        if not 1 <= k <= self.leaves:
            raise ValueError(f"expected 1 to {self.leaves} clusters, got {k}")
        nodes = {leaf: [leaf] for leaf in range(self.leaves)}
        for number, merge in enumerate(self.merges[: self.leaves - k]):
            nodes[self.leaves + number] = sorted(nodes.pop(merge.first) + nodes.pop(merge.second))
        return sorted(nodes.values())

    def count(self, firm: float) -> int:
        """Number of clusters that all borders with r below `firm` divide."""
        return 1 + sum(merge.r < firm for merge in self.merges)


class Grouping:
    """Clusters on their way to being right.

    Args:
        evidence: what they are judged by.
        labels_N: (N,) where to start, 0 to any number; every number that occurs is a cluster.
        generator: CPU generator, of the splits.
    """

    def __init__(self, evidence: Evidence, labels_N: NDArray[Any], generator: torch.Generator) -> None:
        self._evidence, self._generator = evidence, generator
        self._names = itertools.count()
        # What was worked out of each group and pair of groups, by names that are given once.
        self._borders: dict[frozenset[int], float] = {}
        self._splits: dict[int, tuple[float, NDArray[np.bool_]]] = {}
        self._named: list[tuple[int, Any]] = [self._new(labels_N == label) for label in np.unique(labels_N)]

    @property
    def groups(self) -> list[Any]:
        """The clusters."""
        return [group for _, group in self._named]

    @property
    def labels_N(self) -> NDArray[np.int64]:
        """(N,) 0 to K - 1."""
        labels_N: NDArray[np.int64] = np.stack([group.member_N for group in self.groups]).argmax(0)
        return labels_N

    def merge(self, firm: float, fewest: int, most: int) -> None:
        """Merge the pair with the largest r as long as it is at least `firm`, or clusters are more than `most`.

        A cluster of too few points goes first, to whichever it is divided from least.
        """
        while len(self.groups) > fewest:
            sizes = [int(group.member_N.sum()) for group in self.groups]
            smallest = int(np.argmin(sizes))
            only = smallest if sizes[smallest] < self._evidence.least else None
            pair, r = self._least_divided(only)
            if only is None and r < firm and len(self.groups) <= most:
                return
            self._join(*pair)

    def split(self, firm: float, fewest: int, most: int) -> None:
        """Split the cluster with the lowest r as long as it is below `firm`, or clusters are fewer than `fewest`."""
        while len(self.groups) < most:
            number, r, part_N = self._best_split()
            if r >= (1.0 if len(self.groups) < fewest else firm):
                return
            self._cut(number, part_N)

    def settle(self, assign: Callable[[NDArray[np.int64]], NDArray[np.int64]], rounds: int) -> None:
        """Let every point go to the cluster that explains it best, some times.

        Args:
            assign: from the labels (N,) of the clusters to better ones.
            rounds: how often, at most.
        """
        labels_N = self.labels_N
        for _ in range(rounds):
            before, labels_N = labels_N, assign(labels_N)
            if np.array_equal(before, labels_N):
                break
        sizes = np.bincount(labels_N)
        self._named = [self._new(labels_N == label) for label in np.flatnonzero(sizes)]

    def sort(self) -> None:
        """Put the largest cluster first."""
        self._named.sort(key=lambda named: -int(named[1].member_N.sum()))

    def borders(self) -> NDArray[np.float64]:
        """(K, K) r of each pair; 1 on the diagonal, 0 for clusters that cannot be merged."""
        k = len(self.groups)
        borders = np.eye(k)
        for i, j in itertools.combinations(range(k), 2):
            borders[i, j] = borders[j, i] = self._border(i, j)
        return borders

    def tree(self, most: int = LEAVES) -> tuple[Tree, NDArray[np.int64]]:
        """Go on cutting the clusters found as long as borders grade, and then merge all into one.

        Args:
            most: leaves.

        Returns:
            The tree, and the leaf of each point. Clusters of K groups are `tree.clusters(K)`, in their order.
        """
        found = list(self._named)
        parents = list(range(len(found)))  # which of the clusters found each of the groups is a part of
        cuts: list[tuple[int, int, float]] = []
        while len(self.groups) < max(most, len(found)):
            number, r, part_N = self._best_split()
            if r >= FINEST:
                break
            self._cut(number, part_N)
            parents.append(parents[number])
            cuts.append((number, len(self.groups) - 1, r))
        # Leaves are numbered by cluster, so that the clusters come out in their order.
        order = sorted(range(len(self.groups)), key=lambda number: (parents[number], number))
        place = {number: leaf for leaf, number in enumerate(order)}
        leaves_N = np.stack([self.groups[number].member_N for number in order]).argmax(0)
        node = {number: place[number] for number in order}
        merges: list[Merge] = []
        for kept, gone, r in reversed(cuts):
            merges.append(Merge(node[kept], node.pop(gone), r))
            node[kept] = len(order) + len(merges) - 1
        self._named = list(found)
        nodes = [node[number] for number in range(len(found))]
        while len(self.groups) > 1:
            (i, j), r = self._least_divided(None)
            merges.append(Merge(nodes[i], nodes[j], r))
            nodes[i] = len(order) + len(merges) - 1
            del nodes[j]
            self._join(i, j)
        self._named = found
        # From the clusters found to a single one each merge gives up a firmer border, and towards the leaves no part is
        # divided more firmly than the whole that it was cut from.
        lowest = 1.0
        for number in range(len(cuts), len(merges)):
            lowest = min(lowest, merges[number].r)
            merges[number] = merges[number]._replace(r=lowest)
        highest = merges[len(cuts)].r if len(cuts) < len(merges) else 0.0
        for number in reversed(range(len(cuts))):
            highest = max(highest, merges[number].r)
            merges[number] = merges[number]._replace(r=highest)
        return Tree(len(order), tuple(merges)), leaves_N

    def _new(self, member_N: NDArray[np.bool_]) -> tuple[int, Any]:
        return next(self._names), self._evidence.group(member_N)

    def _border(self, i: int, j: int) -> float:
        (first, one), (second, other) = self._named[i], self._named[j]
        key = frozenset((first, second))
        if key not in self._borders:
            self._borders[key] = self._evidence.border(one, other)
        return self._borders[key]

    def _least_divided(self, only: int | None) -> tuple[tuple[int, int], float]:
        """The pair with the largest r; one with the cluster `only`, if it is given. The smaller number comes first.

        Of borders that are firm beyond doubt it is the one whose merge loses least.
        """
        groups = self.groups
        pairs = [(i, j) for i, j in itertools.combinations(range(len(groups)), 2) if only is None or only in (i, j)]
        near = [pair for pair in pairs if self._evidence.adjacent(groups, *pair)] or pairs
        best = max(near, key=lambda pair: self._border(*pair))
        if self._border(*best) < BEYOND_DOUBT:
            best = min(near, key=lambda pair: self._evidence.loss(groups[pair[0]], groups[pair[1]]))
        return best, self._border(*best)

    def _best_split(self) -> tuple[int, float, NDArray[np.bool_]]:
        """The cluster whose best division has the lowest r, that r, and the members of one part."""
        for name, group in self._named:
            if name not in self._splits:
                self._splits[name] = self._evidence.split(group.member_N, self._generator)
        number = min(range(len(self._named)), key=lambda i: self._splits[self._named[i][0]][0])
        return number, *self._splits[self._named[number][0]]

    def _join(self, i: int, j: int) -> None:
        """Merge cluster j into i."""
        self._named[i] = self._new(self._named[i][1].member_N | self._named[j][1].member_N)
        del self._named[j]

    def _cut(self, number: int, part_N: NDArray[np.bool_]) -> None:
        """Take a part out of a cluster; it comes last."""
        whole_N = self._named[number][1].member_N
        self._named[number] = self._new(whole_N & ~part_N)
        self._named.append(self._new(part_N))
