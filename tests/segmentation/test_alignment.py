import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube
from deepspec.errors import UserError
from deepspec.segmentation import segment_cube
from tests.support.planted import AXIS, LinearModel, planted_cube


def test_an_axis_of_other_channels_is_refused_by_name():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    other = SpectralCube.from_array(cube.read_rows(0, 24), SpectralAxis.linear(1.0, 0.26, 60, "keV"))
    with pytest.raises(UserError, match=r"60 channels, 1 to 15.75 keV, got 60 channels, 1 to 16.34 keV.*--rebin true"):
        segment_cube(other, model, clusters="refit")


def test_rebinned_cube_keeps_counts_and_labels():
    cube, truth = planted_cube()
    model = LinearModel(cube)
    # The same spectra in 120 half as wide channels, each count on one side at random, and falling.
    fine = np.zeros((24, 30, 120), np.uint16)
    fine[..., ::2] = np.random.default_rng(1).binomial(cube.read_rows(0, 24), 0.5)
    fine[..., 1::2] = cube.read_rows(0, 24) - fine[..., ::2]
    axis = SpectralAxis.linear(1.0 - 0.0625, 0.125, 120, "keV")
    falling = SpectralCube.from_array(fine[..., ::-1], SpectralAxis(axis.values[::-1], "keV"))
    found = segment_cube(falling, model, clusters="refit", k=(3, 6), rebin=True)
    plain = segment_cube(cube, model, clusters="refit", k=(3, 6))
    np.testing.assert_array_equal(found.labels, 3 - truth)
    np.testing.assert_allclose(found.mean_input, plain.mean_input, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.mean_raw[:, ::-1].reshape(4, 60, 2).sum(2), plain.mean_raw, rtol=1e-4)
    assert found.axis.channels == 120
    np.testing.assert_allclose(found.decoded_axis.values, AXIS.values)
    assert "rebinned from 120 channels" in found.notes[0]
    assert "keeping counts" in found.notes[0]


def test_channels_outside_the_cubes_range_are_zero_and_that_is_said():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    part = SpectralCube.from_array(cube.read_rows(0, 24)[..., 10:50], AXIS.slice(10, 50))
    found = segment_cube(part, model, clusters="refit", k=(3, 6), rebin=True)
    assert "20 of the checkpoint's 60 channels lie outside the cube's range: set to zero" in found.notes[1]
    assert (found.mean_input[:, :10] == 0).all()
    assert (found.mean_input[:, 50:] == 0).all()
    np.testing.assert_allclose(found.mean_input[:, 10:50], found.mean_raw, rtol=1e-4)


def test_rebin_does_not_join_what_has_nothing_in_common():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    x = cube.read_rows(0, 24)
    for axis, message in (
        (SpectralAxis.linear(400, 5, 60, "nm"), "measure different things"),
        (SpectralAxis.linear(40, 1, 60, "keV"), "do not overlap"),
        (SpectralAxis.linear(0, 1, 50, "channel"), "--axis FIRST:LAST:UNIT"),
    ):
        other = SpectralCube.from_array(x[..., : axis.channels], axis)
        with pytest.raises(UserError, match=message):
            segment_cube(other, model, rebin=True, clusters="refit")


def test_a_cube_without_calibration_matches_by_its_number_of_channels():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    found = segment_cube(SpectralCube.from_array(cube.read_rows(0, 24)), model, clusters="refit", k=(3, 6))
    assert found.axis.unit == found.decoded_axis.unit == "keV"
    assert "number of channels alone" in found.notes[0]
    uncalibrated = LinearModel(cube, axis=SpectralAxis.linear(0, 1, 60, "channel"))
    assert segment_cube(cube, uncalibrated, clusters="refit", k=(3, 6)).decoded_axis.unit == "keV"
