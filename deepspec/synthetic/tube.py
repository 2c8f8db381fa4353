"""Spectrum of an X-ray tube: Ebel's continuum and the anode's own lines.

Plain numpy: the caller supplies the anode's attenuation, so nothing here needs an atomic data library.

Shape: X exciting energies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
