import re

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from tests.data.cube_formats import ripple

CUBE = np.random.default_rng(0).integers(0, 900, (5, 4, 12)).astype(np.uint16)


@pytest.fixture
def header(tmp_path):
    return ripple("image")(tmp_path / "map", CUBE)


def append(header, text):
    header.write_text(header.read_text() + text)


@pytest.mark.parametrize(
    ("text", "first", "step"),
    [
        ("ev-per-chan\t10\n", 0, 0.01),
        ("depth-scale\t20.0\ndepth-origin\t-470\ndepth-units\teV\nev-per-chan\t10\n", -0.47, 0.02),
        ("depth-scale\t0.01\ndepth-units\tkeV\n", 0, 0.01),
    ],
)
def test_axis(header, text, first, step):
    append(header, text)
    with read_cube(header) as cube:
        assert cube.axis.unit == "keV"
        np.testing.assert_allclose(cube.axis.values, first + step * np.arange(12), atol=1e-12)


def test_no_axis_and_metadata(header):
    append(header, "title\tA map of nothing\nbeam-energy\t20\n")
    with read_cube(header) as cube:
        assert cube.axis.unit == "channel"
        assert cube.metadata == {"title": "A map of nothing", "beam-energy": "20"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("depth", "13", r"map.raw: cut short or described wrongly: its header says \(13, 5, 4\) uint16"),
        ("width", "0", "which cannot be"),
        ("height", "x", "'height' is 'x', expected a whole number"),
        ("data-type", "complex", "'data-type' is 'complex', expected one of signed, unsigned, float"),
        ("data-length", "3", "'data-length' is '3', expected one of 1, 2, 4, 8"),
        ("byte-order", "odd", "'byte-order' is 'odd'"),
        ("record-by", "row", "'record-by' is 'row', expected one of image, vector, dont-care"),
        ("offset", "-4", "which cannot be"),
    ],
)
def test_headers_that_cannot_be(header, field, value, message):
    header.write_text(re.sub(rf"^{field}\t.*$", f"{field}\t{value}", header.read_text(), flags=re.MULTILINE))
    with pytest.raises(UserError, match=message):
        read_cube(header)


@pytest.mark.parametrize("text", ["ev-per-chan\t0\n", "ev-per-chan\tnan\n"])
def test_an_axis_that_cannot_be(header, text):
    append(header, text)
    with pytest.raises(UserError, match=r"'ev-per-chan' is .*, no axis"):
        read_cube(header)


def test_floats_have_four_or_eight_bytes(tmp_path):
    header = ripple("vector")(tmp_path / "map", CUBE.astype(np.float32))
    header.write_text(header.read_text().replace("data-length\t4", "data-length\t2"))
    with pytest.raises(UserError, match="'data-length' is '2', expected one of 4, 8"):
        read_cube(header)


@pytest.mark.parametrize("unit", ["<undefined>", "furlong"])
def test_a_unit_that_is_none_is_said(header, unit, capsys):
    append(header, f"depth-units\t{unit}\ndepth-scale\t0.02\ndepth-origin\t-0.96\n")
    with read_cube(header) as cube:
        assert cube.axis.unit == "channel"
    assert f"'{unit}', which is not understood: channels are counted" in capsys.readouterr().err
    with read_cube(header, axis="keV") as cube:
        np.testing.assert_allclose(cube.axis.values, -0.96 + 0.02 * np.arange(12))


def test_electron_volts_per_channel_go_before_no_unit(header):
    append(header, "depth-units\t<undefined>\ndepth-scale\t0.02\nev-per-chan\t10\n")
    with read_cube(header) as cube:
        np.testing.assert_allclose(cube.axis.values, 0.01 * np.arange(12))
