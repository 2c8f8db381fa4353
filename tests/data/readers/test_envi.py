import re

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from tests.data.cube_formats import envi

CUBE = np.random.default_rng(0).integers(1, 900, (5, 4, 12)).astype(np.int16)


@pytest.fixture
def header(tmp_path):
    return envi("bil")(tmp_path / "scene", CUBE)


def append(header, text):
    header.write_text(header.read_text() + text)


def change(header, field, value):
    header.write_text(re.sub(rf"^{field}\s*=.*$", f"{field} = {value}", header.read_text(), flags=re.MULTILINE))


def test_wavelengths_description_and_bad_bands(header, capsys):
    wavelengths = 400 + 10 * np.arange(12)
    good = np.ones(12, int)
    good[[0, 5, 6]] = 0
    append(header, f"wavelength units = Nanometers\nwavelength = {{\n {', '.join(map(str, wavelengths))}}}\n")
    append(header, f"bbl = {{ {', '.join(map(str, good))} }}\nsensor type = Unknown\n")
    with read_cube(header) as cube:
        assert cube.axis.unit == "nm"
        np.testing.assert_array_equal(cube.axis.values, wavelengths[good == 1])
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE[:, :, good == 1])
        assert cube.metadata["description"] == "made for a test"
    assert (
        "left out 3 of 12 channels, which the file marks as bad; --channels 0:12 keeps them" in capsys.readouterr().err
    )
    with read_cube(header, channels="0:12") as cube:
        np.testing.assert_array_equal(cube.read_rows(1, 3), CUBE[1:3])


def test_bad_bands_follow_wavelengths_that_step_back(header):
    wavelengths = np.array([1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11, 12]) / 10
    append(header, f"wavelength units = Micrometers\nwavelength = {{{', '.join(map(str, wavelengths))}}}\n")
    append(header, "bbl = {1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1}\n")
    with read_cube(header) as cube:
        np.testing.assert_array_equal(cube.axis.values, np.delete(wavelengths, 3))
        np.testing.assert_array_equal(cube.read_rows(0, 5), np.delete(CUBE, 3, axis=2))


def test_ignored_values_become_nan(tmp_path):
    array = CUBE.copy()
    array[1, 2] = -9999
    array[3, 0, 7] = -9999
    header = envi("bsq")(tmp_path / "scene", array)
    append(header, "data ignore value = -9999\n")
    with read_cube(header) as cube:
        assert cube.dtype == np.float32
        assert np.argwhere(cube.find_dead()).tolist() == [[1, 2], [3, 0]]
        np.testing.assert_array_equal(cube.read_rows(0, 5), np.where(array == -9999, np.nan, array))


def test_unit_that_is_not_understood(header, capsys):
    append(header, "wavelength units = Furlongs\nwavelength = {1,2,3,4,5,6,7,8,9,10,11,12}\n")
    with read_cube(header) as cube:
        assert cube.axis.unit == "channel"
    assert "'Furlongs', which is not understood" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("a.hdr", "a"), ("a.dat.hdr", "a.dat"), ("a.HDR", "a.IMG"), ("a.hdr", "a.bsq")])
def test_names_of_the_pair(header, names):
    header.with_suffix(".raw").rename(header.with_name(names[1]))
    header.rename(header.with_name(names[0]))
    for name in names:
        with read_cube(header.with_name(name)) as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


