"""Noise added to a cube until its peak signal-to-noise ratio has fallen by a given share (appendix B of the paper).

    PSNR(X, Y) = 10 log10(max(X)^2 / mean((X - Y)^2))
    degradation = 1 - PSNR(X, Y) / PSNR(X, Y0)

X is the cube without noise, Y0 as it was observed, Y with noise added. The paper prints PSNR(X, X) / PSNR(X, Y), which
is infinite over finite; with Y0 in the place of the second X and the fraction turned over, its levels 0, 0.21, 0.33,
0.40 and 0.45 are those of noise 0, 3, 6, 9 and 12 times the cube's own, at a PSNR of 48 dB.

Shapes: H rows, W columns, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS = (0.0, 0.21, 0.33, 0.40, 0.45)
_STREAM = 20


@dataclass(frozen=True)
class Degraded:
    """A cube with added noise.

    Attributes:
        data: (H, W, C) float32.
        level: degradation asked for.
        achieved: degradation that the noise drawn came to.
        psnr: of `data`, in dB.
        psnr_before: of the cube as it was observed, in dB.
        added_sd: standard deviation of the added noise.
    """

    data: NDArray[np.float32]
    level: float
    achieved: float
    psnr: float
    psnr_before: float
    added_sd: float


def degrade(observed: NDArray[np.number], clean: NDArray[np.number], level: float, *, seed: int = 0) -> Degraded:
    """Add white Gaussian noise to a cube until its PSNR has fallen by a share `level`.

    The noise drawn depends on the seed and the cube's shape alone: at another level it is the same, scaled.

    Args:
        observed: (H, W, C) raw flux or counts, before any clipping or scaling.
        clean: (H, W, C) the same without noise.
        level: degradation, from 0 to below 1; the paper's are `LEVELS`.
        seed: of the noise.

    Raises:
        UserError: if the shapes differ, a value is not finite, the level is out of range, or the observed cube has
            no PSNR above 0 dB to lose.
    """
    _check(observed, clean, level, seed)
    peak, before = float(clean.max()), _squared_error(clean, observed)
    psnr_before = _decibel(peak, before)
    if not 0 < psnr_before < float("inf"):
        raise UserError(
            f"the observed cube has a PSNR of {psnr_before:.1f} dB: expected a finite one above 0, that is noise, "
            "but weaker than the brightest value of the clean cube"
        )
    added = float(np.sqrt(before * (10 ** (level * psnr_before / 10) - 1)))
    data = observed.astype(np.float32)
    if added > 0:
        for row in range(len(data)):
            stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM, row)))
            data[row] += np.float32(added) * stream.standard_normal(data.shape[1:], dtype=np.float32)
    psnr_after = psnr(clean, data)
    return Degraded(data, level, 1 - psnr_after / psnr_before, psnr_after, psnr_before, added)


def psnr(clean: NDArray[np.number], observed: NDArray[np.number]) -> float:
    """Peak signal-to-noise ratio of a cube in dB; infinite if both are equal.

    Raises:
        UserError: if the shapes differ or the clean cube has no value above 0.
    """
    if clean.shape != observed.shape:
        raise UserError(f"expected two cubes of one shape, got {observed.shape} and, clean, {clean.shape}")
    peak = float(clean.max())
    if not peak > 0:
        raise UserError("the clean cube has no value above 0, so no peak")
    return _decibel(peak, _squared_error(clean, observed))


def _check(observed: NDArray[np.number], clean: NDArray[np.number], level: float, seed: int) -> None:
    if observed.ndim != 3 or observed.shape != clean.shape or observed.size == 0:
        raise UserError(
            f"expected two cubes (rows, columns, channels) of one shape, got {observed.shape} and, clean, {clean.shape}"
        )
    if not 0 <= level < 1:
        raise UserError(f"level={level}: expected a degradation from 0 to below 1, for example 0.21")
    if seed < 0:
        raise UserError(f"seed={seed}: expected 0 or more")
    for name, cube in (("observed", observed), ("clean", clean)):
        if not all(np.isfinite(row).all() for row in cube):
            raise UserError(f"the {name} cube holds NaN or infinity: replace those pixels first")
    if not clean.max() > 0:
        raise UserError("the clean cube has no value above 0, so no peak")


def _decibel(peak: float, squared_error: float) -> float:
    return float("inf") if squared_error == 0 else float(10 * np.log10(peak**2 / squared_error))


def _squared_error(clean: NDArray[np.number], observed: NDArray[np.number]) -> float:
    """Mean over all pixels and channels, row by row: a cube in float64 may not fit beside the two."""
    total = 0.0
    for x, y in zip(clean, observed, strict=True):
        total += float(np.sum((x.astype(np.float64) - y) ** 2))
    return total / clean.size
