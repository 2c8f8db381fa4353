"""Latents that have left the numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from deepspec.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


def refuse_diverged(z_NL: Tensor) -> None:
    """Refuse latents that are not all finite.

    Raises:
        UserError: saying what to lower.
    """
    # One sum tells nearly always; it may overflow where every number is finite.
    if not math.isfinite(z_NL.detach().sum()) and not torch.isfinite(z_NL).all():
        raise UserError("the latents are no longer finite: training has diverged; lower model.optimiser.lr")