def test_two_files_of_numbers(header):
    other = header.with_suffix(".img")
    other.write_bytes(header.with_suffix(".raw").read_bytes())
    with pytest.raises(UserError, match=r"several files may hold its numbers: scene.img, scene.raw"):
        read_cube(header)
    with read_cube(other) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bands", "13", r"scene.raw: cut short or described wrongly: its header says \(5, 13, 4\) int16"),
        ("bands", "0", "which cannot be"),
        ("bands", "-3", "which cannot be"),
        ("bands", "many", "'bands' is 'many', expected a whole number"),
        ("interleave", "tiled", "interleave 'tiled' is none of bsq, bil, bip"),
        ("data type", "6", "data type 6 with byte order 0 is not read"),
        ("byte order", "2", "byte order 2 is not read"),
        ("header offset", "-1", "which cannot be"),
        ("file type", "ENVI Spectral Library", "a list of spectra, not a cube"),
    ],
)
def test_headers_that_cannot_be(header, field, value, message):
    change(header, field, value)
    with pytest.raises(UserError, match=message):
        read_cube(header)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bbl = {1, 0}\n", "'bbl' has 2 values for 12 bands"),
        ("bbl = {1,1,1,1,1,1,1,1,1,1,1,x}\n", "'bbl' is no list of numbers"),
        ("bbl = {0,0,0,0,0,0,0,0,0,0,0,0}\n", "marks every channel as bad"),
        ("file compression = 1\n", "compressed ENVI files are not read"),
        ("data ignore value = none\n", "damaged ENVI header"),
        ("wavelength = {1,2,three}\n", "'wavelength' is no list of numbers"),
    ],
)
def test_fields_that_cannot_be(header, text, message):
    append(header, text)
    with pytest.raises(UserError, match=message):
        read_cube(header)


def test_a_missing_field_is_named(header):
    header.write_text(header.read_text().replace("samples", "sampled"))
    with pytest.raises(UserError, match="'samples' is missing"):
        read_cube(header)


WAVELENGTHS = ", ".join(map(str, range(400, 412)))


@pytest.mark.parametrize("count", [11, 13, 1])
def test_wavelengths_of_the_wrong_length_say_both(header, count):
    append(header, f"wavelength units = nm\nwavelength = {{{', '.join(map(str, range(400, 400 + count)))}}}\n")
    with pytest.raises(
        UserError, match=rf"{count} positions in 'wavelength', the cube has 12 channels.*--axis channel"
    ):
        read_cube(header)
    with read_cube(header, axis="channel") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


@pytest.mark.parametrize(
    ("unit", "in_um"),
    [
        ("Micrometers", lambda x: x),
        ("Nanometers", lambda x: x / 1e3),
        ("Angstroms", lambda x: x / 1e4),
        ("Meters", lambda x: x * 1e6),
        ("m", lambda x: x * 1e6),
        ("mm", lambda x: x * 1e3),
        ("Centimeters", lambda x: x * 1e4),
        ("GHz", lambda x: 299792458 / (x * 1e9) * 1e6),
        ("MHz", lambda x: 299792458 / (x * 1e6) * 1e6),
    ],
)
def test_units_of_the_header(header, unit, in_um):
    append(header, f"wavelength units = {unit}\nwavelength = {{{WAVELENGTHS}}}\n")
    with read_cube(header) as cube:
        np.testing.assert_allclose(cube.axis.to("um").values, in_um(np.arange(400.0, 412.0)), rtol=1e-9)


def test_an_index_is_no_wavelength(header):
    append(header, f"wavelength units = Index\nwavelength = {{{WAVELENGTHS}}}\n")
    with read_cube(header) as cube:
        assert cube.axis.unit == "channel"


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_gains_and_offsets(tmp_path, interleave, capsys):
    header = envi(interleave)(tmp_path / "scene", CUBE)
    gain, offset = np.linspace(0.5, 2, 12), np.linspace(-3, 3, 12)
    append(header, f"data gain values = {{{', '.join(map(repr, gain.tolist()))}}}\n")
    append(
        header,
        f"data offset values = {{{', '.join(map(repr, offset.tolist()))}}}\ndata ignore value = {CUBE[0, 0, 0]}\n",
    )
    append(header, "reflectance scale factor = 100\n")  # of what they were made into, not of these numbers
    expected = np.where(CUBE[0, 0, 0] == CUBE, np.nan, CUBE * gain + offset)
    with read_cube(header, channels="0:12") as cube:
        assert cube.dtype == np.float32
        np.testing.assert_allclose(cube.read_rows(0, 5), expected, rtol=1e-6)
        np.testing.assert_allclose(cube.read_rows(2, 3), expected[2:3], rtol=1e-6)
    assert "gains, offsets" in capsys.readouterr().err


