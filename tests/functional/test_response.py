import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from deepspec.functional.response import BOUND, blurred, find_blur, smooth_log_ratio

ENERGY = np.linspace(0.6, 38, 512)


def lines(*positions):
    peaks = sum(np.exp(-(((ENERGY - p) / 0.09) ** 2) / 2) for p in positions)
    return 40 * np.exp(-ENERGY / 9) + 900 * peaks


def test_a_smooth_curve_is_found_through_the_noise_whatever_the_scale():
    rng = np.random.default_rng(0)
    expected = 50 * lines(3.7, 6.4, 8.0, 10.5, 12.6, 25.2)
    curve = 0.3 * np.log(ENERGY / 6) - 0.1 * np.log(ENERGY / 6) ** 2
    found = smooth_log_ratio(rng.poisson(7 * expected * np.exp(curve)).astype(float), expected, ENERGY)
    curve -= np.average(curve, weights=expected)
    inside = (ENERGY > 2) & (ENERGY < 26)
    assert np.abs(found - curve)[inside].max() < 0.03
    assert np.average(found, weights=expected) == pytest.approx(0, abs=1e-9)


def test_lines_of_another_material_do_not_bend_it():
    expected = 50 * lines(3.7, 6.4, 8.0, 10.5, 12.6, 25.2)
    observed = expected + 50 * 0.5 * (lines(5.4, 9.9) - lines())
    found = smooth_log_ratio(observed, expected, ENERGY)
    assert np.ptp(found) < 0.03
    # Least squares would take them in.
    u = np.log(ENERGY)
    plain = np.polynomial.Polynomial.fit(u, np.log(observed / expected), 4, w=np.sqrt(expected))(u)
    assert np.ptp(plain[(ENERGY > 2) & (ENERGY < 26)]) > 0.05


def test_it_is_bounded_and_flat_beyond_the_counts():
    expected = lines(6.4, 8.0)
    found = smooth_log_ratio(expected * np.exp(9 * np.log(ENERGY)), expected, ENERGY)
    assert np.abs(found).max() <= np.log(BOUND) + 1e-12
    expected[ENERGY > 20] = 0
    found = smooth_log_ratio(expected * ENERGY**0.1, expected, ENERGY)
    assert np.ptp(found[ENERGY > 20]) == 0


def test_too_few_channels_and_no_counts_change_nothing():
    assert not smooth_log_ratio(np.ones(6), np.ones(6), np.arange(6.0)).any()
    assert not smooth_log_ratio(np.zeros(50), np.ones(50), np.arange(50.0)).any()


@pytest.mark.parametrize("sigma", [0.4, 0.8, 1.3])
def test_blurred_is_a_gaussian_of_scipy(sigma):
    spectra = np.stack([lines(6.4, 8.0), lines(12.6)])
    reference = gaussian_filter1d(spectra, sigma, axis=1, mode="reflect", truncate=8)
    # The second difference is a discrete Laplacian, whose exponential is a Gaussian for all but the finest detail.
    np.testing.assert_allclose(blurred(spectra, sigma**2 / 2), reference, atol=0.02 * spectra.max())
    assert blurred(spectra, sigma**2 / 2).sum() == pytest.approx(spectra.sum(), rel=1e-6)


def test_sharpening_undoes_blurring():
    spectra = lines(6.4, 8.0, 12.6)[None]
    np.testing.assert_allclose(blurred(blurred(spectra, 0.2), -0.2), spectra, rtol=1e-6)


@pytest.mark.parametrize("blur", [-0.08, 0.0, 0.1])
def test_the_blur_is_found_beside_lines_of_another_material(blur):
    expected = 50 * lines(3.7, 6.4, 8.0, 10.5, 12.6, 25.2)
    observed = blurred((expected + 20 * (lines(5.4, 18) - lines()))[None], blur)[0]
    observed *= expected.sum() / observed.sum()
    assert find_blur(observed, expected) == pytest.approx(blur, abs=0.005)


def test_no_bend_no_blur():
    assert find_blur(np.full(9, 2.0), np.ones(9)) == 0
