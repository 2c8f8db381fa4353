"""Bring spectra of one axis onto another, keeping counts or mean values.

Shapes: N spectra, C channels of the source, D channels of the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis


def rebin(x_NC: NDArray[Any], source: SpectralAxis, target: SpectralAxis, *, counts: bool) -> NDArray[np.float32]:
    """Share the content of each source channel out among the target channels that it overlaps.

    Args:
        x_NC: (N, C) spectra.
        source: axis of `x_NC`.
        target: axis of the result, in a unit of the same quantity, within the range of `source` (half a source
            channel beyond it is taken as empty).
        counts: True to keep the number of counts (a channel twice as wide gets twice the counts), False to keep
            the mean value (a density such as flux per angstrom).

    Returns:
        (N, D) float32.

    Raises:
        UserError: if the units measure different things or the target reaches beyond the source.
    """
    source = source.to(target.unit)
    old, new = source.edges(), target.edges()
    if old[0] > old[-1]:
        old, x_NC = old[::-1], x_NC[:, ::-1]
    falls = new[0] > new[-1]
    new = new[::-1] if falls else new
    slack = source.widths()[[0, -1]].max() / 2
    if new[0] < old[0] - slack or new[-1] > old[-1] + slack:
        raise UserError(f"cannot rebin from {source} to {target}: the target reaches beyond the source")
    amount_NC = x_NC.astype(np.float64) if counts else x_NC * np.diff(old)
    # The running sum is exact at the old edges and linear between them: its differences conserve the total.
    running = np.concatenate([np.zeros((len(x_NC), 1)), np.cumsum(amount_NC, axis=1)], axis=1)
    left = np.clip(np.searchsorted(old, new, side="right") - 1, 0, len(old) - 2)
    part = np.clip((new - old[left]) / np.diff(old)[left], 0, 1)
    begin, end = running[:, left], running[:, left + 1]
    # Kept between its two ends, the sum never falls where all values are 0 or more: a share of -1e-14 counts that
    # rounding left would be no number after a square root, and its pixel lost.
    at_new: NDArray[np.float64] = np.clip(begin + (end - begin) * part, np.minimum(begin, end), np.maximum(begin, end))
    y_ND = np.diff(at_new, axis=1) if counts else np.diff(at_new, axis=1) / np.diff(new)
    return (y_ND[:, ::-1] if falls else y_ND).astype(np.float32)
