"""VaDE: Jiang, Zheng, Tan, Tang & Zhou 2017, Variational Deep Embedding, IJCAI, arXiv 1611.05148.

Shapes: N spectra of a batch, D preprocessed channels, L latent dimensions, K components.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deepspec.models.autoencoder import LOG_VARIANCE_RANGE, VariationalAutoencoder
from deepspec.training.deep_baselines.method import DeepBaseline

if TYPE_CHECKING:
    from deepspec.models import Autoencoder, Latent
    from deepspec.training.deep_baselines.config import DeepBaselineConfig

RESTARTS = 5


class VaDE(DeepBaseline):
    """A variational autoencoder whose prior is a mixture of Gaussians that is learned with it.

    With a Gaussian decoder of variance s (`config.weight`) in every channel, minus the evidence lower bound times
    2 s / D is, but for a constant, the mean squared error + 2 s / D * `loss`: that is minimised, so that the
    reconstruction is in the same units as everywhere. Departures beside those of `DeepBaseline`: the decoder's variance
    is given and not computed by a second output layer; mixture weights are learned as logits; the encoder's
    log-variances, which the first stage does not train, begin as those of the components. (As initialised they are
    near 0, and a noise of 1 in pretrained latents that spread over less wiped out what the first stage had learned.)

    On several ranks the mixture is parameters like the network's. The loss is a mean over spectra, so the gradient is
    that of the joint batch.

    Attributes:
        logits: parameter, float32 (K,): mixture weights before the softmax.
        means: parameter, float32 (K, L).
        log_variances: parameter, float32 (K, L); held within -14..6 where it is used.
    """

    def __init__(self, config: DeepBaselineConfig, latent: int) -> None:
        super().__init__(config, latent)
        self.logits = nn.Parameter(torch.zeros(config.clusters))
        self.means = nn.Parameter(torch.zeros(config.clusters, latent))
        self.log_variances = nn.Parameter(torch.zeros(config.clusters, latent))

    @torch.no_grad()
    def begin(self, z_NL: Tensor, seed: int) -> None:
        """A mixture of Gaussians with diagonal covariances by EM, the best of 5 restarts."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        mixture = GaussianMixture(self.config.clusters, covariance_type="diag", n_init=RESTARTS, random_state=seed)
        with warnings.catch_warnings():
            # Training goes on where EM stops, and on latents that coincide there are fewer clusters than asked for.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(z_NL.double().numpy())
        weights_K = torch.from_numpy(mixture.weights_).clamp(min=1e-6)
        self.logits.copy_(weights_K.log())
        self.means.copy_(torch.from_numpy(mixture.means_))
        self.log_variances.copy_(torch.from_numpy(mixture.covariances_).log().clamp(*LOG_VARIANCE_RANGE))

    @torch.no_grad()
    def adapt(self, network: Autoencoder) -> None:
        """Every spectrum's log-variances begin as the components' on the average, by their weights."""
        assert isinstance(network, VariationalAutoencoder)  # build_deep_baseline has seen to it
        network.log_variance.weight.zero_()
        network.log_variance.bias.copy_(torch.softmax(self.logits, 0) @ self.log_variances)

    def scale(self, channels: int) -> float:
        """2 s / D."""
        return 2 * self.config.weight / channels

    def loss(self, x_ND: Tensor, latent: Latent, z_NL: Tensor) -> Tensor:
        """KL(q(z, c | x) || p(z, c)), in nats, with q(c | x) from the drawn z."""
        assert latent.log_variance_NL is not None  # build_deep_baseline has seen to it
        log_weights_K = torch.log_softmax(self.logits, 0)
        log_variances_KL = self.log_variances.clamp(*LOG_VARIANCE_RANGE)
        log_shares_NK = responsibilities(z_NL.float(), log_weights_K, self.means, log_variances_KL)
        return mixture_divergence(
            latent.mean_NL.float(),
            latent.log_variance_NL.float(),
            log_shares_NK,
            log_weights_K,
            self.means,
            log_variances_KL,
        ).mean()


def responsibilities(z_NL: Tensor, log_weights_K: Tensor, means_KL: Tensor, log_variances_KL: Tensor) -> Tensor:
    """Logarithm of p(c | z): what each component has a share of in a latent point.

    Returns:
        (N, K); each row's exponentials sum to 1.
    """
    squared_NKL = (z_NL[:, None] - means_KL).square() * torch.exp(-log_variances_KL)
    log_density_NK = -0.5 * (math.log(2 * math.pi) + log_variances_KL + squared_NKL).sum(2)
    return torch.log_softmax(log_weights_K + log_density_NK, 1)


def mixture_divergence(
    mean_NL: Tensor,
    log_variance_NL: Tensor,
    log_shares_NK: Tensor,
    log_weights_K: Tensor,
    means_KL: Tensor,
    log_variances_KL: Tensor,
) -> Tensor:
    """KL(q(z | x) q(c | x) || p(z | c) p(c)) of each spectrum, in nats: the ELBO without its first term, negated.

    Args:
        mean_NL: means of q(z | x).
        log_variance_NL: logarithms of its variances.
        log_shares_NK: logarithms of q(c | x).
        log_weights_K: logarithms of the mixture's weights p(c).
        means_KL: means of p(z | c).
        log_variances_KL: logarithms of its variances.

    Returns:
        (N,), at least 0.
    """
    spread_NKL = log_variance_NL.exp()[:, None] + (mean_NL[:, None] - means_KL).square()
    crossed_NK = (log_variances_KL + spread_NKL * torch.exp(-log_variances_KL)).sum(2) / 2
    entropy_N = (1 + log_variance_NL).sum(1) / 2
    return (log_shares_NK.exp() * (crossed_NK + log_shares_NK - log_weights_K)).sum(1) - entropy_N
