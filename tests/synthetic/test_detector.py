import numpy as np
import pytest

from deepspec.synthetic import scanner


def width_at_half_maximum(x, y):
    above = np.flatnonzero(y > y.max() / 2)
    first, last = above[0], above[-1]
    left = np.interp(y.max() / 2, y[first - 1 : first + 1], x[first - 1 : first + 1])
    right = np.interp(-y.max() / 2, -y[last : last + 2], x[last : last + 2])
    return right - left


def test_the_drawn_peak_at_manganese_has_the_quoted_width():
    edges = np.linspace(5, 7, 2001)
    peak = scanner.response(np.array([5.895]), np.zeros(1), edges, 140.0)[0]
    assert 1000 * width_at_half_maximum((edges[1:] + edges[:-1]) / 2, peak) == pytest.approx(140.0, abs=0.2)


# widths in eV of a 140 eV detector with 76.7 eV of electronic noise
@pytest.mark.parametrize(
    ("energy", "width"), [(1.74, 100), (3.69, 120), (8.05, 157), (10.55, 174), (17.48, 216), (25.27, 254)]
)
def test_width_grows_with_energy(energy, width):
    assert scanner.fwhm_ev(np.array([energy]), 140.0)[0] == pytest.approx(width, abs=1.0)


def test_a_resolution_better_than_fano_statistics_is_refused():
    with pytest.raises(ValueError, match=r"110.0 eV at Mn Ka is below the Fano limit of 117 eV"):
        scanner.fwhm_ev(np.array([5.0]), 110.0)


def test_response_keeps_all_photons_and_their_mean_energy():
    energy, escape = np.array([6.4, 12.0]), np.array([0.0, 0.02])
    edges = scanner.channel_edges(1024)
    centres = (edges[1:] + edges[:-1]) / 2
    response = scanner.response(energy, escape, edges, 140.0)
    np.testing.assert_allclose(response.sum(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(response @ centres, energy - escape * 1.74, atol=1e-6)


def test_channels_of_512_are_pairs_of_1024():
    args = np.array([2.3, 8.05]), np.array([0.01, 0.0])
    fine = scanner.response(*args, scanner.channel_edges(1024), 140.0)
    coarse = scanner.response(*args, scanner.channel_edges(512), 140.0)
    np.testing.assert_allclose(fine.reshape(2, 512, 2).sum(axis=2), coarse, atol=1e-15)


def test_escape_needs_the_silicon_edge_and_fades_with_depth():
    # r = mu(Si Ka) / mu: the deeper the absorption (small mu, large r), the less escapes
    fraction = scanner.escape_fraction(np.array([1.8, 2.0, 10.0]), np.array([300.0, 2600.0, 33.0]), 350.0)
    assert fraction[0] == 0
    ratio = 350.0 / 2600.0
    assert fraction[1] == pytest.approx(0.023 * (1 - ratio * np.log(1 + 1 / ratio)))
    assert 0 < fraction[2] < fraction[1] < 0.023


def test_floor_leaves_no_empty_channel():
    spectra = scanner.add_floor(np.array([[0.0, 8.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(spectra, [[0.00125, 0.99625, 0.00125, 0.00125], [0.25] * 4])
