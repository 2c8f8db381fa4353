"""The terms of the loss by name, and the weight that each has in an epoch.

Shapes: N spectra of this rank's batch, M those of all ranks with `objective.global_batch` and else N, D preprocessed
channels, L latent dimensions (of all members of an ensemble), S members.

Another package adds a term of its own to the table:

    [project.entry-points."deepspec.loss_terms"]
    smoothness = "mypackage:smoothness"

    def smoothness(batch: LossInput) -> Tensor:
        return batch.reconstruction_ND.diff(dim=-1).square().mean()

and a run gives it a weight: `loss_schedule: {terms: {smoothness: {kind: constant, value: 0.1}}}`. In a notebook
`loss_terms.register("smoothness", smoothness)` does what the entry point does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from deepspec.errors import UserError
from deepspec.extensions import Extensible
from deepspec.functional import TooFewPositionsError, clustered_silhouette, mmd, normal_mmd
from deepspec.training.encoding import refuse_diverged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from deepspec.models import Latent
    from deepspec.training.objective_config import ObjectiveConfig

RECONSTRUCTION, MMD, SILHOUETTE, CLUSTERING = "reconstruction", "mmd", "silhouette", "clustering"

SYMBOLS = {MMD: "beta", SILHOUETTE: "gamma"}
"""The terms whose weights have a name of their own, in the configuration and in metrics.csv."""


@dataclass(frozen=True)
class Weights:
    """Weights of the terms in one epoch."""

    beta: float = 0.0
    """Of the MMD."""
    gamma: float = 0.0
    """Of the silhouette loss."""
    others: Mapping[str, float] = field(default_factory=dict)
    """Of further terms by name; that of the reconstruction is 1 if it is not among them."""

    def __getitem__(self, term: str) -> float:
        """The weight of a term; 0 where it has none."""
        if term == MMD:
            return self.beta
        if term == SILHOUETTE:
            return self.gamma
        return self.others.get(term, 1.0 if term == RECONSTRUCTION else 0.0)

    @property
    def terms(self) -> list[str]:
        """Names of all terms that can have a weight here, in the order in which they are added up."""
        return [RECONSTRUCTION, MMD, SILHOUETTE, *(name for name in self.others if name != RECONSTRUCTION)]

    def columns(self) -> dict[str, float]:
        """What metrics.csv has of them: `beta`, `gamma`, and `weight/NAME` of every other that was given."""
        return {"beta": self.beta, "gamma": self.gamma} | {f"weight/{name}": w for name, w in self.others.items()}


@dataclass(frozen=True)
class OwnBatch:
    """This rank's batch before it is joined with those of others."""

    x_ND: Tensor
    """Preprocessed spectra that the network saw."""
    latent: Latent
    """What the encoder says of them: means (N, L), and log-variances of a variational network."""
    z_NL: Tensor
    """What was decoded: drawn from that, of a variational network; else the means."""


@dataclass(frozen=True)
class LossInput:
    """What a term of the loss may be computed from. Everything is float32, with gradient to the network."""

    target_ND: Tensor
    """Preprocessed spectra that the reconstruction is held against."""
    reconstruction_ND: Tensor
    """The decoder's, on the preprocessed scale; of an ensemble (S, N, D)."""
    mean_ML: Tensor
    """Latent means, which are clustered; those of the members of an ensemble stand side by side."""
    z_ML: Tensor
    """Latents that were decoded, as many."""
    config: ObjectiveConfig
    """How MMD and silhouette are computed."""
    members: int = 1
    """Networks S that are trained side by side."""
    own: OwnBatch | None = None
    """What the network saw on this rank; None where the loss is computed outside of training."""
    numbers: dict[str, float] = field(default_factory=dict)
    """What a term wants logged beside its value, by name: `batch.numbers["k"] = 4` becomes `train/k` and `val/k`."""


