"""Several chains of steps side by side: what one scaling hides another shows.

N spectra, C channels, V views, D channels of all views together, M spectra in pairs of neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from deepspec.errors import UserError
from deepspec.preprocess.projections import covariance_trace, mean_of
from deepspec.preprocess.step import Step, Undo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from deepspec.axis import SpectralAxis
    from deepspec.preprocess.chain import Preprocess


class Views(Step):
    """Every chain applied to the same spectra, each divided by one deviation of its own, and joined.

    That deviation is the root mean square, over all channels of the view and the training sample, of the distance from
    the channels' means; so every view varies equally much per channel. Nothing is centred: `standard` in a chain does
    that, and `pca` and `mnf` are centred as they are.

    Spectra come back from the first view alone, as far as its chain is undone.

    Args:
        channels: number of channels C.
        chains: V lists of steps, as `Preprocess` takes them.
    """

    needs_fit: ClassVar[bool] = True
    undo: ClassVar[Undo] = "exact"
    by_channel: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    scale_V: Tensor

    def __init__(self, channels: int, chains: Sequence[Sequence[str | dict[str, Any]]]) -> None:
        super().__init__(channels)
        # Only here: a chain builds its steps, of which this is one.
        from deepspec.preprocess.chain import Preprocess

        if not isinstance(chains, (list, tuple)) or not all(isinstance(chain, (list, tuple)) for chain in chains):
            raise UserError(
                "views: chains is a list of lists of steps, such as [[minmax, pca], [unit, pca]]; "
                f"got {chains!r}: put each chain in brackets"
            )
        if len(chains) == 0:
            raise UserError("views: expected at least one chain of steps; got none")
        self.chains = nn.ModuleList(Preprocess(channels, list(chain)) for chain in chains)
        self.widths = [chain.channels_out for chain in self._chains]
        self.channels_out = sum(self.widths)
        self.needs_neighbours = any(chain.needs_neighbours for chain in self._chains)
        self.register_buffer("scale_V", torch.ones(len(chains)))

    @property
    def _chains(self) -> list[Preprocess]:
        return list(self.chains)  # type: ignore[arg-type]

    def forward(self, x_NC: Tensor, own: bool) -> Tensor:
        """(N, D): the views in their order."""
        return torch.cat([chain(x_NC) / scale for chain, scale in zip(self._chains, self.scale_V, strict=True)], 1)

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """Fit each chain, then measure its deviation; a view that is constant is not scaled."""
        notes = []
        for number, chain in enumerate(self._chains):
            chain.fit(x_NC, neighbours_MC if chain.needs_neighbours else None)
            y_ND = chain(x_NC)
            variance = covariance_trace(y_ND, mean_of(y_ND)) / chain.channels_out
            self.scale_V[number] = variance**0.5 if variance > 0 else 1.0
            notes += [f"view {number + 1}: {note}" for note in chain.notes]
        self.note = "; ".join(notes)

    def inverse(self, y_NC: Tensor) -> Tensor:
        """Spectra from the first view."""
        return self._chains[0].inverse(y_NC[:, : self.widths[0]] * self.scale_V[0])

    def decoded_axis(self, axis: SpectralAxis) -> SpectralAxis:
        """That of the first chain."""
        return self._chains[0].decoded_axis(axis)

    def decoded_channels(self, channels: int) -> int:
        """Those of the first chain."""
        return self._chains[0].channels_decoded

    @property
    def inverse_gives(self) -> str:
        """That of the first chain."""
        return self._chains[0].invertible_to
