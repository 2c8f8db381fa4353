"""What every step of a `Preprocess` chain offers to it.

N spectra, C channels, M spectra in pairs of neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from deepspec.axis import SpectralAxis

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

    by_channel: ClassVar[bool] = False
    """Whether `inverse` needs the very channels that the step gave: it has numbers for each of them."""

    mixes: ClassVar[bool] = False
    """Whether each outgoing channel is made of all incoming ones: it has a number then, and no position."""

    needs_neighbours: bool = False
    """Whether `fit` needs pairs of neighbouring pixels."""

    note: str = ""
    """What the user should know about the fit, in a sentence."""

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

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """Set the statistics from a training sample.

        Args:
            x_NC: float32 (N, C), finite.
            neighbours_MC: spectra of neighbouring pixels, as the steps before leave them: rows 2i and 2i + 1 are
                neighbours. Given where `needs_neighbours`.
        """

    def inverse(self, y_NC: Tensor) -> Tensor:
        """Undo the step as far as `undo` says, in a new tensor or the same."""
        return y_NC

    def axis(self, values_C: NDArray[np.float64]) -> NDArray[np.float64]:
        """Axis values (energies, wavelengths) of the outgoing channels from those of the incoming ones."""
        return values_C

    def decoded_axis(self, axis: SpectralAxis) -> SpectralAxis:
        """Axis of what `inverse` gives, from that of the incoming channels."""
        return axis if self.mixes else SpectralAxis(self.axis(axis.values), axis.unit)

    def decoded_channels(self, channels: int) -> int:
        """Number of channels that `inverse` makes of so many."""
        return self.channels_in if self.mixes else channels

    @property
    def inverse_gives(self) -> str:
        """What `inverse` makes of something that has its scale; see `Preprocess.invertible_to`."""
        return "relative intensity" if self.undo == "scale is lost" else "counts"
