"""Peaks that the detector makes of lines: escape of silicon's own photons, and two photons counted as one.

Shapes: C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SILICON_KA_KEV = 1.740
_SILICON_EDGE_KEV = 1.839

# Mass attenuation of silicon in cm2/g: of its own photons, and above its edge about this times E^-2.83.
_OWN_ATTENUATION = 350.0
_EDGE_ATTENUATION, _FALL = 3190.0, -2.83


def escape_share(energy: Array) -> Array:
    """Photons of an energy in keV whose silicon photon leaves the crystal, as a share of those counted whole.

    Reed & Ware (1972): half the yield of the K shell, less what is absorbed on the way out.

    >>> [round(float(escape_share(np.array(e))), 4) for e in (1.5, 2.3, 3.69, 6.4)]
    [0.0, 0.0127, 0.0071, 0.0023]
    """
    attenuation = _EDGE_ATTENUATION * (np.maximum(energy, _SILICON_EDGE_KEV) / _SILICON_EDGE_KEV) ** _FALL
    ratio = _OWN_ATTENUATION / attenuation
    return np.asarray(np.where(energy > _SILICON_EDGE_KEV, 0.02 * (1 - ratio * np.log1p(1 / ratio)), 0.0))


def escape_spectrum(model_C: Array, energy_C: Array) -> Array:
    """(C,) escape peaks of a spectrum of lines.

    Args:
        model_C: (C,) lines without background.
        energy_C: (C,) true energies in keV, rising.
    """
    parents = energy_C + SILICON_KA_KEV
    return np.interp(parents, energy_C, model_C, right=0.0) * escape_share(parents)


def sum_spectrum(model_C: Array, energy_C: Array) -> Array:
    """(C,) peaks of two photons counted as one, in proportion: photons of different lines meet in two orders.

    Args:
        model_C: (C,) lines without background, in counts per keV.
        energy_C: (C,) true energies in keV, rising.
    """
    step = float(np.median(np.diff(energy_C)))
    even = np.arange(energy_C[0], energy_C[-1] + step, step)
    even_model = np.maximum(np.interp(even, energy_C, model_C, right=0.0), 0.0)
    size = 2 * len(even)
    doubled = np.fft.irfft(np.fft.rfft(even_model, size) ** 2, size)
    return np.interp(energy_C, 2 * energy_C[0] + step * np.arange(size), doubled * step, left=0.0, right=0.0)
