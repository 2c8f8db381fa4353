"""DCN: Yang, Fu, Sidiropoulos & Hong 2017, Towards K-means-friendly Spaces, ICML, arXiv 1610.04794.

Shapes: N spectra of a batch, D preprocessed channels, L latent dimensions, K clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

from deepspec.functional import kmeans
from deepspec.training.deep_baselines.method import DeepBaseline

if TYPE_CHECKING:
    from deepspec.models import Latent
    from deepspec.training.deep_baselines.config import DeepBaselineConfig

RESTARTS = 20

FIRST_COUNT = 100
"""Spectra that each cluster begins with, so that the first of a batch does not move a centre to itself."""


class DCN(DeepBaseline):
    """Reconstruction + lambda / 2 * squared distance to the nearest centre; the centres follow without gradient.

    The network, the assignments and the centres (section 3) take turns, one batch each. Departures
    beside those of `DeepBaseline`: assignments and centres use the latent points that the loss of the batch is computed
    from, so those before the network's step and not after it; the assignments of a batch are all made before its
    first centre moves.

    On several ranks the centres move by the batches of all, summed, as they would in one process with the joint batch,
    and are the same on each. The loss is a mean over spectra, so its gradient too is that of the joint batch.

    Attributes:
        centres: buffer, float32 (K, L).
        counts: buffer, float32 (K,): spectra assigned to each cluster so far, c_k of the paper.
    """

    centres: Tensor
    counts: Tensor

    def __init__(self, config: DeepBaselineConfig, latent: int) -> None:
        super().__init__(config, latent)
        self.register_buffer("centres", torch.zeros(config.clusters, latent))
        self.register_buffer("counts", torch.zeros(config.clusters))

    @torch.no_grad()
    def begin(self, z_NL: Tensor, seed: int) -> None:
        """K-means, the best of 20 restarts."""
        generator = torch.Generator().manual_seed(seed)
        self.centres.copy_(kmeans(z_NL, self.config.clusters, n_init=RESTARTS, generator=generator).cluster_centers)
        self.counts.fill_(FIRST_COUNT)

    def loss(self, x_ND: Tensor, latent: Latent, z_NL: Tensor) -> Tensor:
        """Half the mean squared distance to the nearest centre; in training mode the centres then move."""
        mean_NL = latent.mean_NL.float()
        labels_N = torch.cdist(mean_NL.detach(), self.centres).argmin(1)
        loss = (mean_NL - self.centres[labels_N]).square().sum(1).mean() / 2
        if self.training:
            self._move(mean_NL.detach(), labels_N)
        return loss

    @torch.no_grad()
    def _move(self, z_NL: Tensor, labels_N: Tensor) -> None:
        sums_KL = torch.zeros_like(self.centres).index_add_(0, labels_N, z_NL)
        found_K = torch.bincount(labels_N, minlength=len(self.centres)).to(sums_KL.dtype)
        if distributed.is_available() and distributed.is_initialized():
            together = torch.cat([sums_KL, found_K[:, None]], 1)
            distributed.all_reduce(together)
            sums_KL, found_K = together[:, :-1], together[:, -1]
        centres_KL, counts_K = moved_centres(self.centres, self.counts, sums_KL, found_K)
        self.centres.copy_(centres_KL)
        self.counts.copy_(counts_K)


def moved_centres(centres_KL: Tensor, counts_K: Tensor, sums_KL: Tensor, found_K: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and counts after a batch: m <- m - (m - z) / c with c counted up first, for every spectrum.

    One after the other, these steps leave m the mean of all that it has met: c m + sum z over c + n.

    Args:
        centres_KL: centres before.
        counts_K: spectra they have met before.
        sums_KL: sum of the batch's latent points of each cluster.
        found_K: their number.

    >>> moved_centres(torch.tensor([[0.0]]), torch.tensor([1.0]), torch.tensor([[3.0]]), torch.tensor([2.0]))
    (tensor([[1.]]), tensor([3.]))
    """
    counted_K = counts_K + found_K
    return centres_KL + (sums_KL - found_K[:, None] * centres_KL) / counted_K[:, None], counted_K
