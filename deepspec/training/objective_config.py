"""What the parts of the loss are, as plain values that fit a YAML file and a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from deepspec.errors import UserError
from deepspec.functional.kmeans import Init
from deepspec.functional.mmd import Estimator, Kernel
from deepspec.functional.silhouette import Average
from deepspec.renamed import has_old_words


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


@has_old_words
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
    max_iter: int = 4
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
