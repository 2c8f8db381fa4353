"""The seam: a clusterer makes a partition of latent points, and a partition says which cluster any point belongs to.

A clusterer may be told how many clusters to look for, or a range.

Shapes: N points, C channels, L latent dimensions, K clusters, M leaves of the merge tree, S networks of an ensemble.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import torch

from deepspec.clustering.merging import Merge, Tree
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def bounds_of(k: int | tuple[int, int] | None, default: tuple[int, int], points: int) -> tuple[int, int]:
    """Fewest and most clusters.

    Args:
        k: how many clusters, or the fewest and most; None for the default.
        default: of a clusterer; its most is lowered to what the points allow.
        points: how many there are.

    Raises:
        UserError: k is impossible, or more than the points allow.
    """
    if k is None:
        fewest, most = default[0], min(default[1], max(default[0], points - 1))
    else:
        fewest, most = (k, k) if isinstance(k, int) else k
    if not 1 <= fewest <= most:
        raise UserError(f"k: expected 1 <= fewest <= most clusters, got {fewest} and {most}")
    if (points <= most and points > 1) or points < 1:
        raise UserError(
            f"{points} usable pixels cannot be divided into {fewest} to {most} clusters: more pixels than clusters "
            "are needed; lower --k"
        )
    return fewest, most


@dataclass(frozen=True)
class Search:
    """How the clusters were found."""

    scores: dict[int, float] = field(default_factory=dict)
    """Silhouette of every K tried, of a clusterer that compares them."""
    inertias: dict[int, float] = field(default_factory=dict)
    """Sum of squared distances to the centres for every K tried, likewise."""
    evidence: str = ""
    """What decided on K, in words."""
    borders: tuple[tuple[float, ...], ...] = ()
    """(K, K) valley ratio r of each pair of clusters: 1 without a valley, 0 for clusters that lie apart. Empty where
    valleys were not looked for."""
    tree: Tree | None = None
    """Where the clusters could be merged or divided further."""
    parents: tuple[int, ...] = ()
    """(M,) the cluster of each leaf of the tree."""

    def reordered(self, order_K: list[int]) -> Search:
        """The same for clusters in another order: the new cluster i is the old `order_K[i]`."""
        new = {old: place for place, old in enumerate(order_K)}
        borders = tuple(tuple(self.borders[i][j] for j in order_K) for i in order_K) if self.borders else ()
        return replace(self, borders=borders, parents=tuple(new[parent] for parent in self.parents))

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        tree = None if self.tree is None else [self.tree.leaves, [list(merge) for merge in self.tree.merges]]
        borders = [list(row) for row in self.borders]
        return {
            "scores": dict(self.scores),
            "inertias": dict(self.inertias),
            "evidence": self.evidence,
            "borders": borders,
            "tree": tree,
            "parents": list(self.parents),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Search:
        """What `state` was taken of."""
        tree = state["tree"]
        return cls(
            scores=dict(state["scores"]),
            inertias=dict(state["inertias"]),
            evidence=state["evidence"],
            borders=tuple(tuple(row) for row in state["borders"]),
            tree=None if tree is None else Tree(tree[0], tuple(Merge(*merge) for merge in tree[1])),
            parents=tuple(state["parents"]),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Partition(ABC):
    """Clusters of latent points. A subclass says how well each explains a point.

    Its tensors are on one device, that of the points it is asked about.
    """

    kind: ClassVar[str]
    """The name under which a checkpoint keeps it."""
    needs_spectra: ClassVar[bool] = False
    """Whether points are judged by their spectra too."""

    centres: Tensor
    """float32 (K, L): the mean latent point of each cluster."""
    search: Search = field(default_factory=Search)
    """How they were found."""
    finer: Self | None = None
    """The leaves of the merge tree as clusters; None without a tree, and where it goes no further than the clusters."""
    by_network: Votes | None = None
    """What each network of an ensemble says by itself; None of a single network, and where they were not asked."""

    @property
    def k(self) -> int:
        """Number of clusters K, at least 1."""
        return len(self.centres)

    @abstractmethod
    def log_scores(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """How well each cluster explains each point.

        Args:
            z_NL: latent points, finite.
            x_NC: the spectra as measured, on the model's channels; wanted where `needs_spectra`.

        Returns:
            float32 (N, K): logarithm of the probability of each cluster, up to a number for each point.
        """

    def memberships(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """float32 (N, K): probability of each cluster, rows adding up to 1."""
        return self.log_scores(z_NL, x_NC).softmax(1)

    def assign(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """int64 (N,): the most probable cluster, the lowest of equally probable ones."""
        return self.log_scores(z_NL, x_NC).argmax(1)

    def unexplained(self, z_NL: Tensor, labels_N: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """Bool (N,): the points that their own cluster does not explain. None, unless a subclass knows better."""
        return torch.zeros(len(z_NL), dtype=torch.bool, device=z_NL.device)

    def member_labels(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor | None:
        """int64 (N, S): the cluster that each network of an ensemble puts each point into; None if none has a say."""
        return None if self.by_network is None else self.by_network.labels(z_NL, x_NC)

    def disagreement(self, z_NL: Tensor, labels_N: Tensor, x_NC: Tensor | None = None) -> Tensor | None:
        """float32 (N,): share of the networks of an ensemble that put a point elsewhere than its label.

        The label is not -1. None where no network has a say.
        """
        votes_NS = self.member_labels(z_NL, x_NC)
        return None if votes_NS is None else elsewhere(votes_NS, labels_N)

    def leaves(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """int64 (N, K): the best leaf of the merge tree within each cluster; the cluster's number without a tree."""
        if self.search.tree is None:
            return torch.arange(self.k, device=z_NL.device).expand(len(z_NL), -1)
        parents_M = torch.tensor(self.search.parents, device=z_NL.device)
        if self.finer is None:
            return parents_M.argsort().expand(len(z_NL), -1)
        scores_NM = self.finer.log_scores(z_NL, x_NC)
        columns = [scores_NM.masked_fill(parents_M != cluster, -torch.inf).argmax(1) for cluster in range(self.k)]
        return torch.stack(columns, 1)

    def reordered(self, order_K: Tensor) -> Self:
        """The same clusters in another order: the new cluster i is the old `order_K[i]`."""
        order = order_K.to(self.centres.device)
        changed: dict[str, Any] = {name: getattr(self, name)[order] for name in self._by_cluster()}
        if self.by_network is not None:
            changed["by_network"] = self.by_network.reordered(order_K)
        return replace(self, search=self.search.reordered(order_K.tolist()), **changed)

    def moved(self, centres_KL: Tensor) -> Self:
        """The same clusters with other mean latent points."""
        return replace(self, centres=centres_KL.to(self.centres))

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in self._by_cluster()}
        if self.by_network is not None:
            moved["by_network"] = self.by_network.to(device)
        return replace(self, finer=None if self.finer is None else self.finer.to(device), **moved)

    @classmethod
    def _by_cluster(cls) -> tuple[str, ...]:
        """Names of the tensors with a row per cluster."""
        return ("centres",)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint."""
        state: dict[str, Any] = {name: getattr(self, name).detach().cpu() for name in self._by_cluster()}
        finer = None if self.finer is None else self.finer.state()
        state |= {} if self.by_network is None else {"by_network": self.by_network.state()}
        return {"kind": self.kind, "search": self.search.state(), "finer": finer, "values": self._values(), **state}

    def _values(self) -> dict[str, Any]:
        """Fields that are plain numbers."""
        return {}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """What `state` was taken of."""
        tensors = {name: state[name] for name in cls._by_cluster()}
        finer = None if state["finer"] is None else cls.from_state(state["finer"])
        return cls(search=Search.from_state(state["search"]), finer=finer, **state["values"], **tensors)


def elsewhere(votes_NS: Tensor, labels_N: Tensor) -> Tensor:
    """float32 (N,): share of the votes that are for another cluster than the label."""
    return (votes_NS != labels_N[:, None]).float().mean(1)


@dataclass(frozen=True, eq=False)
class Votes:
    """The clusters of each network, and which joint ones they are."""

    partitions: tuple[Partition, ...]
    """S of them, each of its own network's latents."""
    numbers: tuple[Tensor, ...]
    """int64, for each network: the joint cluster of each of its clusters, 0 to K - 1."""

    def labels(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """int64 (N, S): the joint cluster that each network puts each point into.

        Args:
            z_NL: (N, S L) latent points, the networks' side by side.
            x_NC: the spectra as measured, where the partitions need them.
        """
        parts = z_NL.chunk(len(self.partitions), 1)
        found = [
            number_K.to(z_NL.device)[partition.assign(own_NL, x_NC)]
            for partition, number_K, own_NL in zip(self.partitions, self.numbers, parts, strict=True)
        ]
        return torch.stack(found, 1)

    def reordered(self, order_K: Tensor) -> Self:
        """The same for joint clusters in another order: the new cluster i is the old `order_K[i]`."""
        place_K = order_K.argsort()
        return replace(self, numbers=tuple(place_K.to(number_K.device)[number_K] for number_K in self.numbers))

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        return replace(self, partitions=tuple(partition.to(device) for partition in self.partitions))

    def state(self) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint."""
        return {
            "partitions": [partition.state() for partition in self.partitions],
            "numbers": [number_K.cpu() for number_K in self.numbers],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], partition_of: Callable[[dict[str, Any]], Partition]) -> Self:
        """What `state` was taken of.

        Args:
            state: of a checkpoint.
            partition_of: makes a partition of its own state.
        """
        return cls(tuple(partition_of(own) for own in state["partitions"]), tuple(state["numbers"]))


class Clusterer(Protocol):
    """Divides points into clusters."""

    def fit(
        self,
        z_NL: Tensor,
        k: int | tuple[int, int] | None = None,
        generator: torch.Generator | None = None,
        spectra: Tensor | None = None,
    ) -> Partition:
        """Cluster points.

        Args:
            z_NL: float32 (N, L) latent points, finite, on any device.
            k: how many clusters, or the fewest and most; None leaves it to the clusterer.
            generator: CPU generator of all random choices; None takes torch's global one.
            spectra: float32 (N, C), the spectra as measured, which some clusterers judge by.

        Returns:
            The clusters, largest first.

        Raises:
            UserError: the points are too few or too alike.
        """
