"""Draw emission lines into spectra: Gaussians integrated over the instrument's pixels, then binned.

Shapes: N spectra, L lines, C channels, W channel edges around a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from deepspec.synthetic.muse import FWHM_PER_SIGMA, line_spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.synthetic.muse import MuseChannels

    Array = NDArray[np.float64]

LIGHT = 299_792.458  # km/s
_REACH = 5.0  # standard deviations to either side: less than a millionth of the flux is beyond


def line_width(wavelength: Array, sigma_v: Array) -> Array:
    """Standard deviation in angstrom of a line at a wavelength, of the instrument and a velocity spread in km/s."""
    instrument = line_spread(wavelength) / FWHM_PER_SIGMA
    return np.sqrt(instrument**2 + (sigma_v / LIGHT * wavelength) ** 2)


def draw_lines(
    channels: MuseChannels, rest_L: Array, flux_NL: Array, velocity_N: Array, sigma_v_N: Array
) -> NDArray[np.float32]:
    """Spectra of lines without noise.

    Args:
        channels: of the result.
        rest_L: wavelengths at rest in angstrom.
        flux_NL: integrated flux of each line.
        velocity_N: km/s, positive recedes.
        sigma_v_N: standard deviation of the velocities in the gas, km/s.

    Returns:
        (N, C) flux per channel; a line between the ends of the axis has its whole flux in it.
    """
    n, count = len(velocity_N), channels.axis.channels
    shining = flux_NL.any(axis=0)
    rest_L, flux_NL = rest_L[shining], flux_NL[:, shining]
    if not flux_NL.size:
        return np.zeros((n, count), dtype=np.float32)
    centre_NL = rest_L * (1 + velocity_N[:, None] / LIGHT)
    sigma_NL = line_width(centre_NL, sigma_v_N[:, None])
    width = int(np.ceil(2 * _REACH * sigma_NL.max() / channels.width)) + 2
    # Edges go on beyond the ends of the axis, so that no line needs special treatment there.
    beyond = channels.width * np.arange(1, width + 1)
    pad_left, pad_right = channels.edges[0] - beyond[::-1], channels.edges[-1] + beyond
    below = np.concatenate([pad_left, channels.below, pad_right])
    first_NL = np.floor((centre_NL - _REACH * sigma_NL - channels.edges[0]) / channels.width).astype(np.int64) + width
    padded = count + 2 * width
    first_NL = np.clip(first_NL, 0, padded - width)
    edge_NLW = first_NL[..., None] + np.arange(width + 1)
    inverse = 1 / sigma_NL[..., None]
    running = ndtr((below[edge_NLW] - centre_NL[..., None]) * inverse)
    if channels.part.any():  # inside a pixel the light is spread evenly: the running sum is linear there
        above = np.concatenate([pad_left, channels.above, pad_right])
        part = np.pad(channels.part, width)[edge_NLW]
        running += part * (ndtr((above[edge_NLW] - centre_NL[..., None]) * inverse) - running)
    light_NLW = np.diff(running, axis=2)
    light_NLW *= flux_NL[..., None]
    place = edge_NLW[..., :-1] + (np.arange(n) * padded)[:, None, None]
    spectra = np.bincount(place.ravel(), weights=light_NLW.ravel(), minlength=n * padded)
    return spectra.reshape(n, padded)[:, width : width + count].astype(np.float32)
