"""Interstellar extinction: the law of Cardelli, Clayton & Mathis (1989, ApJ 345, 245), optical and near infrared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

R_V = 3.1
# Powers of x - 1.82 from the highest down, x in inverse micrometres.
_A = (0.32999, -0.77530, 0.01979, 0.72085, -0.02427, -0.50447, 0.17699, 1.0)
_B = (-2.09002, 5.30260, -0.62251, -5.38434, 1.07233, 2.28305, 1.41338, 0.0)


def extinction(wavelength: NDArray[np.float64], r_v: float = R_V) -> NDArray[np.float64]:
    """Extinction in magnitudes for a colour excess E(B-V) of 1.

    Args:
        wavelength: angstrom, 3,030 to 33,000.
        r_v: ratio of total to selective extinction, 3.1 in the diffuse medium.

    Raises:
        ValueError: for a wavelength outside the law's range.
    """
    x = 1e4 / np.asarray(wavelength, dtype=np.float64)
    if (x < 0.3).any() or (x > 3.3).any():
        raise ValueError("the extinction law holds from 3030 to 33000 angstrom")
    optical = np.polyval(_A, x - 1.82) + np.polyval(_B, x - 1.82) / r_v
    infrared = (0.574 - 0.527 / r_v) * x**1.61
    return np.asarray(r_v * np.where(x >= 1.1, optical, infrared))
