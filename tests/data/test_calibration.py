import numpy as np
import pytest

from deepspec.data.axis_choice import calibrate, line_energy
from deepspec.data.cube import read_cube
from deepspec.data.shards.manifest import ShardSet
from deepspec.errors import UserError
from deepspec.ingest import main


@pytest.mark.parametrize(
    ("name", "energy"),  # keV, X-ray Data Booklet; families as the intensity-weighted mean
    [
        ("Fe-Ka1", 6.4038),
        ("fe-KA2", 6.3908),
        ("Cu-Kb1", 8.9053),
        ("Pb-La1", 10.5515),
        ("Fe-Ka", 6.399),
        ("Pb-La", 10.541),
    ],
)
def test_line_energy(name, energy):
    assert line_energy(name) == pytest.approx(energy, abs=0.002)


def test_axis_through_two_lines():
    axis = calibrate("Fe-Ka=641, Cu-Ka=806.5", 1024)
    assert (axis.unit, axis.channels) == ("keV", 1024)
    assert np.interp(641, range(1024), axis.values) == pytest.approx(line_energy("Fe-Ka"))
    assert np.interp(806.5, range(1024), axis.values) == pytest.approx(line_energy("Cu-Ka"))
    np.testing.assert_allclose(calibrate("Cu-Ka=806.5,Fe-Ka=641", 1024).values, axis.values)
    np.testing.assert_allclose(np.diff(axis.values), axis.values[1] - axis.values[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Fe-Ka=641", "expected two lines with their channels, as in Fe-Ka=641,Cu-Ka=806"),
        ("Fe-Ka=641,Cu-Ka=806,Zn-Ka", "expected two lines"),
        ("Fe-Ka=a,Cu-Ka=806", "expected two lines"),
        ("Fe-Ka=nan,Cu-Ka=806", "expected two lines"),
        ("Fw-Ka=641,Cu-Ka=806", r"no element 'Fw' with X-ray lines \(did you mean 'W' or 'F' or 'Hf'\?\)"),
        ("Irn-Ka=641,Cu-Ka=806", r"no element 'Irn' .*\(did you mean .*'In'"),
        ("Fe-Kx=641,Cu-Ka=806", "Fe has no such line, it has .*Ka, Ka1, Ka2, Kb"),
        ("Fe=641,Cu-Ka=806", "Fe has no such line"),
        ("Fe-Ka=641,Cu-Ka=641", "in channels 641 and 641: two different lines are needed"),
        ("Fe-Ka=641,Fe-Ka=700", "two different lines are needed"),
        ("Fe-Ka=806,Cu-Ka=641", r"lie at 6.4 and 8.041 keV, but the channels fall from 806 to 641: are they swapped\?"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(UserError, match=message):
        calibrate(text, 1024)


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).poisson(9, (12, 10, 1024)).astype(np.uint16))
    return tmp_path / "a.npy"


def test_read_cube(path):
    with read_cube(path, calibrate="Fe-Ka=641,Cu-Ka=806", channels="100:900") as cube:
        axis = calibrate("Fe-Ka=641,Cu-Ka=806", 1024)
        np.testing.assert_array_equal(cube.axis.values, axis.values[100:900])
    with pytest.raises(UserError, match="leave out one of axis and calibrate"):
        read_cube(path, calibrate="Fe-Ka=641,Cu-Ka=806", axis="0:1:keV")


def test_ingest(path, tmp_path, capsys):
    main([str(path), "--out", str(tmp_path / "out"), "--calibrate", "Fe-Ka=641,Cu-Ka=806", "--split", "1", "0", "0"])
    assert ShardSet(tmp_path / "out").axis.values[641] == pytest.approx(line_energy("Fe-Ka"))
    with pytest.raises(SystemExit):
        main([str(path), "--out", str(tmp_path / "out2"), "--calibrate", "Fe-Ka=641"])
    assert "expected two lines" in capsys.readouterr().err


def peak(folder, element, line, **options):
    """Channel and position of the highest channel within 0.3 keV of a line, by the maker's axis and as read."""
    [path] = (folder / "nist_xrf").glob(f"{element}_*.msa")
    with read_cube(path) as cube, read_cube(path, **options) as again:
        near = np.abs(cube.axis.values - line_energy(line)) < 0.3
        channel = int(np.argmax(cube.read_rows(0, 1)[0, 0] * near))
        return channel, again.axis.values[channel]


def test_two_measured_lines_place_the_others(shared_data):
    lines = ",".join(f"{e}-Ka={peak(shared_data, e, f'{e}-Ka')[0]}" for e in ("Ti", "Zr"))
    for element in ("Cr", "Fe", "Ni", "Cu"):
        _, found = peak(shared_data, element, f"{element}-Ka", calibrate=lines)
        assert found == pytest.approx(line_energy(f"{element}-Ka"), abs=0.01)  # one channel


def test_many_lines_by_least_squares(capsys, tmp_path):
    """Against NumPy's own fit of a straight line."""
    lines = {"Ca-Ka": 370.2, "Fe-Ka": 641.5, "Cu-Ka": 805.1, "Pb-La": 1056.3}
    text = ",".join(f"{name}={place}" for name, place in lines.items())
    energies = np.array([line_energy(name) for name in lines])
    step, first = np.polyfit(list(lines.values()), energies, 1)
    notes = []
    axis = calibrate(text, 2048, notes)
    np.testing.assert_allclose(axis.values, first + step * np.arange(2048), rtol=1e-9)
    apart = energies - (first + step * np.array(list(lines.values())))
    for name, distance in zip(lines, apart, strict=True):
        assert f"{name} {1000 * distance:+.1f} eV" in notes[0]
    np.save(tmp_path / "a.npy", np.ones((5, 4, 2048), np.uint16))
    with read_cube(tmp_path / "a.npy", calibrate=text) as cube:
        np.testing.assert_allclose(cube.axis.values, axis.values)
    assert "distances of the lines: Ca-Ka" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["Fe-Ka=641,Cu-Ka=806,Pb-La", "Fe-Ka=1,Cu-Ka=2,Pb-La=x", "Fe-Ka=1,,Cu-Ka=2"])
def test_many_lines_in_another_form(text):
    with pytest.raises(UserError, match="expected two lines"):
        calibrate(text, 1024)
