"""Are spectra counts? Clusters can then be judged by the likelihood of their composition.

Shapes: N spectra, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EMPTY = 0.01
"""Counting spectra have channels without a count: at least this share of the values is 0."""


def are_counts(x_NC: Tensor, unit: str) -> bool:
    """Whether a sample of spectra looks like counts.

    Counts are non-negative values over energies, or over bare channel numbers if they are whole and 1 % of them are 0.

    Args:
        x_NC: raw spectra.
        unit: of their axis, `keV` or `channel` among others.
    """
    if not bool((x_NC >= 0).all()):
        return False
    if unit == "keV":
        return True
    return unit == "channel" and float((x_NC == 0).float().mean()) >= EMPTY and bool((x_NC == x_NC.round()).all())
