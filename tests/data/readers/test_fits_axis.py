"""Spectral axes of FITS cubes as the standard, IRAF and the pipelines of instruments write them, by closed forms."""

import numpy as np
import pytest
from astropy import units
from astropy.io import fits

from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from deepspec.reporting.exports import celestial_header

IMAGE = np.random.default_rng(0).normal(10, 1, (50, 6, 7)).astype(np.float32)
I_C = np.arange(50)
LINEAR = 7300 + 1.25 * I_C
SKY = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRVAL1": 10.0, "CRVAL2": -20.0,
    "CRPIX1": 3.0, "CRPIX2": 3.0, "CD1_1": -1e-5, "CD2_2": 1e-5, "CD1_2": 0.0, "CD2_1": 0.0,
}  # fmt: skip
STEP = {"CRVAL3": 7300.0, "CRPIX3": 1.0, "CD3_3": 1.25}


def write(tmp_path, cards, image=IMAGE, more=(), name="DATA"):
    header = fits.Header()
    for key, value in cards.items():
        header[key] = value
    path = tmp_path / "cube.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, header, name), *more]).writeto(path)
    return path


def axis_of(path, **options):
    with read_cube(path, **options) as cube:
        assert cube.shape == (6, 7, 50)
        np.testing.assert_array_equal(cube.read_rows(0, 6), IMAGE.transpose(1, 2, 0))
        return cube.axis


@pytest.mark.parametrize("sky", [{}, SKY])
@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("WAVE", "Angstrom"),
        ("AWAV", "Angstrom"),
        ("LINEAR", "Angstrom"),
        ("LAMBDA", "Angstrom"),
        ("LINEAR", "ANGSTROM"),
        ("LAMBDA", "angstroms"),
        ("WAVELENGTH", "Angstrom"),
        ("Wavelength", "Angstrom"),
        ("AWAV-LIN", "Angstrom"),
        ("PIXEL", "Angstrom"),  # the unit says what it is
        ("", "Angstrom"),
    ],
)
def test_linear_wavelengths(tmp_path, kind, unit, sky):
    axis = axis_of(write(tmp_path, sky | STEP | {"CTYPE3": kind, "CUNIT3": unit}))
    assert axis.unit == "angstrom"
    np.testing.assert_allclose(axis.values, LINEAR, rtol=1e-9)


@pytest.mark.parametrize(
    ("unit", "first", "step", "factor"),
    [("nm", 730.0, 0.125, 10), ("um", 0.73, 1.25e-4, 1e4), ("m", 7.3e-7, 1.25e-10, 1e10), ("0.1 nm", 7300.0, 1.25, 1)],
)
def test_units_of_a_linear_axis(tmp_path, unit, first, step, factor):
    cards = {"CTYPE3": "LAMBDA", "CUNIT3": unit, "CRVAL3": first, "CRPIX3": 1.0, "CDELT3": step}
    axis = axis_of(write(tmp_path, cards))
    np.testing.assert_allclose(axis.to("angstrom").values, (first + step * I_C) * factor, rtol=1e-9)


def test_energies_and_frequencies(tmp_path):
    axis = axis_of(
        write(tmp_path, {"CTYPE3": "ENERGY", "CUNIT3": "eV", "CRVAL3": 500.0, "CRPIX3": 1.0, "CDELT3": 10.0})
    )
    assert axis.unit == "keV"
    np.testing.assert_allclose(axis.values, 0.5 + 0.01 * I_C)
    (tmp_path / "cube.fits").unlink()
    axis = axis_of(write(tmp_path, {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 4e14, "CRPIX3": 1.0, "CDELT3": 1e12}))
    np.testing.assert_allclose(axis.to("angstrom").values, 299792458e10 / (4e14 + 1e12 * I_C))


