"""Background of X-ray spectra: what is left when the peaks are clipped away.

Shapes: B basis functions, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.peaks import fwhm_kev

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_REACH = 1.6
"""Largest half-width of the clipping window, in full widths of a peak."""

_KNOTS = 8.0
"""Distance of the knots of the background's basis, in full widths of a peak: what bends faster is a peak."""


def snip(spectrum_C: Array, fwhm_C: Array) -> Array:
    """Background by statistics-sensitive non-linear iterative peak clipping (Ryan et al. 1988; Morhac et al. 1997).

    The spectrum is compressed by log(log(sqrt(x + 1) + 1) + 1), and each channel is clipped to the mean of the two that
    lie w channels beside it, for w from its largest value down to 1, so that peaks go and steps stay.

    Args:
        spectrum_C: (C,) finite counts or rates; negative values count as 0.
        fwhm_C: (C,) full width of a peak in channels.

    Returns:
        (C,) background, nowhere above the spectrum but for values below 0.
    """
    unit = max(float(np.mean(np.maximum(spectrum_C, 0))), 1e-300) / 1e3  # so that a rate is treated as counts are
    squeezed_C = np.log1p(np.log1p(np.sqrt(np.maximum(spectrum_C, 0) / unit + 1)))
    reach_C = np.maximum(1, np.round(_REACH * fwhm_C)).astype(int)
    place_C = np.arange(len(spectrum_C))
    for w in range(int(reach_C.max()), 0, -1):
        here_C = (reach_C >= w) & (place_C >= w) & (place_C < len(spectrum_C) - w)
        inner = place_C[here_C]
        clipped = np.minimum(squeezed_C[inner], (squeezed_C[inner - w] + squeezed_C[inner + w]) / 2)
        squeezed_C[inner] = clipped
    back_C = (np.expm1(np.expm1(squeezed_C)) ** 2 - 1) * unit
    return np.asarray(np.minimum(back_C, np.maximum(spectrum_C, 0)))


def background_basis(background_C: Array, energy_C: Array, fwhm_mn_ev: float) -> Array:
    """Pieces of a background whose heights may differ from pixel to pixel.

    Each is the background times a hat (a linear B-spline) over eight full widths of a peak to either side: their sum is
    the background, and the ratio of that of a pixel to it may bend no faster.

    Args:
        background_C: (C,) of the mean spectrum.
        energy_C: (C,) rising, true energies in keV.
        fwhm_mn_ev: full width of peaks at 5.895 keV.

    Returns:
        (B, C), not negative.
    """
    knots = [float(energy_C[0])]
    while knots[-1] < energy_C[-1]:
        knots.append(knots[-1] + _KNOTS * float(fwhm_kev(np.array(knots[-1]), fwhm_mn_ev)))
    if len(knots) == 1:
        return background_C[None]
    hats = np.array([np.interp(energy_C, knots, row) for row in np.eye(len(knots))])
    pieces_BC = hats * background_C
    return np.asarray(pieces_BC[pieces_BC.sum(1) > 0])
