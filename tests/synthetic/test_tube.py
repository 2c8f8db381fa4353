import numpy as np
import pytest

from deepspec.synthetic import scanner


def test_without_self_absorption_it_is_kramers_law_with_ebels_exponent():
    energy = np.array([5.0, 10.0, 20.0])
    found = scanner.ebel_continuum(energy, np.zeros(3), z=42, atomic_weight=95.95, kilovolt=40.0)
    np.testing.assert_allclose(found, 42 * (40.0 / energy - 1) ** (1.109 - 0.00435 * 42 + 0.00175 * 40))


def test_nothing_at_and_above_the_tube_voltage():
    found = scanner.ebel_continuum(np.array([39.9, 40.0, 45.0]), np.ones(3), z=42, atomic_weight=95.95, kilovolt=40.0)
    assert found[0] > 0
    assert list(found[1:]) == [0.0, 0.0]


def test_self_absorption_takes_photons_of_low_energy():
    energy = np.array([2.0, 20.0])
    args = {"z": 42, "atomic_weight": 95.95, "kilovolt": 40.0}
    free = scanner.ebel_continuum(energy, np.zeros(2), **args)
    ratio = scanner.ebel_continuum(energy, np.array([1000.0, 10.0]), **args) / free
    assert ratio[0] < ratio[1] < 1


def test_the_beam_has_one_photon_and_the_asked_share_of_lines():
    grid = scanner.tube_grid(40.0)
    beam = scanner.tube_beam(np.ones(grid.size), 40.0, np.array([17.48, 19.61]), np.array([5.0, 1.0]), 0.35)
    assert beam.photons.sum() == pytest.approx(1.0)
    assert beam.photons[-2:].sum() / beam.photons[:-2].sum() == pytest.approx(0.35)
    assert beam.photons[-2] / beam.photons[-1] == pytest.approx(5.0)
    assert list(beam.energy[-2:]) == [17.48, 19.61]