@pytest.mark.parametrize(("kind", "rule"), [("VRAD", units.doppler_radio), ("VOPT", units.doppler_optical)])
def test_velocities_with_a_rest_frequency(tmp_path, kind, rule):
    cards = {"CTYPE3": kind, "CUNIT3": "m/s", "CRVAL3": 1e5, "CRPIX3": 1.0, "CDELT3": 1e3, "RESTFRQ": 1.42e9}
    axis = axis_of(write(tmp_path, cards))
    speeds = (1e5 + 1e3 * I_C) * units.m / units.s
    expected = speeds.to(units.Hz, rule(1.42e9 * units.Hz)).to(units.AA, units.spectral())
    np.testing.assert_allclose(axis.values, expected.value, rtol=1e-12)


@pytest.mark.parametrize("kind", ["LINEAR", "LAMBDA", "WAVE", "", "WAVELENGTH"])
def test_logarithms_by_iraf(tmp_path, kind):
    cards = {"CTYPE3": kind, "CRVAL3": 3.5589, "CRPIX3": 1.0, "CD3_3": 1e-4, "DC-FLAG": 1, "DISPAXIS": 3}
    np.testing.assert_allclose(axis_of(write(tmp_path, cards)).values, 10 ** (3.5589 + 1e-4 * I_C), rtol=1e-12)


@pytest.mark.parametrize("spelling", [{"CTYPE3": "LOGLAM"}, {"CTYPE3": "LAMBDA", "CUNIT3": "log10(Angstrom)"}])
def test_other_spellings_of_logarithms(tmp_path, spelling):
    cards = spelling | {"CRVAL3": 3.5589, "CRPIX3": 1.0, "CDELT3": 1e-4}
    np.testing.assert_allclose(axis_of(write(tmp_path, cards)).values, 10 ** (3.5589 + 1e-4 * I_C), rtol=1e-12)


def test_log_sampling_of_the_standard(tmp_path):
    cards = {"CTYPE3": "WAVE-LOG", "CUNIT3": "Angstrom", "CRVAL3": 3600.0, "CRPIX3": 1.0, "CDELT3": 0.8}
    np.testing.assert_allclose(axis_of(write(tmp_path, cards)).values, 3600 * np.exp(0.8 * I_C / 3600), rtol=1e-9)


def test_iraf_attributes_give_the_unit(tmp_path, capsys):
    cards = STEP | {"CTYPE3": "LINEAR", "WAT3_001": "wtype=linear label=Wavelength units=Angstroms"}
    axis = axis_of(write(tmp_path, cards))
    assert axis.unit == "angstrom"
    np.testing.assert_allclose(axis.values, LINEAR)


def test_a_linear_axis_without_a_unit_is_guessed_and_said(tmp_path, capsys):
    axis = axis_of(write(tmp_path, STEP | {"CTYPE3": "LINEAR"}))
    assert axis.unit == "angstrom"
    assert "--axis UNIT" in capsys.readouterr().err


def test_slices_that_are_only_counted(tmp_path, capsys):
    cards = {"CTYPE3": "LINEAR", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0}
    assert axis_of(write(tmp_path, cards)).unit == "channel"
    assert "channels are counted" in capsys.readouterr().err


def test_the_spectral_axis_comes_first_in_the_header(tmp_path):
    cards = {"CTYPE1": "LAMBDA", "CUNIT1": "Angstrom", "CRVAL1": 7300.0, "CRPIX1": 1.0, "CDELT1": 1.25}
    path = write(tmp_path, cards, np.ascontiguousarray(IMAGE.transpose(1, 2, 0)))
    np.testing.assert_allclose(axis_of(path).values, LINEAR)


def test_tabulated_wavelengths(tmp_path):
    """-TAB: the coordinates lie in a table, as JWST writes them for its MRS cubes."""
    values = 5000 + 3.0 * I_C**1.1
    table = fits.BinTableHDU.from_columns(
        [fits.Column("wavelength", "50D", "Angstrom", dim="(1,50)", array=values.reshape(1, 50, 1))], name="WCS-TABLE"
    )
    cards = SKY | {
        "CTYPE3": "WAVE-TAB", "CUNIT3": "Angstrom", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0,
        "PS3_0": "WCS-TABLE", "PS3_1": "wavelength", "PV3_1": 1, "PV3_2": 1, "PV3_3": 1,
    }  # fmt: skip
    path = write(tmp_path, cards, more=[table])
    np.testing.assert_allclose(axis_of(path).values, values, rtol=1e-9)
    assert celestial_header(path, (6, 7))["CTYPE1"] == "RA---TAN"