@dataclass(frozen=True)
class LossParts:
    """The loss of a batch. A term that was not computed, or that the batch does not have, is absent."""

    total: Tensor
    """What is minimised: the terms with the weights of this epoch."""
    target: Tensor
    """The terms with the weights that the schedules end at; without gradient."""
    terms: dict[str, Tensor]
    """By name, without weight: scalars."""
    numbers: dict[str, float]
    """What terms want logged beside their values."""

    @property
    def reconstruction(self) -> Tensor:
        """Mean squared error over spectra and channels (equation 1), in units of the preprocessed spectra."""
        return self.terms[RECONSTRUCTION]

    @property
    def mmd(self) -> Tensor | None:
        """Squared maximum mean discrepancy from the prior (equation 5)."""
        return self.terms.get(MMD)

    @property
    def silhouette(self) -> Tensor | None:
        """(1 - silhouette score) / 2 of the batch's best clustering (equation 4), 0 to 1."""
        return self.terms.get(SILHOUETTE)

    @property
    def clustering(self) -> Tensor | None:
        """The clustering loss of a deep baseline; see `deepspec.training.deep_baselines`."""
        return self.terms.get(CLUSTERING)

    @property
    def k(self) -> float | None:
        """The number of clusters of the silhouette's clustering; of an ensemble the mean over its members."""
        return self.numbers.get("k")

    def named(self) -> dict[str, Tensor]:
        """The total and the terms there are, for logging; detached."""
        return {name: part.detach() for name, part in {"total": self.total, **self.terms}.items()}


LossTerm = Callable[[LossInput], "Tensor | None"]
"""Computes a term of a batch: a scalar with gradient, a mean over spectra; None for a batch that does not have it."""


def reconstruction_error(batch: LossInput) -> Tensor:
    """Mean squared error over spectra and channels (equation 1)."""
    target_ND = batch.target_ND.expand_as(batch.reconstruction_ND)
    return torch.nn.functional.mse_loss(batch.reconstruction_ND, target_ND)


def latent_discrepancy(batch: LossInput) -> Tensor:
    """Squared MMD of latents and prior (equation 5); the mean over the members of an ensemble."""
    parts = batch.z_ML.float().chunk(batch.members, 1)
    return torch.stack([_discrepancy(own_NL, batch.config) for own_NL in parts]).mean()


def silhouette_loss(batch: LossInput) -> Tensor | None:
    """(1 - silhouette) / 2 (equation 4) and the number `k`; means over the members whose latents can be clustered."""
    found = [_silhouette(own_NL, batch.config) for own_NL in batch.mean_ML.float().chunk(batch.members, 1)]
    losses = [pair[0] for pair in found if pair is not None]
    if not losses:
        return None
    counts = [pair[1] for pair in found if pair is not None]
    batch.numbers["k"] = sum(counts) / len(counts)
    return torch.stack(losses).mean()


def _discrepancy(z_NL: Tensor, config: ObjectiveConfig) -> Tensor:
    options = config.mmd
    if options.prior_samples is None and options.kernel != "imq":
        return normal_mmd(z_NL, kernel=options.kernel, bandwidths=options.bandwidths, estimator=options.estimator)
    assert options.prior_samples is not None  # ObjectiveConfig has seen to it
    prior = torch.randn(options.prior_samples, z_NL.shape[1], dtype=z_NL.dtype, device=z_NL.device)
    return mmd(z_NL, prior, kernel=options.kernel, bandwidths=options.bandwidths, estimator=options.estimator)


def _silhouette(z_NL: Tensor, config: ObjectiveConfig) -> tuple[Tensor, int] | None:
    k_max = min(config.k_max, len(z_NL) - 1)
    if k_max < config.k_min:
        return None
    refuse_diverged(z_NL)
    try:
        score, clusters = clustered_silhouette(
            z_NL if config.silhouette_gradient else z_NL.detach(),
            config.k_min,
            k_max,
            average=config.silhouette_average,
            max_iter=config.max_iter,
            init=config.init,
        )
    except TooFewPositionsError:
        return None  # equal spectra: there is nothing to pull apart
    return (1 - score) / 2, clusters.k


def _check(name: str, term: LossTerm) -> None:
    if not callable(term):
        raise TypeError(f"a loss term is a function of a LossInput, got a value of type {type(term).__name__}")
    if name in (CLUSTERING, "total", "target") or "/" in name:
        raise UserError(f"loss term {name!r}: expected a name without a slash that no column of the losses has")


loss_terms: Extensible[LossTerm] = Extensible(
    "loss term",
    "deepspec.loss_terms",
    {RECONSTRUCTION: reconstruction_error, MMD: latent_discrepancy, SILHOUETTE: silhouette_loss},
    _check,
)
"""All terms by name: ours, what was registered, and what packages bring."""
