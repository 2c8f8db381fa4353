"""Bring the spectra of a cube onto the channels that a model was trained on, or say why that cannot be.

Shapes: N spectra, C channels of the cube, D channels of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.data.rebin import rebin
from deepspec.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.axis import SpectralAxis
    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation.model import SegmentationModel


COVERED = 0.75
"""The least share of a ready model's channels that a cube must cover. The rest is zero, as it never was in training."""


@dataclass(frozen=True)
class Alignment:
    """How the channels of a cube become those of a model.

    Attributes:
        axis: of the cube's own spectra.
        decoded_axis: of the decoder's spectra.
        notes: what the user should know about it, in sentences.
        covered: the channels of the model that the cube is rebinned to, the others being zero; None: as they are.
        target: axis of the model's channels.
        counts: whether rebinning keeps counts, or mean values.
    """

    axis: SpectralAxis
    decoded_axis: SpectralAxis
    notes: tuple[str, ...]
    covered: slice | None
    target: SpectralAxis
    counts: bool

    def to_model(self, x_NC: Tensor) -> Tensor:
        """Spectra (N, D) on the model's channels; the same tensor where there is nothing to do."""
        if self.covered is None:
            return x_NC
        x_ND = torch.zeros(len(x_NC), self.target.channels)
        part = self.target.slice(self.covered.start, self.covered.stop)
        x_ND[:, self.covered] = torch.from_numpy(
            np.ascontiguousarray(rebin(x_NC.cpu().numpy(), self.axis, part, counts=self.counts))
        )
        return x_ND.to(x_NC.device)


def align(cube: SpectralCube, model: SegmentationModel, *, allow_rebin: bool) -> Alignment:
    """Compare the axes of cube and model.

    A cube or model without calibration (unit `channel`) is compared by the number of channels alone. A ready model
    takes calibrated cubes only, brings each onto its axis unasked, and keeps counts also of cubes of float.

    Args:
        cube: the cube to segment.
        model: the model to segment it with.
        allow_rebin: whether spectra on another axis are brought onto the model's.

    Raises:
        UserError: the axes differ and `allow_rebin` is not set, or nothing can be done about it; or the cube covers too
            little of the axis of a ready model.
    """
    name, axis, target = cube.path or "the cube", cube.axis, model.axis
    ready: str | None = getattr(model, "ready", None)
    counts = cube.dtype.kind in "iub" or ready is not None
    uncalibrated = "channel" in (axis.unit, target.unit)
    if uncalibrated and axis.channels == target.channels and ready is None:
        known = target if axis.unit == "channel" else axis
        note = f"matched by the number of channels alone: {axis} against the checkpoint's {target}"
        return Alignment(
            known,
            model.preprocess.decoded_axis(known),
            () if axis.unit == target.unit else (note,),
            None,
            target,
            counts,
        )
    difference = target.difference(axis)
    if difference is None:
        return Alignment(axis, model.preprocess.decoded_axis(axis), (), None, target, counts)
    problem = f"{name}: expected the checkpoint's axis, {target}, got {axis} ({difference.partition(': ')[2]})"
    if uncalibrated:
        raise UserError(f"{problem}; give the cube's calibration with --axis FIRST:LAST:UNIT")
    covered = _covered(axis, target, problem)
    covers = (covered.stop - covered.start) / target.channels
    if ready is not None and covers < COVERED:
        raise UserError(
            f"{problem}; the ready model {ready} needs {COVERED:.0%} of its range, the cube covers {covers:.0%}: fit a "
            "model on such data"
        )
    if not allow_rebin and ready is None:
        raise UserError(
            f"{problem}; --rebin true shares the cube's channels out among the checkpoint's, "
            f"keeping {'counts' if counts else 'mean values'}; or correct the cube's axis with --axis"
        )
    unasked = "" if ready is None else f"for the ready model {ready}, "
    notes = [f"{unasked}rebinned from {axis} to {target}, keeping {'counts' if counts else 'mean values'}"]
    empty = target.channels - (covered.stop - covered.start)
    if empty:
        notes.append(
            f"{empty} of the checkpoint's {target.channels} channels lie outside the cube's range: set to zero"
        )
    return Alignment(axis, model.preprocess.decoded_axis(target), tuple(notes), covered, target, counts)


def _covered(axis: SpectralAxis, target: SpectralAxis, problem: str) -> slice:
    """The channels of `target` that lie within `axis`, but for half a channel at its ends."""
    try:
        axis = axis.to(target.unit)
    except UserError:
        raise UserError(f"{problem}; they measure different things: fit a model on such data") from None
    edges, slack = axis.edges(), axis.widths()[[0, -1]].max() / 2
    borders = np.sort(np.stack([target.edges()[:-1], target.edges()[1:]]), axis=0)
    inside = np.flatnonzero((borders[0] >= edges.min() - slack) & (borders[1] <= edges.max() + slack))
    if len(inside) < 2:
        raise UserError(f"{problem}; they do not overlap: fit a model on such data")
    return slice(int(inside[0]), int(inside[-1]) + 1)
