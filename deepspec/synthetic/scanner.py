"""The scanner that the pigment table was computed for: a molybdenum tube and a silicon drift detector.

The tube's spectrum is Ebel's continuum and the anode's own lines; the detector turns photons of known energy into
counts in channels. All is plain numpy: the caller supplies the anode's attenuation, so that nothing here needs an
atomic data library.

Shapes: E emission energies, X exciting energies, C channels. Energies in keV, widths in eV.
"""

from __future__ import annotations

from dataclasses import dataclass
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


STEP_KEV = 0.05  # of the continuum, and of its scattered image: finer than the narrowest peak's sigma


@dataclass(frozen=True)
class Beam:
    """Exciting photons: a continuum grid followed by the anode's lines at their exact energies."""

    energy: NDArray[np.float64]
    """(X,) keV."""
    photons: NDArray[np.float64]
    """(X,) photons in each bin or line; 1 in all before any filter."""
    lines: int
    """How many of the last entries are anode lines."""


def tube_grid(kilovolt: float) -> NDArray[np.float64]:
    """Bin centres of the continuum in keV, from 1 keV to the tube voltage."""
    return np.arange(1.0, kilovolt, STEP_KEV) + STEP_KEV / 2


def tube_beam(
    continuum: NDArray[np.float64],
    kilovolt: float,
    line_energy: NDArray[np.float64],
    line_rate: NDArray[np.float64],
    line_share: float,
) -> Beam:
    """Join a continuum with the anode's K lines.

    Args:
        continuum: photon density on `tube_grid(kilovolt)`, any scale.
        kilovolt: tube voltage in kV.
        line_energy: anode line energies in keV.
        line_rate: their relative rates, any scale.
        line_share: photons in all lines as a share of the continuum's.

    Returns:
        The unfiltered beam, normalised to one photon.
    """
    photons = np.concatenate([continuum / continuum.sum(), line_share * line_rate / line_rate.sum()])
    energy = np.concatenate([tube_grid(kilovolt), line_energy])
    return Beam(energy, photons / photons.sum(), len(line_energy))


def ebel_continuum(
    energy: NDArray[np.float64], mu: NDArray[np.float64], *, z: int, atomic_weight: float, kilovolt: float
) -> NDArray[np.float64]:
    """Bremsstrahlung photons per keV that leave a thick anode.

    Kramers' law with Ebel's exponent times the anode's self-absorption at Love and Scott's mean depth
    (H. Ebel, X-Ray Spectrometry 28 (1999) 255).

    Args:
        energy: (X,) photon energies in keV.
        mu: (X,) mass attenuation of the anode in cm2/g at those energies.
        z: atomic number of the anode.
        atomic_weight: in g/mol.
        kilovolt: tube voltage in kV.

    Returns:
        (X,) relative photon density, 0 at and above the tube voltage.
    """
    overvoltage = np.maximum(kilovolt / energy, 1.0)
    exponent = 1.109 - 0.00435 * z + 0.00175 * kilovolt
    depth = _mean_depth(overvoltage, z=z, atomic_weight=atomic_weight, kilovolt=kilovolt)
    path = 2.0 * mu * depth
    # (1 - exp(-t)) / t tends to 1 at t = 0, which happens at the tube voltage.
    escape = np.where(path > 1e-12, -np.expm1(-path) / np.maximum(path, 1e-12), 1.0)
    return np.asarray(z * (overvoltage - 1.0) ** exponent * escape)


def _mean_depth(
    overvoltage: NDArray[np.float64], *, z: int, atomic_weight: float, kilovolt: float
) -> NDArray[np.float64]:
    """Mean depth of X-ray production in g/cm2 (Love and Scott)."""
    log_z = np.log(z)
    ionisation = 0.0135 * z
    power = 0.1382 - 0.9211 / np.sqrt(z)
    eta = kilovolt**power * (0.1904 - 0.2236 * log_z + 0.1292 * log_z**2 - 0.0149 * log_z**3)
    deepest = atomic_weight / z * (0.787e-5 * np.sqrt(ionisation) * kilovolt**1.5 + 0.735e-6 * kilovolt**2)
    log_u = np.log(overvoltage)
    shape = 0.49269 - 1.0987 * eta + 0.78557 * eta**2
    return np.asarray(deepest * log_u * shape / (0.70256 - 1.09865 * eta + 1.0046 * eta**2 + log_u))


@dataclass(frozen=True)
class Filter:
    """A sheet that photons pass: mass fractions by element, density in g/cm3, thickness in cm."""

    composition: dict[str, float]
    density: float
    thickness: float


_AIR = Filter({"N": 0.755, "O": 0.232, "Ar": 0.013}, 1.205e-3, 1.0)


@dataclass(frozen=True)
class Scanner:
    """Instrument parameters of the forward model; both angles to the surface are 45 degrees."""

    anode: str = "Mo"
    """Its K lines must lie below the tube voltage: Mo, Rh and Cr do at 40 kV."""
    kilovolt: float = 40.0
    anode_line_share: float = 0.35
    """Anode K photons as a share of the continuum's."""
    tube_filters: tuple[Filter, ...] = (Filter({"Be": 1.0}, 1.848, 127e-4), _AIR)
    detector_filters: tuple[Filter, ...] = (Filter({"Be": 1.0}, 1.848, 12.5e-4), _AIR)
    crystal: Filter = Filter({"Si": 1.0}, 2.33, 500e-4)  # frozen
    fwhm_mn_ev: float = 140.0
    """Nominal resolution at 5.895 keV."""
    channels: int = 1024


SCANNER = Scanner()