@pytest.mark.parametrize(
    ("unit", "values", "name", "expected"),
    [
        ("Angstrom", LINEAR, "WAVE", LINEAR),
        ("um", LINEAR / 1e4, "WAVELENGTH", LINEAR),
        ("", np.log10(LINEAR), "LOGLAM", LINEAR),
        ("", LINEAR, "LAMBDA", LINEAR),
    ],
)
@pytest.mark.parametrize("kind", ["image", "column", "row"])
def test_wavelengths_in_another_unit_of_the_file(tmp_path, unit, values, name, expected, kind):
    header = fits.Header([("BUNIT", unit)]) if unit else None
    more = {
        "image": lambda: fits.ImageHDU(values, header, name),
        "column": lambda: fits.BinTableHDU.from_columns([fits.Column(name.lower(), "D", unit or None, array=values)]),
        "row": lambda: fits.BinTableHDU.from_columns([fits.Column(name, "50D", unit or None, array=values[None])]),
    }[kind]()
    path = write(tmp_path, SKY, more=[more], name="FLUX")
    np.testing.assert_allclose(axis_of(path).to("angstrom").values, expected, rtol=1e-9)


def test_a_list_of_the_wrong_length_says_both(tmp_path):
    path = write(tmp_path, {}, more=[fits.ImageHDU(LINEAR[:49], name="WAVE")])
    with pytest.raises(UserError, match="49 positions in 'WAVE', the cube has 50 channels"):
        read_cube(path)
    assert axis_of(path, axis="channel").unit == "channel"


@pytest.mark.parametrize("kind", ["LINEAR", "LAMBDA", "WAVE", "WAVE-LOG", "NONSENSE", "WAVE-TAB"])
def test_the_sky_is_kept_in_exports(tmp_path, kind):
    path = write(tmp_path, SKY | STEP | {"CTYPE3": kind, "CUNIT3": "Angstrom"})
    for extension in (None, "DATA", "1"):
        header = celestial_header(path, (6, 7), extension)
        assert (header["CTYPE1"], header["CRVAL2"]) == ("RA---TAN", -20.0)


def test_stokes_i_unless_asked(tmp_path, capsys):
    stokes = np.stack([IMAGE + 100 * i for i in range(3)])
    cards = {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1e9, "CRPIX3": 1.0, "CDELT3": 1e6, "CTYPE4": "STOKES"}
    path = write(tmp_path, cards | {"CRVAL4": 2.0, "CRPIX4": 2.0, "CDELT4": 1.0}, stokes)  # I, Q, U
    with read_cube(path) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), IMAGE.transpose(1, 2, 0))
    assert "took Stokes I of 3 parameters; choose with --detector NUMBER" in capsys.readouterr().err
    with read_cube(path, detector=2) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), (IMAGE + 200).transpose(1, 2, 0))


def test_a_single_stokes_parameter_is_dropped(tmp_path):
    cards = {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1e9, "CRPIX3": 1.0, "CDELT3": 1e6, "CTYPE4": "STOKES"}
    assert axis_of(write(tmp_path, cards, IMAGE[None])).channels == 50


