"""IDEC: Guo, Gao, Liu & Yin 2017, Improved Deep Embedded Clustering with Local Structure Preservation, IJCAI.

Its clustering loss is that of DEC (Xie, Girshick & Farhadi 2016, arXiv 1511.06335), whose equation numbers are given.

Shapes: N spectra of a batch, M of the sample, D preprocessed channels, L latent dimensions, K clusters.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepspec.functional import kmeans
from deepspec.training.deep_baselines.method import DeepBaseline

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepspec.models import Autoencoder, Latent
    from deepspec.training.deep_baselines.config import DeepBaselineConfig

RESTARTS = 20


class IDEC(DeepBaseline):
    """Reconstruction + gamma * KL(P || Q): soft assignments Q are pulled to their own sharpened form P.

    P stands still for an epoch. The papers compute it for the whole training split every T steps and keep it; here a
    copy of the encoder and of the centres, taken when the epoch starts, computes the same values for each batch, also
    of validation. Departures beside those of `DeepBaseline`: T is an epoch; the cluster frequencies f in P are those
    of a sample of at most `config.sample` training spectra, the same on every rank.

    The target distribution of two epochs differs, and so do their targets: a learning rate that falls on a plateau, and
    `keep: best`, have no meaning here. The experiment that ships leaves both out, as the paper does.

    On several ranks the centres are parameters like the network's. The loss is a mean over spectra, so the gradient is
    that of the joint batch.

    Attributes:
        centres: parameter, float32 (K, L).
        frequencies: buffer, float32 (K,): share of each cluster in the soft assignments when the epoch started.
    """

    frequencies: Tensor

    def __init__(self, config: DeepBaselineConfig, latent: int) -> None:
        super().__init__(config, latent)
        self.centres = nn.Parameter(torch.zeros(config.clusters, latent))
        self.register_buffer("frequencies", torch.ones(config.clusters) / config.clusters)
        # In a tuple, so that it is no part of the state: every epoch, resumed or not, starts by making it anew.
        self._as_epoch_started: tuple[Autoencoder, Tensor] | None = None

    @torch.no_grad()
    def begin(self, z_NL: Tensor, seed: int) -> None:
        """K-means, the best of 20 restarts."""
        generator = torch.Generator().manual_seed(seed)
        self.centres.copy_(kmeans(z_NL, self.config.clusters, n_init=RESTARTS, generator=generator).cluster_centers)

    @torch.no_grad()
    def refresh(self, network: Autoencoder, latents: Callable[[], Tensor]) -> None:
        """Set what P is computed from."""
        z_ML = latents().to(self.centres.device)
        self.frequencies.copy_(soft_assignment(z_ML, self.centres).exp().mean(0))
        kept = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._as_epoch_started = kept, self.centres.detach().clone()

    def loss(self, x_ND: Tensor, latent: Latent, z_NL: Tensor) -> Tensor:
        """KL(P || Q), equation 2, as a mean over spectra.

        In a model that has just been loaded, and in which no epoch has started, P comes from Q itself.
        """
        log_q_NK = soft_assignment(latent.mean_NL.float(), self.centres)
        with torch.no_grad():
            if self._as_epoch_started is None:
                earlier_NK = log_q_NK.detach()
            else:
                network, centres_KL = self._as_epoch_started
                earlier_NK = soft_assignment(network.encode(x_ND).mean_NL.float(), centres_KL)
            log_p_NK = target_distribution(earlier_NK, self.frequencies)
        return (log_p_NK.exp() * (log_p_NK - log_q_NK)).sum(1).mean()


def soft_assignment(z_NL: Tensor, centres_KL: Tensor) -> Tensor:
    """Logarithm of q_ij, equation 1: Student's t with one degree of freedom around each centre, normalised.

    Returns:
        (N, K); each row's exponentials sum to 1.

    >>> soft_assignment(torch.tensor([[0.0]]), torch.tensor([[0.0], [1.0]])).exp()
    tensor([[0.6667, 0.3333]])
    """
    squared_NK = (z_NL[:, None] - centres_KL).square().sum(2)
    return torch.log_softmax(-torch.log1p(squared_NK), 1)


def target_distribution(log_q_NK: Tensor, frequencies_K: Tensor) -> Tensor:
    """Logarithm of p_ij, equation 3: q_ij^2 / f_j, normalised over the clusters.

    Args:
        log_q_NK: as `soft_assignment` gives them.
        frequencies_K: f_j, the sum of q_ij over spectra, or anything proportional to it.
    """
    return torch.log_softmax(2 * log_q_NK - frequencies_K.log(), 1)
