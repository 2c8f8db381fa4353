"""What is minimised: reconstruction + beta MMD + gamma silhouette loss (equations 1, 3, 4 and 6).

Shapes: N spectra of a batch, C channels, L latent dimensions, S members of an ensemble.

Under several processes every rank computes these on its own batch, as one process would; MMD and silhouette are no
means over samples, so the average over ranks is not the loss of the joined batch. `global_batch` makes it that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from deepspec.errors import UserError
from deepspec.functional import TooFewPositionsError, clustered_silhouette, mmd, normal_mmd
from deepspec.functional.kmeans import Init
from deepspec.functional.mmd import Estimator, Kernel
from deepspec.functional.silhouette import Average
from deepspec.training.encoding import refuse_diverged


@dataclass(frozen=True)
class MMDConfig:
    """The discrepancy between latents and prior (equation 5)."""

    kernel: Kernel = "rbf"
    """rbf, imq (inverse multiquadratic), or paper: the published code's exp(-d^2 / L^2)."""
    bandwidths: list[float] | None = None
    """Kernel widths in units of the latents, averaged; the median distance if not given. None for `paper`."""
    estimator: Estimator = "biased"
    """biased is equation 5 as printed; unbiased leaves out the pairs of a point with itself."""
    prior_samples: int | None = None
    """Draws from the prior N(0, 1) in every step; None takes the expectation over the prior itself, which is exact and
    quicker, but which imq does not have."""


@dataclass(frozen=True)
class ObjectiveConfig:
    """The parts of the loss and how they are put together; their weights are the loss schedule's."""

    silhouette_gradient: bool = True
    """Whether the silhouette moves the encoder. False gives the published code, where it is only a number."""
    silhouette_average: Average = "samples"
    """samples (Rousseeuw, the published code) or clusters (equation 2 as printed)."""
    k_min: int = 3
    """Fewest clusters that a batch is divided into."""
    k_max: int = 10
    """Most clusters that a batch is divided into."""
    iterations: int = 4
    """Lloyd iterations in a batch, at the most. From greedy k-means++ seeds, 3 gave the same K and the same score to
    four digits as 100, on batches of two data sets; random seeds want 10 or more."""
    init: Init = "k-means++"
    """Seeds of the K-means in a batch: k-means++ or random."""
    mmd: MMDConfig = field(default_factory=MMDConfig)
    """The discrepancy between latents and prior."""
    total: Literal["sum", "published"] = "sum"
    """sum: L + gamma s (equation 6); published: L (1 + gamma s) / (1 + gamma), the other total of that code."""
    global_batch: bool = False
    """On several ranks: whether MMD and silhouette are those of the batches of all ranks together, so that N ranks with
    batches of B minimise what one would with a batch of N B. Otherwise each rank clusters its own batch. On one rank
    both are the same but for the K-means seeds. The reconstruction is a mean over spectra and the same anyway."""

    def __post_init__(self) -> None:
        """Check the ranges that the parts share."""
        if not 2 <= self.k_min <= self.k_max:
            raise UserError(f"objective: expected 2 <= k_min <= k_max, got k_min = {self.k_min}, k_max = {self.k_max}")
        if self.mmd.prior_samples is not None and self.mmd.prior_samples < 2:
            raise UserError(f"objective.mmd.prior_samples: expected at least 2, got {self.mmd.prior_samples}")
        if self.mmd.prior_samples is None and self.mmd.kernel == "imq":
            raise UserError("objective.mmd.prior_samples: the imq kernel wants a number of draws, for example 256")
        if self.mmd.kernel == "paper" and self.mmd.bandwidths is not None:
            raise UserError("objective.mmd.bandwidths: leave it out, the paper's kernel has none")


@dataclass(frozen=True)
class Weights:
    """Weights of the parts in one epoch."""

    beta: float = 0.0
    """Of the MMD."""
    gamma: float = 0.0
    """Of the silhouette loss."""


@dataclass(frozen=True)
class LossParts:
    """The loss of a batch, by name. A part that was not computed, or that the batch does not have, is None."""

    total: Tensor
    """What is minimised."""
    reconstruction: Tensor
    """Mean squared error over spectra and channels (equation 1), in units of the preprocessed spectra."""
    mmd: Tensor | None
    """Squared maximum mean discrepancy from the prior (equation 5)."""
    silhouette: Tensor | None
    """(1 - silhouette score) / 2 of the batch's best clustering (equation 4), 0 to 1."""
    k: float | None
    """The number of clusters of that clustering; of an ensemble the mean over its members."""
    clustering: Tensor | None = None
    """The clustering loss of a deep baseline, which joins it; see `deepspec.training.deep_baselines`."""

    def named(self) -> dict[str, Tensor]:
        """The parts there are, for logging; detached."""
        parts = {"total": self.total, "reconstruction": self.reconstruction, "mmd": self.mmd}
        parts |= {"silhouette": self.silhouette, "clustering": self.clustering}
        return {name: part.detach() for name, part in parts.items() if part is not None}