LIGHT = 299792458.0


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"CTYPE3": "WAVE", "CUNIT3": "MICRON", "CRVAL3": 0.73, "CD3_3": 1.25e-4}, LINEAR),
        ({"CTYPE3": "WAVE", "CUNIT3": "um", "CRVAL3": 0.73, "CDELT3": 1.0, "PC3_3": 1.25e-4}, LINEAR),
        ({"CTYPE3": "AWAV", "CUNIT3": "nm", "CRVAL3": 730.0, "CDELT3": 0.125}, LINEAR),
        ({"CTYPE3": "FREQ-LSR", "CRVAL3": 115e9, "CDELT3": 1e7}, LIGHT / (115e9 + 1e7 * I_C) * 1e10),
        ({"CTYPE3": "WAVN", "CUNIT3": "1/cm", "CRVAL3": 4000.0, "CDELT3": 10.0}, 1e8 / (4000 + 10 * I_C)),
        ({"CTYPE3": "WAVENUMBER", "CUNIT3": "1/cm", "CRVAL3": 4000.0, "CDELT3": 10.0}, 1e8 / (4000 + 10 * I_C)),
        ({"CTYPE3": "ZOPT", "CRVAL3": 0.1, "CDELT3": 0.001, "RESTWAV": 6.5628e-7}, 6562.8 * (1.1 + 0.001 * I_C)),
        ({"CTYPE3": "AWAV-LOG", "CUNIT3": "nm", "CRVAL3": 360.0, "CDELT3": 0.08}, 3600 * np.exp(0.08 * I_C / 360)),
    ],
)
def test_other_quantities_and_units(tmp_path, cards, expected):
    axis = axis_of(write(tmp_path, cards | {"CRPIX3": 1.0}))
    np.testing.assert_allclose(axis.to("angstrom").values, expected, rtol=1e-9)


def test_velocities_as_parts_of_c(tmp_path):
    cards = {"CTYPE3": "BETA", "CRVAL3": 0.1, "CRPIX3": 1.0, "CDELT3": 1e-3, "RESTWAV": 6.5628e-7}
    speeds = (0.1 + 1e-3 * I_C) * LIGHT * units.m / units.s
    expected = speeds.to(units.AA, units.doppler_relativistic(6562.8 * units.AA)).value
    np.testing.assert_allclose(axis_of(write(tmp_path, cards)).values, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["ZOPT", "BETA", "VRAD"])
def test_what_is_relative_to_an_unknown_line_is_counted(tmp_path, kind, capsys):
    cards = {"CTYPE3": kind, "CRVAL3": 0.1, "CRPIX3": 1.0, "CDELT3": 1e-3}
    assert axis_of(write(tmp_path, cards)).unit == "channel"
    assert "channels" in capsys.readouterr().err


