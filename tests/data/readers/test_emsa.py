import numpy as np
import pytest

from deepspec.data.axis_choice import line_energy
from deepspec.data.cube import read_cube
from deepspec.data.shards.manifest import ShardSet
from deepspec.errors import UserError
from deepspec.ingest import main
from tests.data.cube_formats import emsa

SPECTRUM = np.random.default_rng(0).poisson(5, (1, 1, 70))


@pytest.fixture
def path(tmp_path):
    return emsa(tmp_path / "a", SPECTRUM)


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_counts_axis_and_metadata(path):
    with read_cube(path) as cube:
        assert cube.shape == (1, 1, 70)
        assert cube.dtype == np.uint32
        np.testing.assert_array_equal(cube.read_rows(0, 1), SPECTRUM)
        assert cube.axis.unit == "keV"
        np.testing.assert_allclose(cube.axis.values, -0.5 + 0.02 * np.arange(70))
        assert cube.metadata == {"TITLE": "test", "LIVETIME": 12.5}


def test_electronvolts_and_fractions(path):
    replace(path, "keV", "eV")
    replace(path, ".0,", ".25,")
    with read_cube(path) as cube:
        assert cube.dtype == np.float64
        np.testing.assert_allclose(cube.axis.values, (-0.5 + 0.02 * np.arange(70)) / 1000)


def test_pairs_of_x_and_y(tmp_path):
    x = 520 + 3.5 * np.arange(20)
    path = tmp_path / "a.msa"
    body = "\n".join(f"{a}, {b}" for a, b in zip(x, SPECTRUM[0, 0], strict=False))
    path.write_text(
        f"#FORMAT : EMSA/MAS Spectral Data File\n#NPOINTS : 20\n#DATATYPE : XY\n#XUNITS : eV\n"
        f"#SPECTRUM : \n{body}\n#ENDOFDATA :\n"
    )
    with read_cube(path) as cube:
        np.testing.assert_allclose(cube.axis.values, x / 1000)
        np.testing.assert_array_equal(cube.read_rows(0, 1)[0, 0], SPECTRUM[0, 0, :20])


def test_more_values_than_announced_are_taken_and_said(path, capsys):
    replace(path, "70.", "69.")
    with read_cube(path) as cube:
        assert cube.shape == (1, 1, 70)
    assert "NPOINTS is 69, but there are 70 values" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("70.", "71.", "expected NPOINTS = 71 values, found 70"),
        ("#NPOINTS", "#POINTS", "the keyword #NPOINTS is missing"),
        ("70.", "some", "#NPOINTS is 'some', expected a number"),
        ("#ENDOFDATA", "#END", "cut short: no #ENDOFDATA line"),
        ("#SPECTRUM", "#DATA", "cut short: no #SPECTRUM line"),
        (".0, ", ".x, ", "the spectrum is no list of numbers"),
        (": 0.02", ": 0.0", "must rise or fall"),
    ],
)
def test_mistakes(path, old, new, message):
    replace(path, old, new)
    with pytest.raises(UserError, match=message):
        read_cube(path)


@pytest.mark.parametrize("element", ["Si", "S", "Ti", "Cr", "Fe", "Ni", "Cu", "Zr"])
def test_peaks_of_measured_elements_lie_where_the_table_has_them(shared_data, element):
    [path] = (shared_data / "nist_xrf").glob(f"{element}_*.msa")
    with read_cube(path) as cube:
        assert cube.shape == (1, 1, 4096)
        y_C, x_C = cube.read_rows(0, 1)[0, 0], cube.axis.values
    line = line_energy(f"{element}-Ka")
    near = np.abs(x_C - line) < 0.3
    assert x_C[near][np.argmax(y_C[near])] == pytest.approx(line, abs=0.0101)  # one channel


def test_a_folder_of_spectra_becomes_shards(shared_data, tmp_path, capsys):
    main([str(shared_data / "nist_xrf"), "--out", str(tmp_path / "out"), "--split", "1", "0", "0"])
    assert "nist_xrf: 11 files with cubes" in capsys.readouterr().err
    shards = ShardSet(tmp_path / "out")
    assert shards.rows("train") == 11
    assert shards.axis.unit == "keV"
    block = shards.read("train", 0, 11)
    for row, (number, _, _) in zip(block.spectra, block.pixel, strict=True):
        with read_cube(shards.sources[number]["path"]) as cube:
            np.testing.assert_allclose(row, cube.read_rows(0, 1)[0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("Energy Loss (eV)", 1e-3), ("Energy (keV)", 1), ("ENERGY (eV)", 1e-3), ("X-ray energy [keV]", 1), ("eV", 1e-3)],
)
def test_units_with_their_quantity(path, unit, factor):
    """The example of ISO 22029 itself says `#XUNITS : Energy Loss (eV)`."""
    replace(path, "keV", unit)
    with read_cube(path) as cube:
        assert cube.axis.unit == "keV"
        np.testing.assert_allclose(cube.axis.values, (-0.5 + 0.02 * np.arange(cube.shape[2])) * factor)


@pytest.mark.parametrize("unit", ["<undefined>", "furlong", "counts"])
def test_a_unit_that_is_not_understood_is_said(path, unit, capsys):
    replace(path, "keV", unit)
    with read_cube(path) as cube:
        assert cube.axis.unit == "channel"
    assert "channels are counted; say what they are with --axis UNIT" in capsys.readouterr().err
