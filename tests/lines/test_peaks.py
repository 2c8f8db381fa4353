import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.lines.peaks import TopHat, find_peaks, fwhm_kev, peak_widths, variance_of

AXIS = SpectralAxis.linear(0.5, 0.02, 1000, "keV")


def gaussian(energy, axis=AXIS):
    sigma = fwhm_kev(np.array(energy), 145.0) / 2.3548
    return np.exp(-0.5 * ((axis.values - energy) / sigma) ** 2)


def test_top_hat_is_blind_to_straight_backgrounds_and_sees_a_peak_of_its_width():
    top_hat = TopHat(np.full(100, 4.0))
    np.testing.assert_allclose(top_hat(3.0 + 0.5 * np.arange(100)), 0, atol=1e-12)
    box = np.zeros(100)
    box[48:53] = 2.0
    filtered = top_hat(box)
    assert filtered.argmax() == 50
    assert filtered[50] == pytest.approx(2.0)
    assert not filtered[:4].any()  # the windows would hang over the end


def test_top_hat_noise_is_that_of_filtered_draws():
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.5, 3, 60)
    top_hat = TopHat(np.linspace(2, 9, 60))
    drawn = top_hat(rng.normal(0, np.sqrt(variance), (40_000, 60))).std(axis=0)
    inside = top_hat.inside
    np.testing.assert_allclose(top_hat.noise(variance)[inside], drawn[inside], rtol=0.03)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 250.0])
def test_variance_of_counts_is_found_in_any_scale(scale):
    mean = 400 * np.exp(-AXIS.values / 10)
    draws = np.random.default_rng(1).poisson(mean, (20, AXIS.channels)).astype(float)
    found = np.mean([variance_of(scale * counts, counting=True) for counts in draws], axis=0)
    np.testing.assert_allclose(found[1:-1], scale**2 * mean[1:-1], rtol=0.12)


def test_variance_of_flux_follows_the_noise_along_the_axis():
    sd = np.linspace(1, 5, 2000)
    flux = 100 + np.random.default_rng(2).normal(0, sd)
    found = np.sqrt(variance_of(flux, counting=False))
    np.testing.assert_allclose(found[200:-200], sd[200:-200], rtol=0.5)


def test_peaks_are_found_where_they_are():
    true = [2.31, 6.40, 7.06, 12.61]
    mean = 30 + 200 * np.exp(-AXIS.values / 5)
    for energy, height in zip(true, [300, 5000, 700, 150], strict=True):
        mean = mean + height * gaussian(energy)
    for seed in range(5):
        found = find_peaks(np.random.default_rng(seed).poisson(mean).astype(float), AXIS)
        np.testing.assert_allclose([peak.position for peak in found], true, atol=0.03)
        assert all(peak.significance >= 5 for peak in found)


def test_noise_has_no_peaks():
    rng = np.random.default_rng(3)
    found = sum(len(find_peaks(rng.poisson(50, AXIS.channels).astype(float), AXIS)) for _ in range(50))
    assert found <= 2  # of 50,000 channels


def test_weak_peaks_need_more_counts():
    mean = 20 + 6 * gaussian(8.0)
    one = find_peaks(np.random.default_rng(4).poisson(mean).astype(float), AXIS)
    many = find_peaks(np.random.default_rng(4).poisson(1000 * mean) / 1000, AXIS)
    assert not one
    assert [round(peak.position, 2) for peak in many] == [8.0]


def test_below_half_a_kev_nothing_is_a_peak():
    axis = SpectralAxis.linear(-0.5, 0.01, 1000, "keV")
    zero_peak = 1e5 * np.exp(-0.5 * (axis.values / 0.03) ** 2)
    found = find_peaks(np.random.default_rng(0).poisson(10 + zero_peak + 300 * gaussian(4.5, axis)).astype(float), axis)
    assert [round(peak.position, 1) for peak in found] == [4.5]


def test_flat_empty_and_short_spectra_have_no_peaks():
    assert find_peaks(np.zeros(1000), AXIS) == []
    assert find_peaks(np.ones(1000), AXIS) == []
    assert find_peaks(np.ones(5), AXIS.slice(0, 5)) == []
    with pytest.raises(ValueError, match=r"1000 channels, got shape \(3,\)"):
        find_peaks(np.ones(3), AXIS)


def test_widths_of_peaks():
    # 145 eV at the line of manganese, about 170 at 10 keV
    np.testing.assert_allclose(fwhm_kev(np.array([5.895, 10.0]), 145.0), [0.145, 0.1748], atol=5e-4)
    assert peak_widths(AXIS)[0] == pytest.approx(fwhm_kev(np.array(0.5), 145.0) / 0.02)
    assert set(peak_widths(SpectralAxis.linear(4750, 1.25, 9, "angstrom"))) == {3.0}
