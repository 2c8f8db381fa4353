import json

import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.axis_choice import read_axis
from deepspec.errors import UserError


@pytest.mark.parametrize(
    ("unit", "name", "factor"),
    [
        ("A", "angstrom", 1),
        ("Angstrom", "angstrom", 1),
        ("NM", "nm", 1),
        ("micrometers", "um", 1),
        ("µm", "um", 1),
        ("m", "um", 1e6),
        ("eV", "keV", 1e-3),
        ("Channel", "channel", 1),
        ("cm-1", "1/cm", 1),
        ("cm^{-1}", "1/cm", 1),
        ("cm⁻¹", "1/cm", 1),
        ("Wavenumber", "1/cm", 1),
        ("Raman shift / cm-1", "1/cm", 1),
        ("Raman shift (1/cm)", "1/cm", 1),
        ("m-1", "1/cm", 0.01),
    ],
)
def test_units_are_normalised(unit, name, factor):
    axis = SpectralAxis(np.array([1.0, 2.0, 4.0]), unit)
    assert axis.unit == name
    np.testing.assert_allclose(axis.values, np.array([1.0, 2.0, 4.0]) * factor)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 3.0, 2.0], "rise or fall.*channel 1 is at 3 nm, channel 2 at 2"),
        ([3.0, 2.0, 2.0], "rise or fall"),
        ([1.0, np.nan], "NaN"),
        ([], "list of channel positions"),
        ([[1.0, 2.0]], r"got shape \(1, 2\)"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        SpectralAxis(np.array(values), "nm")


def test_unknown_unit_names_the_known_ones():
    with pytest.raises(UserError, match=r"unknown unit 'furlong'.*keV"):
        SpectralAxis(np.arange(3), "furlong")


def test_values_cannot_be_changed_and_are_a_copy():
    source = np.arange(3.0)
    axis = SpectralAxis(source, "nm")
    source[0] = -1
    assert axis.values[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        axis.values[0] = 5


def test_edges_of_even_uneven_falling_and_single_channels():
    np.testing.assert_allclose(SpectralAxis.linear(0.5, 1, 4, "keV").edges(), [0, 1, 2, 3, 4])
    np.testing.assert_allclose(SpectralAxis(np.array([1.0, 2, 4]), "nm").edges(), [0.5, 1.5, 3, 5])
    np.testing.assert_allclose(SpectralAxis(np.array([3.0, 2, 1]), "nm").edges(), [3.5, 2.5, 1.5, 0.5])
    np.testing.assert_allclose(SpectralAxis(np.array([7.0]), "channel").edges(), [6.5, 7.5])
    assert (SpectralAxis(np.array([3.0, 2, 1]), "nm").widths() > 0).all()


def test_labels():
    assert SpectralAxis.linear(0, 1, 2, "eV").label == "energy (keV)"
    assert SpectralAxis.linear(0, 1, 2, "A").label == "wavelength (angstrom)"
    assert SpectralAxis.linear(0, 1, 2, "channel").label == "channel"


def test_parse_first_and_last_centre():
    axis = SpectralAxis.parse("0.5:38.5:keV", 77)
    assert (axis.channels, axis.unit) == (77, "keV")
    np.testing.assert_allclose(axis.values[[0, 1, -1]], [0.5, 1.0, 38.5])


def test_parse_a_file_of_values(tmp_path):
    np.savetxt(tmp_path / "wl.txt", [1.0, 2.5, 3.0])
    np.save(tmp_path / "wl.npy", np.array([[1.0, 2.5, 3.0]]))
    for name in ("wl.txt", "wl.npy"):
        np.testing.assert_allclose(read_axis(f"{tmp_path / name}:um", 3).values, [1, 2.5, 3])
    with pytest.raises(UserError, match=r"expected 4 values.*found shape \(3,\)"):
        read_axis(f"{tmp_path / 'wl.txt'}:um", 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("38", "expected FIRST:LAST:UNIT"),
        ("0:38:lightyear", "unknown unit"),
        ("0:nan:keV", "finite"),
        ("missing.txt:nm", "no such file"),
        ("5:5:nm", "rise or fall"),
    ],
)
def test_parse_errors(text, message):
    with pytest.raises(UserError, match=message):
        read_axis(text, 8)


def test_matches_within_a_tenth_of_a_channel_and_across_units():
    axis = SpectralAxis.linear(400, 2, 10, "nm")
    assert axis.matches(SpectralAxis.linear(400.19, 2, 10, "nm"))
    assert not axis.matches(SpectralAxis.linear(400.21, 2, 10, "nm"))
    assert axis.matches(SpectralAxis.linear(400.21, 2, 10, "nm"), tolerance=0.2)
    assert axis.matches(SpectralAxis.linear(4000, 20, 10, "angstrom"))
    assert axis.difference(axis) is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (SpectralAxis.linear(400, 2, 11, "nm"), "10 channels against 11"),
        (SpectralAxis.linear(400, 2, 10, "keV"), "nm against keV"),
        (SpectralAxis.linear(400, 2.1, 10, "nm"), "channel 9 is at 418 against 418.9 nm, 0.45 channel widths"),
    ],
)
def test_difference_says_how(other, message):
    axis = SpectralAxis.linear(400, 2, 10, "nm")
    assert message in axis.difference(other)
    assert not axis.matches(other)


def test_to_converts_wavelengths_only():
    np.testing.assert_allclose(SpectralAxis.linear(0.4, 0.1, 2, "um").to("A").values, [4000, 5000])
    with pytest.raises(UserError, match="keV cannot be given in nm"):
        SpectralAxis.linear(1, 1, 2, "keV").to("nm")


def test_dict_round_trip_is_plain():
    axis = SpectralAxis(np.array([1.0, 2.0, 4.0]), "keV")
    state = json.loads(json.dumps(axis.to_dict()))
    again = SpectralAxis.from_dict(state)
    assert again.unit == "keV"
    np.testing.assert_array_equal(again.values, axis.values)


def test_slice():
    axis = SpectralAxis.linear(0, 0.5, 10, "keV").slice(2, 5)
    np.testing.assert_allclose(axis.values, [1, 1.5, 2])


def test_a_wavenumber_is_no_wavelength():
    """A Raman shift of 1,000 / cm is not light of 10 micrometres, so neither becomes the other."""
    axis = SpectralAxis.parse("400:4000:cm-1", 10)
    assert axis.label == "wavenumber (1/cm)"
    assert SpectralAxis.from_dict(axis.to_dict()).matches(axis)
    with pytest.raises(UserError, match="in 1/cm cannot be given in nm"):
        axis.to("nm")