def test_reflectance_scale_factor(header):
    append(header, "data gain values = {1,1,1,1,1,1,1,1,1,1,1,1}\nreflectance scale factor = 10000\n")
    with read_cube(header) as cube:
        np.testing.assert_allclose(cube.read_rows(0, 5), CUBE / 10000, rtol=1e-6)


@pytest.mark.parametrize("text", ["data gain values = {1, 2}", "data offset values = {1, 2, 3}"])
def test_gains_of_the_wrong_length_say_both(header, text):
    append(header, text + "\n")
    with pytest.raises(UserError, match=r"has [23] values for 12 bands"):
        read_cube(header)


@pytest.mark.parametrize("text", ["reflectance scale factor = 0", "data gain values = {0,1,1,1,1,1,1,1,1,1,1,1}"])
def test_factors_that_cannot_be(header, text):
    append(header, text + "\n")
    with pytest.raises(UserError, match="reflectance scale factor"):
        read_cube(header)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i2", "u4", "f4", "f8"])
def test_no_byte_order(tmp_path, order, kind, capsys):
    cube = CUBE.astype(kind)
    header = envi("bil", order)(tmp_path / "scene", cube)
    header.write_text(re.sub(r"byte order.*\n", "", header.read_text()))
    with read_cube(header) as found:
        np.testing.assert_array_equal(found.read_rows(0, 5), cube)
    assert "no byte order" in capsys.readouterr().err


@pytest.mark.parametrize("opened", ["scene.raw", "scene.raw.hdr"])
def test_a_header_with_the_whole_name_goes_first(tmp_path, opened):
    """scene.hdr describes another file of the same stem."""
    other = envi("bip")(tmp_path / "scene", np.zeros((2, 2, 3), np.uint8))
    other.with_suffix(".raw").rename(tmp_path / "scene.dat")
    made = envi("bil")(tmp_path / "b", CUBE)
    made.with_suffix(".raw").rename(tmp_path / "scene.raw")
    made.rename(tmp_path / "scene.raw.hdr")
    with read_cube(tmp_path / opened) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
    with read_cube(tmp_path / "scene.hdr") as cube:
        assert cube.shape == (2, 2, 3)


def test_wavenumbers(header):
    append(header, "wavelength units = Wavenumber\nwavelength = {1,2,3,4,5,6,7,8,9,10,11,13}\n")
    with read_cube(header) as cube:
        assert cube.axis.unit == "1/cm"
        assert cube.axis.values[-1] == 13


def test_numbers_with_an_unusual_extension_are_known_by_their_size(header):
    header.with_suffix(".raw").rename(header.with_suffix(".rad"))
    header.with_suffix(".txt").write_text("notes")
    with read_cube(header) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
    header.with_suffix(".rad").write_bytes(header.with_suffix(".rad").read_bytes()[:-1])
    with pytest.raises(UserError, match="the file with the numbers is missing"):
        read_cube(header)


def test_comments_may_have_braces(header):
    append(header, "; written by {a program\nwavelength units = nm\nwavelength = {1,2,3,4,5,6,7,8,9,10,11,13}\n")
    with read_cube(header) as cube:
        assert cube.axis.values[-1] == 13


def test_gains_of_reflectance(header):
    gains = ",".join(["0.0001"] * 12)
    append(header, f"data reflectance gain values = {{{gains}}}\n")
    with read_cube(header) as cube:
        np.testing.assert_allclose(cube.read_rows(0, 5), CUBE * 1e-4, rtol=1e-6)


def test_wavelengths_in_the_names_of_the_bands(header):
    names = ", ".join(f"Band {i} ({400 + 10 * i}.5 nm)" for i in range(12))
    append(header, f"band names = {{{names}}}\n")
    with read_cube(header) as cube:
        np.testing.assert_allclose(cube.axis.to("nm").values, 400.5 + 10 * np.arange(12))
