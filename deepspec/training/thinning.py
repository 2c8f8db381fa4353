"""Spectra as a shorter measurement would have given them.

Shapes: N spectra, C channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from deepspec.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


def check_shares(shares: list[float] | None) -> tuple[float, float] | None:
    """Least and greatest share of the counts that is kept, as given; None where none are left out."""
    if shares is None:
        return None
    if len(shares) != 2 or not all(math.isfinite(share) for share in shares) or not 0 < shares[0] <= shares[1] <= 1:
        raise UserError(
            f"model.thinning: expected the least and the greatest share of the counts that are kept, above 0 and up to "
            f"1, such as [0.25, 1.0]; got {shares}"
        )
    return shares[0], shares[1]


def refuse_no_counts(x_NC: Tensor) -> None:
    """Refuse spectra that are no numbers of counts: those cannot be kept or dropped one by one.

    Args:
        x_NC: a training sample, as stored.

    Raises:
        UserError: with the first value that is none.
    """
    if not x_NC.is_floating_point():
        return  # shards hold unsigned integers, or floating point
    wrong = x_NC[(x_NC < 0) | (x_NC != x_NC.round())]
    if len(wrong):
        raise UserError(
            f"model.thinning: expected counts, whole numbers of 0 or more; the training spectra hold {wrong[0]:g}: "
            "leave thinning out, or ingest the counts as measured"
        )


def thinned(x_NC: Tensor, least: float, greatest: float) -> Tensor:
    """Each count kept or dropped on its own (binomial thinning), with a probability drawn for each spectrum.

    Poisson counts of mean m remain Poisson counts, of mean p m: it is what a measurement of the time p would have
    given. Drawn from torch's default generator of the device.

    Args:
        x_NC: counts (N, C) of any real dtype; left as they are.
        least: of the probability, above 0.
        greatest: of the probability, up to 1; it is uniform between both.

    Returns:
        float32 (N, C), whole numbers from 0 to those given.
    """
    counts_NC = x_NC.to(torch.float32)
    share_N1 = torch.empty(len(x_NC), 1, device=x_NC.device).uniform_(least, greatest)
    return torch.binomial(counts_NC, share_N1.expand_as(counts_NC).contiguous())
