import numpy as np
import pytest

from deepspec.synthetic import fluorescence
from deepspec.synthetic.fluorescence import Slab
from deepspec.synthetic.scanner import Beam


class Atoms:
    """Made-up atoms: attenuation 10 cm2/g per unit of Z / 20, one line at Z / 4 keV, constant cross sections."""

    def attenuation(self, elements, energy):
        return np.full_like(energy, 10.0 * sum(z / 20 * w for z, w in elements.items()))

    def lines(self, z):
        return {"Ka1": z / 4}

    def production(self, z, line, energy):
        return np.where(energy > z / 4, 2.0, 0.0)

    def elastic(self, elements, energy, angle):
        return np.full_like(energy, 0.03)

    def inelastic(self, elements, energy, angle):
        return np.full_like(energy, 0.05)


# one continuum bin of 3 photons at 10 keV and one anode line of 5 photons at 17.48 keV
BEAM = Beam(np.array([10.025, 17.48]), np.array([3.0, 5.0]), 1)
SIN = np.sin(np.pi / 4)


def test_depth_of_thin_and_thick_layers():
    mu_in, mu_out = np.array([30.0]), np.array([70.0])
    assert fluorescence.effective_depth(mu_in, mu_out, 1e-9)[0] == pytest.approx(1e-9 / SIN, rel=1e-6)
    assert fluorescence.effective_depth(mu_in, mu_out, 100.0)[0] == pytest.approx(1 / 100.0)


def test_depth_is_the_integral_over_the_layer():
    z = np.linspace(0, 0.02, 200_001)
    integral = np.trapezoid(np.exp(-(30.0 + 70.0) * z / SIN) / SIN, z)
    found = fluorescence.effective_depth(np.array([30.0]), np.array([70.0]), 0.02)[0]
    assert found == pytest.approx(integral, rel=1e-8)


def test_a_thin_layer_emits_in_proportion_to_its_mass():
    mass = 1e-8
    found = fluorescence.emit((Slab({20: 1.0}, mass),), BEAM, 40.0, Atoms())
    depth = mass / SIN
    assert found.lines[20, "Ka1", 0] == pytest.approx(8.0 * 2.0 * depth, rel=1e-5)
    assert found.anode[0] == pytest.approx(5.0 * 4 * np.pi * 0.03 * depth, rel=1e-5)
    scattered = 3.0 * 4 * np.pi * 0.03 * depth + 8.0 * 4 * np.pi * 0.05 * depth
    assert found.scattered.sum() == pytest.approx(scattered, rel=1e-5)


def test_photons_below_the_edge_excite_nothing():
    found = fluorescence.emit((Slab({60: 1.0}, 1e-8),), BEAM, 40.0, Atoms())  # its line needs 15 keV
    assert found.lines[60, "Ka1", 0] == pytest.approx(5.0 * 2.0 * 1e-8 / SIN, rel=1e-5)


def test_a_layer_above_takes_its_share_on_both_ways():
    bare = fluorescence.emit((Slab({20: 1.0}, 0.01),), BEAM, 40.0, Atoms())
    covered = fluorescence.emit((Slab({8: 1.0}, 0.02), Slab({20: 1.0}, 0.01)), BEAM, 40.0, Atoms())
    passed = np.exp(-4.0 * 0.02 / SIN)  # the cover's attenuation is 4 cm2/g
    assert covered.lines[20, "Ka1", 1] == pytest.approx(bare.lines[20, "Ka1", 0] * passed**2)
    assert (8, "Ka1", 0) not in covered.lines  # too light to be seen through air


def test_compton_peaks_are_shifted_and_broadened():
    # h nu' = h nu / (1 + h nu / 511 keV) at 90 degrees
    assert fluorescence.compton_energy(np.array([17.44]))[0] == pytest.approx(16.864, abs=0.001)
    found = fluorescence.emit(
        (Slab({20: 1.0}, 1e-6),), Beam(np.array([5.0, 17.44]), np.array([0.0, 1.0]), 1), 40.0, Atoms()
    )
    grid = fluorescence.scatter_grid(40.0)
    mean = np.average(grid, weights=found.scattered)
    assert mean == pytest.approx(16.864, abs=0.002)
    assert np.sqrt(np.average((grid - mean) ** 2, weights=found.scattered)) == pytest.approx(0.012 * 16.864, rel=0.02)
