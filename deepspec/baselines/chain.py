"""Which preprocessing suits a cube, where the user says nothing.

Shapes: S spectra of the sample, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from deepspec.clustering.countable import are_counts

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.data.axis import SpectralAxis


class Chain(NamedTuple):
    """Preprocessing steps and why they were taken."""

    steps: list[str | dict[str, Any]]
    """As `Preprocess` takes them."""
    reason: str
    """What they suit."""


def suitable_chain(x_SC: Tensor, axis: SpectralAxis, *, non_negative: bool) -> Chain:
    """The recommended preprocessing: `experiments/xrf.yaml` for counts, each channel to 0..1 for anything else.

    Args:
        x_SC: a sample of raw spectra.
        axis: their axis.
        non_negative: whether the result must have no negative values, so that nothing may be centred.
    """
    if not are_counts(x_SC, axis.unit):
        whole = axis.unit == "channel" and bool(((x_SC >= 0) & (x_SC == x_SC.round())).all())
        doubt = (
            "; without an energy axis whole numbers are taken for counts only where 1 % of them are 0, and --axis "
            "FIRST:LAST:keV makes counts of them"
        )
        return Chain(["minmax"], "for intensities that are no counts" + (doubt if whole else ""))
    if non_negative:
        return Chain(["sqrt"], "for counts")
    return Chain(["sqrt", {"step": "standard", "scale": "global"}], "for counts")
