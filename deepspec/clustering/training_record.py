"""What a training keeps of the spectra that its clusters were found in, for other scans to be compared with.

Shapes: C channels, K clusters, L latent dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

if TYPE_CHECKING:
    import torch


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
