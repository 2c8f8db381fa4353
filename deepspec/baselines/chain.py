"""Which preprocessing suits a cube, where the user says nothing.

Shapes: S spectra of the sample, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.data.axis import SpectralAxis

EMPTY = 0.01
"""Counting spectra have channels without a count: at least this share of the values is 0."""


class Chain(NamedTuple):
    """Preprocessing steps and why they were taken."""

    steps: list[str | dict[str, Any]]
    """As `Preprocess` takes them."""
    reason: str
    """What they suit."""


def suitable_chain(x_SC: Tensor, axis: SpectralAxis, *, non_negative: bool) -> Chain:
    """The recommended preprocessing: `experiments/xrf.yaml` for counts, each channel to 0..1 for anything else.

    Counts are non-negative values over energies, or over bare channel numbers if they are whole and 1 % of them are 0.

    Args:
        x_SC: a sample of raw spectra.
        axis: their axis.
        non_negative: whether the result must have no negative values, so that nothing may be centred.
    """
    counts = bool((x_SC >= 0).all()) and (
        axis.unit == "keV"
        or (axis.unit == "channel" and float((x_SC == 0).float().mean()) >= EMPTY and _are_whole(x_SC))
    )
    if not counts:
        return Chain(["minmax"], "for intensities that are no counts")
    if non_negative:
        return Chain(["sqrt"], "for counts")
    return Chain(["sqrt", {"step": "standard", "scale": "global"}], "for counts")


def _are_whole(x_SC: Tensor) -> bool:
    """Whether all values are whole numbers."""
    return bool((x_SC == x_SC.round()).all())