@pytest.mark.parametrize("cards", [{}, {"CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0}])
def test_a_spectral_name_without_numbers_is_no_axis(tmp_path, cards):
    """wcslib takes CTYPE3 = WAVE alone for wavelengths of one metre, two metres and so on."""
    axis = axis_of(write(tmp_path, {"CTYPE3": "WAVE"} | cards))
    assert axis.unit == "channel"
    (tmp_path / "cube.fits").unlink()
    listed = fits.ImageHDU(LINEAR, fits.Header({"BUNIT": "Angstrom"}), "WAVE")
    np.testing.assert_allclose(axis_of(write(tmp_path, {"CTYPE3": "WAVE"} | cards, more=[listed])).values, LINEAR)


def test_a_list_beside_goes_before_a_straight_line_that_differs(tmp_path, capsys):
    bent = LINEAR + 0.01 * I_C**2
    listed = fits.ImageHDU(bent / 10, fits.Header({"BUNIT": "nm"}), "WAVELENGTH")
    cards = STEP | {"CTYPE3": "WAVE", "CUNIT3": "Angstrom"}
    np.testing.assert_allclose(axis_of(write(tmp_path, cards, more=[listed])).to("angstrom").values, bent)
    assert "is not what the world coordinates WAVE of the header say" in capsys.readouterr().err
    (tmp_path / "cube.fits").unlink()
    same = fits.ImageHDU(LINEAR / 10, fits.Header({"BUNIT": "nm"}), "WAVELENGTH")
    np.testing.assert_allclose(axis_of(write(tmp_path, cards, more=[same])).values, LINEAR)
    assert "header say" not in capsys.readouterr().err


def test_a_list_without_a_unit_that_differs_is_said(tmp_path, capsys):
    listed = fits.ImageHDU(LINEAR * 1.2, name="WAVELENGTH")
    cards = STEP | {"CTYPE3": "WAVE", "CUNIT3": "Angstrom"}
    np.testing.assert_allclose(axis_of(write(tmp_path, cards, more=[listed])).values, LINEAR)
    assert "has no unit, and in none" in capsys.readouterr().err


def test_borders_of_channels_in_a_table(tmp_path):
    """EBOUNDS of the OGIP standard, as gamma-ray cubes have it."""
    low = 0.1 * 1.1**I_C
    columns = [fits.Column("E_MIN", "D", "MeV", array=low), fits.Column("E_MAX", "D", "MeV", array=1.1 * low)]
    path = write(tmp_path, SKY, more=[fits.BinTableHDU.from_columns(columns, name="EBOUNDS")])
    axis = axis_of(path)
    assert axis.unit == "keV"
    np.testing.assert_allclose(axis.values, 1050 * low)


def test_frequencies_in_a_table(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("Frequency", "D", "GHz", array=115 + 0.01 * I_C)])
    np.testing.assert_allclose(
        axis_of(write(tmp_path, SKY, more=[table])).to("angstrom").values, LIGHT * 10 / (115 + 0.01 * I_C)
    )


@pytest.mark.parametrize("kind", ["WAVE", "AWAV"])
@pytest.mark.parametrize("factor", [1.0, 0.1, 1e-4])
def test_wavelengths_without_a_unit_are_no_kilometres(tmp_path, kind, factor, capsys):
    """The standard takes metres; pipelines that leave the unit out write angstrom, nm or um."""
    cards = SKY | {"CTYPE3": kind, "CRVAL3": 7300 * factor, "CRPIX3": 1.0, "CD3_3": 1.25 * factor}
    np.testing.assert_allclose(axis_of(write(tmp_path, cards)).to("angstrom").values, LINEAR, rtol=1e-9)
    assert "choose the unit with --axis UNIT" in capsys.readouterr().err


def test_wavelengths_without_a_unit_in_metres(tmp_path):
    cards = {"CTYPE3": "WAVE", "CRVAL3": 7.3e-7, "CRPIX3": 1.0, "CDELT3": 1.25e-10}
    np.testing.assert_allclose(axis_of(write(tmp_path, cards)).to("angstrom").values, LINEAR, rtol=1e-9)


def test_energies_and_frequencies_without_a_unit(tmp_path, capsys):
    axis = axis_of(write(tmp_path, {"CTYPE3": "ENER", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 0.01}))
    np.testing.assert_allclose(axis.to("keV").values, 1 + 0.01 * I_C)
    (tmp_path / "cube.fits").unlink()
    axis = axis_of(write(tmp_path, {"CTYPE3": "FREQ", "CRVAL3": 115.0, "CRPIX3": 1.0, "CDELT3": 0.01}))
    assert axis.unit == "channel"
    assert "115.49 Hz is no frequency" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["WAVE", "AWAV", "LAMBDA"])
def test_a_step_beside_a_matrix_for_the_sky_alone(tmp_path, kind):
    """wcslib takes 1 for the CD3_3 that is missing, whatever CDELT3 says."""
    cards = SKY | {"CTYPE3": kind, "CUNIT3": "nm", "CRVAL3": 730.0, "CRPIX3": 1.0, "CDELT3": 0.125}
    path = write(tmp_path, cards)
    np.testing.assert_allclose(axis_of(path).to("angstrom").values, LINEAR, rtol=1e-9)
    assert celestial_header(path, (6, 7))["CTYPE1"] == "RA---TAN"


@pytest.mark.parametrize(("factor", "unit"), [(1e9, "angstrom"), (1.0, "channel")])
def test_frequencies_in_a_list_without_a_unit(tmp_path, factor, unit, capsys):
    listed = fits.ImageHDU(factor * (115 + 0.01 * I_C), name="FREQ")
    axis = axis_of(write(tmp_path, SKY, more=[listed]))
    assert axis.unit == unit
    if unit == "channel":
        assert "unknown unit of frequency" in capsys.readouterr().err
    else:
        np.testing.assert_allclose(axis.values, LIGHT * 10 / (115 + 0.01 * I_C))
