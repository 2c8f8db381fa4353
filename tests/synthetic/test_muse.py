import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.rebin import rebin
from deepspec.errors import UserError
from deepspec.synthetic.muse import PIXELS, MuseChannels, line_spread, sky_noise

PIXEL_AXIS = SpectralAxis.linear(4750, 1.25, PIXELS, "angstrom")


def binning_matrix(channels):
    """(P, C) share of each pixel in each channel, by the package's own rebinning of unit pixels."""
    return rebin(np.eye(PIXELS, dtype=np.float32), PIXEL_AXIS, channels.axis, counts=True).astype(np.float64)


def test_line_spread():
    expected = [3.00, 2.91, 2.54, 2.45, 2.53, 2.58]
    np.testing.assert_allclose(line_spread(np.array([4750, 5007, 6563, 7500, 9069, 9350])), expected, atol=0.006)


def test_axes():
    pixels, full, paper = (MuseChannels(binning).axis.values for binning in ("pixels", "full", "paper"))
    np.testing.assert_allclose(pixels, PIXEL_AXIS.values)
    assert len(full) == len(paper) == 1024
    assert (full[0] + full[-1]) / 2 == pytest.approx((4750 + 9350) / 2)
    assert np.diff(full) == pytest.approx(4.4934, abs=1e-4)
    assert np.diff(paper) == pytest.approx(2.5)
    assert paper[[0, -1]] == pytest.approx([4750.625, 7308.125])  # pixels 0, 1 and 2046, 2047


class UnitDraws:
    """In the place of a generator: the draws are the unit vectors, so the noise is the factor of its covariance."""

    def standard_normal(self, shape, dtype):
        return np.eye(*shape, dtype=dtype)


@pytest.mark.parametrize(("binning", "bins"), [("full", 64), ("full", 1024), ("paper", 100), ("pixels", 1)])
def test_noise_has_the_covariance_of_binned_pixel_noise(binning, bins):
    channels = MuseChannels(binning, bins)
    factor = channels.noise(UnitDraws(), channels.axis.channels).astype(np.float64)
    if binning == "pixels":
        expected = np.diag(sky_noise(PIXEL_AXIS.values) ** 2)
    else:
        matrix = binning_matrix(channels)
        expected = matrix.T @ (matrix * sky_noise(PIXEL_AXIS.values)[:, None] ** 2)
    np.testing.assert_allclose(factor.T @ factor, expected, atol=1e-3, rtol=1e-5)
    np.testing.assert_allclose(channels.noise_sd(), np.sqrt(np.diag(expected)), rtol=1e-5)


def test_noise_is_drawn():
    channels = MuseChannels("full", 50)
    noise = channels.noise(np.random.default_rng(0), 20_000)
    np.testing.assert_allclose(noise.std(axis=0), channels.noise_sd(), rtol=0.03)
    assert noise.dtype == np.float32


def test_the_sky_is_brighter_at_its_lines_and_in_the_red():
    expected = {4750: 1.3, 4875: 1.15, 6000: 1.0, 5577.3: 4.0, 6300.3: 3.0, 7220: 1.0}
    np.testing.assert_allclose(sky_noise(np.array(list(expected), dtype=float)), list(expected.values()))
    bands = sky_noise(np.arange(7240, 7450, 0.5))
    assert bands.min() == pytest.approx(1.5)
    assert bands.max() == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("binning", "bins", "message"),
    [("half", 8, "binning='half': expected one of full, paper, pixels"), ("full", 3682, "1 to the 3681"),
     ("paper", 3001, "1 to the 3000"), ("full", 0, "bins=0")],
)  # fmt: skip
def test_mistakes(binning, bins, message):
    with pytest.raises(UserError, match=message):
        MuseChannels(binning, bins)