class Objective:
    """Computes the loss of a batch; without state besides its configuration.

    The parts of an ensemble are the means of those of its members, each of which has a latent space of its own.

    Args:
        config: what the parts are.
        members: networks S that are trained side by side.
    """

    def __init__(self, config: ObjectiveConfig, members: int = 1) -> None:
        self.config, self.members = config, members

    def __call__(
        self, x_NC: Tensor, reconstruction_NC: Tensor, mean_NL: Tensor, z_NL: Tensor, now: Weights, final: Weights
    ) -> LossParts:
        """The loss parts of a batch.

        Args:
            x_NC: preprocessed spectra that the reconstruction is held against: those that were encoded, or others in
                their place (`data.target`, `model.thinning`).
            reconstruction_NC: the decoder's; of an ensemble (S, N, C).
            mean_NL: latent means, which are clustered; may be of more spectra than `x_NC`, those of other ranks. Those
                of the members of an ensemble stand side by side, (N, S L).
            z_NL: latents that were decoded (drawn, for a variational network), which are held against the prior; as
                many as means.
            now: the weights of `total`.
            final: the weights when the schedules are done. A part is computed if it has a weight now or then, so that
                its curve does not begin when its weight does.

        Returns:
            Named parts. A batch that cannot be clustered (equal spectra, too few) has no silhouette part: its total
            goes without, and nothing becomes NaN.
        """
        reconstruction = torch.nn.functional.mse_loss(reconstruction_NC, x_NC.expand_as(reconstruction_NC))
        total = reconstruction
        discrepancy = loss = k = None
        if now.beta > 0 or final.beta > 0:
            discrepancy = torch.stack([self._mmd(own_NL) for own_NL in z_NL.float().chunk(self.members, 1)]).mean()
            if now.beta > 0:
                total = total + now.beta * discrepancy
        if now.gamma > 0 or final.gamma > 0:
            loss, k = self._silhouettes(mean_NL.float())
            if now.gamma > 0 and loss is not None:
                total = self._with_silhouette(total, now.gamma, loss)
        return LossParts(total, reconstruction, discrepancy, loss, k)

    def combine(self, parts: LossParts, weights: Weights) -> Tensor:
        """The total that the parts have under other weights; no gradient."""
        total = parts.reconstruction.detach()
        if parts.mmd is not None:
            total = total + weights.beta * parts.mmd.detach()
        if parts.silhouette is not None and weights.gamma > 0:
            total = self._with_silhouette(total, weights.gamma, parts.silhouette.detach())
        return total

    def _with_silhouette(self, total: Tensor, gamma: float, loss: Tensor) -> Tensor:
        if self.config.total == "sum":
            return total + gamma * loss
        return total * (1 + gamma * loss) / (1 + gamma)

    def _mmd(self, z_NL: Tensor) -> Tensor:
        options = self.config.mmd
        if options.prior_samples is None and options.kernel != "imq":
            return normal_mmd(z_NL, kernel=options.kernel, bandwidths=options.bandwidths, estimator=options.estimator)
        assert options.prior_samples is not None  # ObjectiveConfig has seen to it
        prior = torch.randn(options.prior_samples, z_NL.shape[1], dtype=z_NL.dtype, device=z_NL.device)
        return mmd(z_NL, prior, kernel=options.kernel, bandwidths=options.bandwidths, estimator=options.estimator)

    def _silhouettes(self, z_NL: Tensor) -> tuple[Tensor | None, float | None]:
        """Means over the members whose latents can be clustered."""
        found = [self._silhouette(own_NL) for own_NL in z_NL.chunk(self.members, 1)]
        losses = [loss for loss, _ in found if loss is not None]
        counts = [k for _, k in found if k is not None]
        return (torch.stack(losses).mean(), sum(counts) / len(counts)) if losses else (None, None)

    def _silhouette(self, z_NL: Tensor) -> tuple[Tensor | None, int | None]:
        options = self.config
        k_max = min(options.k_max, len(z_NL) - 1)
        if k_max < options.k_min:
            return None, None
        refuse_diverged(z_NL)
        try:
            score, clusters = clustered_silhouette(
                z_NL if options.silhouette_gradient else z_NL.detach(),
                options.k_min,
                k_max,
                average=options.silhouette_average,
                iterations=options.iterations,
                init=options.init,
            )
        except TooFewPositionsError:
            return None, None  # equal spectra: there is nothing to pull apart
        return (1 - score) / 2, clusters.k
