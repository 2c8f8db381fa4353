"""What every step of a `Preprocess` chain offers to it.

N spectra, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Undo = Literal["exact", "proportional", "nothing to undo", "scale is lost", "not possible"]


class Step(nn.Module):
    """One transformation of spectra. The defaults are those of a step that keeps the channels and learns nothing.

    Args:
        channels: number of channels C of the spectra that come in.
    """

    needs_fit: ClassVar[bool] = False
    """Whether the step has statistics, kept in buffers, that `fit` must set before use."""

    undo: ClassVar[Undo] = "nothing to undo"
    """What `inverse` can do. `exact`: undo the step; `proportional`: undo it, and spectra whose scale was lost by
    a later step come out proportional to what they were; `nothing to undo`: the quantity is the same before and
    after; `scale is lost`: the quantity is the same but for one unknown factor per spectrum; `not possible`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels_in = channels
        self.channels_out = channels

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """Transform float32 spectra (N, C).

        Args:
            x_NC: the spectra.
            own: whether `x_NC` may be overwritten; False where it is the caller's or autograd needs it.
        """
        raise NotImplementedError

    def fit(self, x_NC: Tensor) -> None:
        """Set the statistics from a training sample, float32 (N, C), finite."""

    def inverse(self, y_NC: Tensor) -> Tensor:
        """Undo the step as far as `undo` says, in a new tensor or the same."""
        return y_NC

    def axis(self, values_C: NDArray[np.float64]) -> NDArray[np.float64]:
        """Axis values (energies, wavelengths) of the outgoing channels from those of the incoming ones."""
        return values_C
