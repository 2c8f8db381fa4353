import numpy as np
import pytest
from scipy.stats import norm

from deepspec.data.rebin import rebin
from deepspec.synthetic.muse import MuseChannels, line_spread
from deepspec.synthetic.nebular_spectra import LIGHT, draw_lines, line_width

REST = np.array([4861.33, 5006.84, 6562.8, 6583.46, 9069.0])
FLUX = np.array([[100, 300, 286, 50, 20], [100, 40, 286, 200, 10]], dtype=float)
VELOCITY, SIGMA_V = np.array([-179.0, 60.0]), np.array([10.0, 110.0])


def test_pixels_hold_the_integral_of_each_gaussian():
    channels = MuseChannels("pixels")
    expected = np.zeros((2, 3681))
    for n in range(2):
        for rest, flux in zip(REST, FLUX[n], strict=True):
            centre = rest * (1 + VELOCITY[n] / LIGHT)
            sigma = np.hypot(line_spread(centre) / 2.3548, SIGMA_V[n] / LIGHT * centre)
            expected[n] += flux * np.diff(norm.cdf(channels.axis.edges(), centre, sigma))
    np.testing.assert_allclose(draw_lines(channels, REST, FLUX, VELOCITY, SIGMA_V), expected, atol=3e-4)


@pytest.mark.parametrize(("binning", "bins"), [("full", 1024), ("full", 333), ("paper", 1024)])
def test_binned_spectra_are_spectra_of_pixels_binned(binning, bins):
    pixels, channels = MuseChannels("pixels"), MuseChannels(binning, bins)
    spectra = draw_lines(pixels, REST, FLUX, VELOCITY, SIGMA_V)
    expected = rebin(spectra, pixels.axis, channels.axis, counts=True)
    np.testing.assert_allclose(draw_lines(channels, REST, FLUX, VELOCITY, SIGMA_V), expected, atol=5e-4)


def test_full_keeps_the_flux_and_paper_loses_what_is_beyond_7309():
    full = draw_lines(MuseChannels("full"), REST, FLUX, VELOCITY, SIGMA_V)
    np.testing.assert_allclose(full.sum(axis=1), FLUX.sum(axis=1), rtol=1e-5)
    paper = draw_lines(MuseChannels("paper"), REST, FLUX, VELOCITY, SIGMA_V)
    np.testing.assert_allclose(paper.sum(axis=1), FLUX[:, :-1].sum(axis=1), rtol=1e-5)


def test_a_line_is_where_its_velocity_puts_it():
    channels = MuseChannels("pixels")
    for velocity in (-179.0, 0.0, 250.0):
        [spectrum] = draw_lines(channels, REST[2:3], np.ones((1, 1)), np.array([velocity]), np.array([20.0]))
        assert (spectrum @ channels.axis.values) / spectrum.sum() == pytest.approx(
            6562.8 * (1 + velocity / 299_792.458), abs=0.01
        )


def test_instrument_and_gas_widen_a_line_together():
    assert line_width(np.array(6562.8), np.array(0.0)) * 2.3548 == pytest.approx(2.54, abs=0.01)
    assert line_width(np.array(6562.8), np.array(49.2)) == pytest.approx(
        np.sqrt(2) * line_width(np.array(6562.8), np.array(0.0)), rel=0.01
    )


def test_a_line_at_the_end_of_the_axis_is_cut_there():
    channels = MuseChannels("pixels")
    first = channels.axis.edges()[0]
    [spectrum] = draw_lines(channels, np.array([first, 4700.0]), np.ones((1, 2)), np.zeros(1), np.zeros(1))
    assert spectrum.sum() == pytest.approx(0.5, abs=1e-6)
    assert not spectrum[20:].any()


def test_no_light():
    assert not draw_lines(MuseChannels("full", 16), REST, np.zeros((3, 5)), np.zeros(3), np.zeros(3)).any()
