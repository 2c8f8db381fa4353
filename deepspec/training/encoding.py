"""Latents of a sample of spectra, in the middle of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.models import SpectralModel

BLOCK = 1024
"""Spectra that are encoded at a time."""


@torch.no_grad()
def encode_sample(model: SpectralModel, spectra_NC: Tensor) -> Tensor:
    """Latents (N, L) of raw spectra, on the CPU, in evaluation mode; the model's mode is as it was afterwards."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    z_NL = torch.cat([model.encode(part.to(device)).cpu() for part in torch.split(spectra_NC, BLOCK)])
    model.train(training)
    return z_NL
