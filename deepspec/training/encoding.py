"""Latents of a sample of spectra in the middle of training, and whether they are still finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from deepspec.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.models import SpectralModel


def refuse_diverged(z_NL: Tensor) -> None:
    """Refuse latents that are not all finite.

    Raises:
        UserError: saying what to lower.
    """
    # One sum tells nearly always; it may overflow where every number is finite.
    if not math.isfinite(z_NL.detach().sum()) and not torch.isfinite(z_NL).all():
        raise UserError("the latents are no longer finite: training has diverged; lower model.optimizer.lr")


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
