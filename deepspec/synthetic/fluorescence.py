"""Fluorescence and scatter of a stack of layers under a tube, up to the detector.

The fundamental-parameter integral for homogeneous layers without secondary fluorescence. Atomic data come
through the `AtomicData` protocol, so this is plain numpy.

Shapes: X exciting energies, G bins of the scattered continuum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from deepspec.synthetic.scanner import STEP_KEV, binned_gaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.synthetic.scanner import Beam

    Array = NDArray[np.float64]


SIN_ANGLE = float(np.sin(np.radians(45.0)))  # both incidence and take-off
SCATTER_ANGLE = float(np.radians(90.0))
COMPTON_SIGMA = 0.012  # Doppler broadening and the solid angle: sigma as a share of the energy
LIGHTEST_Z = 13  # characteristic photons of lighter elements do not reach the detector through air
ELECTRON_REST_KEV = 511.0

Elements = dict[int, float]
"""Mass fraction by atomic number."""


class AtomicData(Protocol):
    """What the model needs to know of atoms. Energies in keV, cross sections in cm2/g."""

    def attenuation(self, elements: Elements, energy: Array) -> Array:
        """Total mass attenuation of a mixture at each energy."""

    def lines(self, z: int) -> dict[str, float]:
        """Energy of each line on the axis by its Siegbahn name."""

    def production(self, z: int, line: str, energy: Array) -> Array:
        """Photons of a line per exciting photon and g/cm2 of the element, over the whole sphere."""

    def elastic(self, elements: Elements, energy: Array, angle: float) -> Array:
        """Differential cross section of Rayleigh scattering, per steradian."""

    def inelastic(self, elements: Elements, energy: Array, angle: float) -> Array:
        """Differential cross section of Compton scattering, per steradian."""


@dataclass(frozen=True)
class Slab:
    """A homogeneous layer: mass fractions by atomic number and areal mass in g/cm2."""

    elements: Elements
    mass: float


@dataclass
class Emission:
    """Photons that leave a stack towards the detector, per photon of the beam and over the whole sphere."""

    lines: dict[tuple[int, str, int], float]
    """By atomic number, line and index of the layer that emits it (0 on top)."""
    anode: Array
    """Elastically scattered anode lines, in the order of the beam."""
    scattered: Array
    """(G,) everything else that is scattered, on `scatter_grid`."""


def scatter_grid(kilovolt: float) -> Array:
    """(G,) bin centres in keV on which the scattered continuum is kept."""
    return np.arange(0.5, kilovolt, STEP_KEV) + STEP_KEV / 2


def compton_energy(energy: Array, angle: float = SCATTER_ANGLE) -> Array:
    """Energy in keV after Compton scattering by `angle` radians; Mo Ka 17.44 keV becomes 16.87 at 90 degrees."""
    return np.asarray(energy / (1.0 + energy / ELECTRON_REST_KEV * (1.0 - np.cos(angle))))


def emit(stack: tuple[Slab, ...], beam: Beam, kilovolt: float, atoms: AtomicData) -> Emission:
    """Fluorescence lines and scatter of a stack of layers.

    For a layer of areal mass m, incidence and take-off at 45 degrees,
    `I = sum_E S(E) T_in(E) w Q(E) (1 - exp(-chi m)) / chi / sin * T_out(E')`,
    `chi = (mu(E) + mu(E')) / sin`, T the transmission of the layers above, Q the production per g/cm2.

    Args:
        stack: layers, top first.
        beam: photons that reach the sample.
        kilovolt: tube voltage, the end of the scatter grid.
        atoms: atomic data.

    Returns:
        The emission; detector efficiency and resolution are not applied.
    """
    grid = scatter_grid(kilovolt)
    found = Emission({}, np.zeros(beam.lines), np.zeros(grid.size))
    edges = np.append(grid - STEP_KEV / 2, grid[-1] + STEP_KEV / 2)
    continuum = beam.energy.size - beam.lines
    shifted = compton_energy(beam.energy)
    spread = binned_gaussian(shifted, COMPTON_SIGMA * shifted, edges)
    for index, slab in enumerate(stack):
        above = stack[:index]
        mu_in = atoms.attenuation(slab.elements, beam.energy)
        arriving = beam.photons * _transmission(above, beam.energy, atoms)
        for z, fraction in slab.elements.items():
            for name, energy in atoms.lines(z).items() if z >= LIGHTEST_Z else ():
                out = np.array([energy])
                depth = effective_depth(mu_in, atoms.attenuation(slab.elements, out), slab.mass)
                born = float(arriving @ (fraction * atoms.production(z, name, beam.energy) * depth))
                found.lines[z, name, index] = born * float(_transmission(above, out, atoms)[0])

        # Differential cross sections are per steradian, production is for the whole sphere.
        elastic = 4.0 * np.pi * atoms.elastic(slab.elements, beam.energy, SCATTER_ANGLE) * arriving
        elastic *= effective_depth(mu_in, mu_in, slab.mass) * _transmission(above, beam.energy, atoms)
        inelastic = 4.0 * np.pi * atoms.inelastic(slab.elements, beam.energy, SCATTER_ANGLE) * arriving
        inelastic *= effective_depth(mu_in, atoms.attenuation(slab.elements, shifted), slab.mass)
        inelastic *= _transmission(above, shifted, atoms)
        found.anode += elastic[continuum:]
        found.scattered += np.histogram(beam.energy[:continuum], edges, weights=elastic[:continuum])[0]
        found.scattered += inelastic @ spread
    return found


def effective_depth(mu_in: Array, mu_out: Array, mass: float) -> Array:
    """Depth in g/cm2 that a layer counts for, absorption on the way in and out taken off.

    It is `mass / sin 45` for a thin layer and `1 / (mu_in + mu_out)` for a thick one.
    """
    chi = (mu_in + mu_out) / SIN_ANGLE
    return np.asarray(-np.expm1(-chi * mass) / chi / SIN_ANGLE)


def _transmission(above: tuple[Slab, ...], energy: Array, atoms: AtomicData) -> Array:
    depth = sum((atoms.attenuation(slab.elements, energy) * slab.mass for slab in above), np.zeros_like(energy))
    return np.asarray(np.exp(-depth / SIN_ANGLE))
