"""The seam: a clusterer makes a partition of latent points, and a partition says which cluster any point belongs to.

A clusterer may be told how many clusters to look for, or a range.

Shapes: N points, C channels, L latent dimensions, K clusters, M leaves of the merge tree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import torch

from deepspec.clustering.merging import Merge, Tree
from deepspec.errors import UserError

if TYPE_CHECKING:
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

    def disagreement(self, z_NL: Tensor, labels_N: Tensor) -> Tensor | None:
        """float32 (N,): share of the members of an ensemble that put a point elsewhere than its label, which is not -1.

        None where the clusters are not those of an ensemble's members.
        """
        return None

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
        changed = {name: getattr(self, name)[order] for name in self._by_cluster()}
        return replace(self, search=self.search.reordered(order_K.tolist()), **changed)

    def moved(self, centres_KL: Tensor) -> Self:
        """The same clusters with other mean latent points."""
        return replace(self, centres=centres_KL.to(self.centres))

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        moved = {name: getattr(self, name).to(device) for name in self._by_cluster()}
        return replace(self, finer=None if self.finer is None else self.finer.to(device), **moved)

    @classmethod
    def _by_cluster(cls) -> tuple[str, ...]:
        """Names of the tensors with a row per cluster."""
        return ("centres",)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint."""
        state: dict[str, Any] = {name: getattr(self, name).detach().cpu() for name in self._by_cluster()}
        finer = None if self.finer is None else self.finer.state()
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
