"""The variational autoencoder (Bombini et al. 2024, section 2.4): each spectrum is a Gaussian in the latent space.

N spectra, C channels, L latent dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from deepspec.models.autoencoder import Autoencoder, Latent
from deepspec.models.layers import linear_layer

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.models.config import NetworkConfig

# Standard deviations of 0.0009 to 20, where the prior has 1: nothing that a spectrum could need lies beyond, and
# neither end overflows when exponentiated, in half precision either.
LOG_VARIANCE_RANGE = (-14.0, 6.0)


class VariationalAutoencoder(Autoencoder):
    """An autoencoder whose encoder also gives a log-variance, from a second linear layer on the same hidden vector.

    Args:
        channels: number of channels C of a spectrum, after preprocessing.
        config: widths and layers.
    """

    def __init__(self, channels: int, config: NetworkConfig) -> None:
        super().__init__(channels, config)
        self.log_variance = linear_layer(self.mean.in_features, config.latent, "linear")

    def encode(self, x_NC: Tensor) -> Latent:
        """Mean and log-variance, both (N, L), of preprocessed spectra `x_NC`; the log-variance is within -14..6."""
        hidden = self.encoder(x_NC)
        return Latent(self.mean(hidden), self.log_variance(hidden).clamp(*LOG_VARIANCE_RANGE))

    def reparameterise(self, latent: Latent, generator: torch.Generator | None = None) -> Tensor:
        """One point (N, L) from each spectrum's Gaussian: z = mean + sigma * eps, eps ~ N(0, 1).

        It samples in evaluation mode too: where no noise is wanted, use `latent.mean_NL`.

        Args:
            latent: what `encode` returned.
            generator: source of the noise, on any device; torch's default of the latent's device if None.

        Raises:
            ValueError: the latent has no log-variance, so it comes from a plain autoencoder.
        """
        if latent.log_variance_NL is None:
            raise ValueError("reparameterise needs a log-variance; this latent comes from a plain autoencoder")
        noise = _normal(latent.mean_NL.shape, latent.mean_NL, generator)
        return latent.mean_NL + torch.exp(0.5 * latent.log_variance_NL) * noise

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Generate `n` spectra (n, C), preprocessed scale, from the prior N(0, 1) of the latent space.

        Dropout acts as in `decode`: call `eval()` first on a network that has it.

        Args:
            n: how many, at least 1.
            generator: source of the noise, on any device; torch's default of the network's device if None.

        Raises:
            ValueError: `n` is below 1.
        """
        if n < 1:
            raise ValueError(f"sample needs n >= 1; got {n}")
        return self.decode(_normal((n, self.latent), self.mean.weight, generator))


def _normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    # A generator draws on its own device only; drawing there and moving gives the same numbers on every machine.
    device = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device, dtype=like.dtype).to(like.device)
