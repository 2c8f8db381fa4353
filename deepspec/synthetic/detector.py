"""Silicon drift detector: from photons of known energy to counts in channels.

Shapes: E emission energies, C channels. Energies in keV, widths in eV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANGANESE_KA_KEV = 5.895  # the energy at which a detector's resolution is quoted
FANO = 0.115
PAIR_ENERGY_EV = 3.65
SILICON_KA_KEV = 1.740
SILICON_EDGE_KEV = 1.839
FWHM_PER_SIGMA = 2.3548
AXIS_KEV = (0.5, 38.5)  # shared by every pigment and every scan
FLOOR = 0.005  # share of the counts spread evenly over all channels: no channel has probability zero


def channel_edges(channels: int) -> NDArray[np.float64]:
    """(channels + 1,) channel edges in keV: the one energy axis that every pigment shares."""
    return np.linspace(*AXIS_KEV, channels + 1)


def fwhm_ev(energy: NDArray[np.float64], fwhm_mn_ev: float) -> NDArray[np.float64]:
    """Peak width: electronic noise and Fano statistics added in quadrature.

    Args:
        energy: (E,) in keV.
        fwhm_mn_ev: resolution at Mn Ka (5.895 keV) in eV; 140 is a typical detector.

    Returns:
        (E,) full width at half maximum in eV.

    Raises:
        ValueError: if the resolution is better than Fano statistics allow (117 eV).
    """
    fano = FWHM_PER_SIGMA**2 * FANO * PAIR_ENERGY_EV * 1000.0
    noise_squared = fwhm_mn_ev**2 - fano * MANGANESE_KA_KEV
    if noise_squared < 0:
        limit = np.sqrt(fano * MANGANESE_KA_KEV)
        raise ValueError(f"a resolution of {fwhm_mn_ev} eV at Mn Ka is below the Fano limit of {limit:.0f} eV")
    return np.asarray(np.sqrt(noise_squared + fano * np.maximum(energy, 0.0)))


def escape_fraction(
    energy: NDArray[np.float64], mu_silicon: NDArray[np.float64], mu_silicon_ka: float
) -> NDArray[np.float64]:
    """Share of photons whose silicon K photon leaves the crystal: they are counted 1.740 keV too low.

    Args:
        energy: (E,) in keV.
        mu_silicon: (E,) mass attenuation of silicon at those energies, cm2/g.
        mu_silicon_ka: the same at 1.740 keV.

    Returns:
        (E,) fraction in [0, 1); zero below the silicon K edge.
    """
    ratio = mu_silicon_ka / mu_silicon
    # half the K photons head for the window; 0.92 = share of K absorptions, 0.05 = K fluorescence yield
    fraction = 0.5 * 0.92 * 0.05 * (1.0 - ratio * np.log1p(1.0 / ratio))
    return np.where(energy > SILICON_EDGE_KEV, fraction, 0.0)


def response(
    energy: NDArray[np.float64], escape: NDArray[np.float64], edges: NDArray[np.float64], fwhm_mn_ev: float
) -> NDArray[np.float64]:
    """Probability that a detected photon of each energy is counted in each channel.

    Gaussian peaks are integrated over the channels' edges: the peaks are about two channels wide, so that
    sampling them at the centres would bias positions and heights.

    Args:
        energy: (E,) photon energies in keV.
        escape: (E,) escape fractions, see `escape_fraction`.
        edges: (C + 1,) channel edges in keV.
        fwhm_mn_ev: resolution at Mn Ka in eV.

    Returns:
        (E, C) probabilities; a row sums to at most 1, less what falls off the axis.
    """
    peaks = []
    for position in (energy, energy - SILICON_KA_KEV):
        sigma = fwhm_ev(position, fwhm_mn_ev) / FWHM_PER_SIGMA / 1000.0
        peaks.append(binned_gaussian(position, sigma, edges))
    return np.asarray((1.0 - escape)[:, None] * peaks[0] + escape[:, None] * peaks[1])


def binned_gaussian(
    centre: NDArray[np.float64], sigma: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(E, C) integrals of unit Gaussians between edges; all in the same unit.

    >>> binned_gaussian(np.array([0.0]), np.array([1.0]), np.array([-1.0, 0.0, 1.0])).round(4)
    array([[0.3413, 0.3413]])
    """
    cumulative = 0.5 * erf((edges[None, :] - centre[:, None]) / (np.sqrt(2.0) * sigma[:, None]))
    return np.asarray(np.diff(cumulative, axis=1))


def add_floor(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normalise each row to unit sum, with a flat share `FLOOR` of its counts in all channels."""
    unit = spectra / spectra.sum(axis=-1, keepdims=True)
    return np.asarray((1.0 - FLOOR) * unit + FLOOR / spectra.shape[-1])
