"""The clusters of a fitted model, kept where checkpoints and devices find them.

`TrainingRecord` is what a training keeps of the spectra that its clusters were found in, for other scans to be compared
with.

Shapes: N spectra, C channels, L latent dimensions, K clusters in use.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from deepspec.clustering.base import Votes
from deepspec.clustering.consensus import Consensus
from deepspec.clustering.partitions import CountSpectra, Gaussians, NearestCentres, distances_to
from deepspec.extensions import Extensible

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepspec.clustering.base import Partition


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingRecord:
    """Numbers of a sample of the training spectra, by the cluster that they are in."""

    spectrum_C: Tensor
    """float32: the mean spectrum, as measured, on the model's channels."""
    log_totals_K: Tensor
    """float32: mean logarithm of a spectrum's sum; NaN in a cluster without spectra, as in the next two."""
    counts_K: Tensor
    """float32: sum of the spectra of each cluster."""
    latents_KL: Tensor
    """float32: mean latent point."""
    spreads_K: Tensor
    """float32: root mean square distance from it."""
    error: float
    """Squared differences of the decoded spectra over the sum of the spectra's absolute values."""
    unassigned: float
    """Share of the spectra that no cluster explains."""
    certainty: float
    """Mean probability of the most probable cluster, without the neighbours."""
    noise: float
    """Variance of the counts over that of Poisson's law in the bins where the composition varies least; NaN for
    clusters of latent points."""
    strain: float
    """How far the clusters' mean compositions lie from their spectra, over the distance to the nearest other cluster; 0
    for clusters of latent points."""

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, Tensor) else value for name, value in vars(self).items()
        }
        return type(self)(**moved)

    def state(self) -> dict[str, Any]:
        """Tensors and plain numbers for a checkpoint."""
        return {
            name: value.detach().cpu() if isinstance(value, Tensor) else value for name, value in vars(self).items()
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """What `state` was taken of."""
        return cls(**{field.name: state[field.name] for field in fields(cls)})


BLOCK_DISTANCES = 2**22
"""Distances held at a time by `assign`: 16 MiB."""

PARTITIONS: Extensible[type[Partition]] = Extensible(
    "kind of partition",
    "deepspec.partitions",
    {kind.kind: kind for kind in (NearestCentres, Gaussians, CountSpectra, Consensus)},
)
"""What a checkpoint can hold, by the `kind` of its class; a class of another package's has to be in it to be loaded."""


def partition_of(state: dict[str, Any]) -> Partition:
    """What `Partition.state` was taken of."""
    found = PARTITIONS[state["kind"]].from_state(state)
    votes = state.get("by_network")  # of single networks, and of earlier versions, there are none
    return found if votes is None else replace(found, by_network=Votes.from_state(votes, partition_of))


_PARTITION = "partition"
"""Its entry in a state dict."""

_RECORD = "training_record"
"""Likewise."""


class Clusters(nn.Module):
    """Up to `k_max` clusters: their centres, and the partition that says which cluster a point belongs to.

    Buffers keep their shape whatever K is, so checkpoints and ranks always agree.

    >>> clusters = Clusters(latent=1, k_max=4)
    >>> clusters.set(torch.tensor([[0.0], [10.0]]))
    >>> clusters.assign(torch.tensor([[9.0], [5.0]]))
    tensor([1, 0])

    Args:
        latent: dimension L of the latent space, at least 1.
        k_max: the most clusters that can ever be in use, at least 1.

    Attributes:
        centres: buffer, float32 (k_max, L); rows from `count` on are zero.
        count: buffer, int64 (): number K of clusters in use, 0 as long as none were set.
        record: the training that they are of; None while it lasts, and in checkpoints of earlier versions.

    Raises:
        ValueError: `latent` or `k_max` is below 1.
    """

    centres: Tensor
    count: Tensor

    def __init__(self, latent: int, k_max: int) -> None:
        super().__init__()
        if latent < 1 or k_max < 1:
            raise ValueError(f"clusters need latent >= 1 and k_max >= 1; got latent={latent}, k_max={k_max}")
        self.register_buffer("centres", torch.zeros(k_max, latent))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self._partition: Partition | None = None
        self.record: TrainingRecord | None = None

    @torch.no_grad()
    def set(self, partition: Tensor | Partition) -> None:
        """Replace the clusters, in this order: label k is row k.

        Args:
            partition: how points are assigned; or centres alone, float (K, L), of which the nearest decides. K is from
                1 to k_max, the centres are finite, on any device.

        Raises:
            ValueError: another shape, too many centres, or one that is not finite.
        """
        centres_KL = partition if isinstance(partition, Tensor) else partition.centres
        k_max, latent = self.centres.shape
        if centres_KL.ndim != 2 or centres_KL.shape[1] != latent:
            raise ValueError(f"expected centres of shape (K, {latent}); got {tuple(centres_KL.shape)}")
        k = len(centres_KL)
        if not 1 <= k <= k_max:
            raise ValueError(f"expected 1 to k_max={k_max} centres; got {k}")
        if not centres_KL.isfinite().all():
            raise ValueError("centres must be finite; got NaN or infinity")
        self.centres[:k] = centres_KL
        self.centres[k:] = 0
        self.count.fill_(k)
        self._partition = None if isinstance(partition, Tensor) else partition.to(self.centres.device)
        self.record = None

    @property
    def used(self) -> Tensor:
        """The centres in use, float (K, L), a view of the buffer.

        Raises:
            RuntimeError: no centres were set.
        """
        k = int(self.count)
        if k == 0:
            raise RuntimeError("there are no clusters yet: fit the model, or call set(centres)")
        return self.centres[:k]

    @property
    def partition(self) -> Partition:
        """What says which cluster a point belongs to.

        Raises:
            RuntimeError: no clusters were set.
        """
        return NearestCentres(centres=self.used) if self._partition is None else self._partition

    def distances(self, z_NL: Tensor) -> Tensor:
        """Euclidean distance (N, K) of each latent point to each centre in use, in the centres' dtype.

        Raises:
            ValueError: `z_NL` is not (N, L).
            RuntimeError: no clusters were set.
        """
        self._check(z_NL)
        return distances_to(self.used, z_NL)

    @torch.no_grad()
    def assign(self, z_NL: Tensor, x_NC: Tensor | None = None) -> Tensor:
        """Label (N,), int64, of the cluster that explains each point best: 0 to K - 1, the lowest of equal ones.

        A point with a NaN is near nothing and gets -1. Memory is bounded beside the labels, so N may be a whole cube.

        Args:
            z_NL: latent points.
            x_NC: spectra as measured, where the partition needs them.

        Raises:
            ValueError: `z_NL` is not (N, L).
            RuntimeError: no clusters were set.
        """
        partition = self.partition
        self._check(z_NL)
        rows = max(1, BLOCK_DISTANCES // partition.k)
        labels = [
            partition.assign(z_nL, None if x_NC is None else x_NC[first : first + rows])
            for first, z_nL in zip(range(0, max(1, len(z_NL)), rows), torch.split(z_NL, rows), strict=True)
        ]
        return torch.cat(labels).masked_fill_(z_NL.isnan().any(1), -1)

    def _check(self, z_NL: Tensor) -> None:
        latent = self.used.shape[1]
        if z_NL.ndim != 2 or z_NL.shape[1] != latent:
            raise ValueError(f"expected latent points of shape (N, {latent}); got {tuple(z_NL.shape)}")

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Add what the buffers do not hold, as tensors and plain values, where there is any of it."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._partition is not None:
            destination[f"{prefix}{_PARTITION}"] = self._partition.state()
        if self.record is not None:
            destination[f"{prefix}{_RECORD}"] = self.record.state()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        """Take it back."""
        state = state_dict.pop(f"{prefix}{_PARTITION}", None)
        record = state_dict.pop(f"{prefix}{_RECORD}", None)
        super()._load_from_state_dict(state_dict, prefix, *more)
        partition = None if state is None else partition_of(state)
        self._partition = None if partition is None else partition.to(self.centres.device)
        self.record = None if record is None else TrainingRecord.from_state(record).to(self.centres.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Clusters:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._partition is not None:
            self._partition = self._partition.to(self.centres.device)
        if self.record is not None:
            self.record = self.record.to(self.centres.device)
        return self
