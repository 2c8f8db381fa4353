"""The chain of preprocessing steps that a checkpoint carries, so that fit and segment see the same spectra.

N spectra, C channels in, D channels out, E channels after `inverse`, M spectra in pairs of neighbours.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.preprocess.steps import build_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from deepspec.preprocess.step import Step


class _Undoing(NamedTuple):
    """How far `inverse` goes."""

    steps: list[Step]
    """Those that are undone, from the last on."""
    quantity: str
    """What comes out."""
    channels: int
    """How many of them, E."""


class Preprocess(nn.Module):
    """Raw spectra to what the network sees, and back as far as that is possible.

    >>> preprocess = Preprocess(4, [{"step": "rebin", "bins": 2}, "sqrt"])
    >>> preprocess(torch.tensor([[1, 3, 4, 5]]))
    tensor([[2., 3.]])
    >>> preprocess.inverse(torch.tensor([[2.0, 3.0]]))
    tensor([[4., 9.]])
    >>> preprocess.axis([1.0, 2.0, 3.0, 4.0])
    array([1.5, 3.5])

    Args:
        channels: number of channels C of a raw spectrum.
        steps: in the order to apply them, each a name or a mapping with the key `step` (see `deepspec.preprocess`).

    Attributes:
        spec: the steps as plain values, from which an equal chain can be built.
        channels_in: C.
        channels_out: D, other than C after a `rebin`, `pca`, `mnf` or `views`.
        needs_fit: whether a step has statistics that `fit` sets.
        needs_neighbours: whether `fit` needs neighbouring pixels.
        fitted: buffer, bool (): whether the statistics are set; always true for a chain that has none. It and the
            statistics are in the state dict.

    Raises:
        UserError: a step or parameter is unknown or impossible; the message names the nearest valid one.
    """

    fitted: Tensor

    def __init__(self, channels: int, steps: Sequence[str | dict[str, Any]] = ()) -> None:
        super().__init__()
        if channels < 1:
            raise UserError(f"preprocessing needs at least 1 channel; got {channels}")
        if isinstance(steps, (str, dict)):
            raise UserError(f"preprocessing steps are a list; got {steps!r}: put it in brackets")
        self.spec: list[str | dict[str, Any]] = copy.deepcopy(list(steps))
        self.channels_in = channels
        self.channels_out = channels
        self.steps = nn.ModuleList()
        for item in self.spec:
            step = build_step(item, self.channels_out)
            self.steps.append(step)
            self.channels_out = step.channels_out
        self.needs_fit = any(step.needs_fit for step in self._steps())
        self.needs_neighbours = any(step.needs_neighbours for step in self._steps())
        self.register_buffer("fitted", torch.tensor(not self.needs_fit))
        # Reading the buffer makes an accelerator wait, so it is read once, not in every training step.
        self._known_to_be_fitted = not self.needs_fit
        self.register_load_state_dict_post_hook(_forget_whether_fitted)  # type: ignore[no-untyped-call]

    def _steps(self) -> Iterator[Step]:
        return (cast("Step", step) for step in self.steps)

    def forward(self, x_NC: Tensor) -> Tensor:
        """Apply all steps.

        Args:
            x_NC: raw spectra (N, C) of any real dtype, unsigned ones included; never changed.

        Returns:
            float32 (N, D). A spectrum with a NaN has NaN in its result; spectra do not affect each other.

        Raises:
            RuntimeError: a step has statistics and `fit` was not called.
            ValueError: `x_NC` is not (N, C).
        """
        self._check_fitted()
        return self._apply_steps(_as_float(x_NC, self.channels_in), x_NC)

    def fit(self, x_NC: Tensor, neighbours_MC: Tensor | None = None) -> None:
        """Set the statistics of all steps, in order, each on the spectra as the steps before it leave them.

        It also tells, for chains without statistics too, whether the steps suit the data.

        Args:
            x_NC: a training sample (N, C) of any real dtype. Spectra with a NaN or an infinity are left out.
            neighbours_MC: raw spectra of neighbouring pixels, (M, C), finite: rows 2i and 2i + 1 are neighbours. Asked
                for where `needs_neighbours` (a step is `mnf`), else not looked at.

        Raises:
            UserError: no finite spectrum is left, a step turns finite values into NaN (`sqrt` of negative ones), or
                neighbours are needed and there are none.
            ValueError: `x_NC` is not (N, C).
        """
        if not self.needs_neighbours:
            neighbours_MC = None
        with torch.no_grad():
            y_NC = _as_float(x_NC, self.channels_in)
            y_NC = y_NC[y_NC.isfinite().all(1)]  # a copy, so the steps may overwrite it
            if len(y_NC) == 0:
                raise UserError(f"preprocessing needs finite spectra to fit on; got {len(x_NC)} spectra, none finite")
            z_MC = None if neighbours_MC is None else _as_float(neighbours_MC, self.channels_in)
            for item, step in zip(self.spec, self._steps(), strict=True):
                low = y_NC.min().item()
                step.fit(y_NC, z_MC)
                y_NC = step(y_NC, own=True)
                z_MC = None if z_MC is None else step(z_MC, own=z_MC is not neighbours_MC)
                if not (y_NC.isfinite().all() and (z_MC is None or z_MC.isfinite().all())):
                    raise UserError(
                        f"the preprocessing step {item} gives NaN or infinity on values down to {low:.6g}; "
                        "put clip before it"
                    )
            self.fitted.fill_(True)
        self._known_to_be_fitted = True

    def inverse(self, y_ND: Tensor) -> Tensor:
        """Undo the steps from the last to the first, as far as they can be; `invertible_to` names what comes out.

        Element-wise steps (sqrt, log1p, anscombe, standard, minmax) are undone. Rebin, smooth, clip and the
        per-spectrum normalisations stay as they are: nobody knows what they took away. Where spectra have lost their
        scale, a step before that is undone only if the result is still proportional to the intensity: this holds for
        `sqrt`. At `log1p`, for one, undoing ends.

        Components (`pca`, `mnf`) are undone too, to the channels before them, and of `views` the first.

        Args:
            y_ND: preprocessed spectra (N, D), such as a decoder's.

        Returns:
            float32 (N, E), in a new tensor or `y_ND` itself; `decoded_axis` says where these channels are.

        Raises:
            RuntimeError: a step has statistics and `fit` was not called.
            ValueError: `y_ND` is not (N, D).
        """
        self._check_fitted()
        y_ND = _as_float(y_ND, self.channels_out)
        for step in self._undoing().steps:
            y_ND = step.inverse(y_ND)
        return y_ND

    @property
    def invertible_to(self) -> str:
        """The quantity that `inverse` gives.

        `counts` (whatever the raw spectra are in, per outgoing channel), `relative intensity` (the same but for a
        factor per spectrum), or `relative intensity after STEP`, where STEP is the last step not undone.

        >>> Preprocess(4, ["sqrt", "max"]).invertible_to, Preprocess(4, ["log1p", "max"]).invertible_to
        ('relative intensity', 'relative intensity after log1p')
        """
        return self._undoing().quantity

    @property
    def channels_decoded(self) -> int:
        """E, the number of channels that `inverse` gives."""
        return self._undoing().channels

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the last `fit`, in sentences."""
        return tuple(step.note for step in self._steps() if step.note)

    def _undoing(self) -> _Undoing:
        undone: list[Step] = []
        quantity, channels = "counts", self.channels_out
        for item, step in zip(reversed(self.spec), reversed(list(self._steps())), strict=True):
            scaled = step.undo == "exact" and quantity != "counts"
            other = step.by_channel and channels != step.channels_out  # after a rebin that stays
            if step.undo == "not possible" or scaled or other:
                name = item if isinstance(item, str) else item["step"]
                return _Undoing(undone, f"relative intensity after {name}", channels)
            undone.append(step)
            channels = step.decoded_channels(channels)
            if step.inverse_gives != "counts":
                quantity = step.inverse_gives
            if quantity not in ("counts", "relative intensity"):
                break
        return _Undoing(undone, quantity, channels)

    def axis(self, values_C: ArrayLike) -> NDArray[np.float64]:
        """Axis values of the outgoing channels: in each bin, the mean of its channels' centres.

        Components have no position: they are numbered from 0. `decoded_axis` is for what `inverse` gives.

        Args:
            values_C: energies, wavelengths or numbers of the raw channels, (C,).

        Returns:
            float64 (D,), in the same unit.

        Raises:
            ValueError: there are not C values.
        """
        values = np.array(values_C, dtype=np.float64)
        if values.shape != (self.channels_in,):
            raise ValueError(f"expected {self.channels_in} axis values, one per channel; got shape {values.shape}")
        for step in self._steps():
            values = np.arange(step.channels_out, dtype=np.float64) if step.mixes else step.axis(values)
        return values

    def decoded_axis(self, axis: SpectralAxis) -> SpectralAxis:
        """Axis of the spectra that `inverse` gives.

        Args:
            axis: of the C raw channels.

        Returns:
            Of E channels: that of the channels before components which are undone, and numbers where they are not.

        Raises:
            ValueError: the axis has other than C channels.
        """
        if axis.channels != self.channels_in:
            raise ValueError(f"expected an axis of {self.channels_in} channels; got {axis.channels}")
        undone = self._undoing().steps
        for step in self._steps():
            if step in undone:
                axis = step.decoded_axis(axis)
            elif step.mixes:
                axis = SpectralAxis.linear(0, 1, step.channels_out, "channel")
            else:
                axis = SpectralAxis(step.axis(axis.values), axis.unit)
        return axis

    def _apply_steps(self, y_NC: Tensor, given: Tensor) -> Tensor:
        keep = torch.is_grad_enabled() and y_NC.requires_grad
        for step in self._steps():
            y_NC = step(y_NC, own=not keep and y_NC is not given)
        return y_NC

    def _check_fitted(self) -> None:
        if not self._known_to_be_fitted:
            if not self.fitted:
                raise RuntimeError(
                    "this Preprocess has statistics that are not set: call fit(x) with a training sample, or load a "
                    "state dict that has them"
                )
            self._known_to_be_fitted = True


def _as_float(x_NC: Tensor, channels: int) -> Tensor:
    if x_NC.ndim != 2 or x_NC.shape[1] != channels:
        raise ValueError(f"expected spectra of shape (N, {channels}); got {tuple(x_NC.shape)}")
    return x_NC.to(torch.float32)


def _forget_whether_fitted(module: nn.Module, _: object) -> None:
    cast("Preprocess", module)._known_to_be_fitted = False
