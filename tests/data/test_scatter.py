"""The channels of XRF scans end below the scattered lines of the tube, where there is one, and of nothing else."""

import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.data.cube_options import CubeOptions
from deepspec.data.recorded_reading import open_as_recorded
from deepspec.data.scatter import leave_out_scatter, tube_of
from deepspec.data.shards.manifest import ShardSet
from deepspec.errors import UserError
from deepspec.ingest import main
from deepspec.lines import tube_limit
from tests.lines.test_xray import drawn, scattered

AXIS = SpectralAxis.linear(0.0, 0.04, 640, "keV")
AREAS = {("Fe", "K"): 3e5, ("Ca", "K"): 3e5}


def scan(anode="Rh", seed=0, axis=AXIS, rows=12, columns=10):
    """(rows, columns, C) counts of one material, whose sum has the tube's lines scattered, or not (None)."""
    extra = 0.0 if anode is None else 4 * scattered(anode, axis=axis)
    total = drawn({key: 4 * area for key, area in AREAS.items()}, extra=extra, axis=axis)
    rng = np.random.default_rng(seed)
    return rng.poisson(total / (rows * columns), (rows, columns, axis.channels)).astype(np.uint16)


def cube_of(array, axis=AXIS, **metadata):
    cube = SpectralCube.from_array(array, axis)
    cube.metadata |= metadata
    return cube


def test_channels_end_below_the_scattered_lines():
    array = scan()
    cube = cube_of(array)
    limit = tube_limit(AXIS, array.sum((0, 1)).astype(float))
    assert 17.8 < AXIS.values[limit] < 18.8  # K alpha of rhodium scattered backwards is at 18.72, and half a keV wide
    left_out = leave_out_scatter([cube])
    assert (left_out.limit, left_out.channels, left_out.start_kev) == (limit, 640, AXIS.values[limit])
    np.testing.assert_array_equal(cube.read_rows(3, 7), array[3:7, :, :limit])
    np.testing.assert_array_equal(cube.axis.values, AXIS.values[:limit])
    assert left_out.sentence.startswith(
        f"left out {640 - limit} of 640 channels, those from {AXIS.values[limit]:.2f} keV"
    )


def test_channels_left_out_before_stay_out():
    array = scan()
    cube = cube_of(array[..., 20:], AXIS.slice(20, 640))
    cube.arrays, cube.channels = [array], np.arange(20, 640)  # as read_cube does
    limit = leave_out_scatter([cube]).limit
    np.testing.assert_array_equal(cube.read_rows(0, 2), array[:2, :, 20 : 20 + limit])


@pytest.mark.parametrize(
    ("array", "axis", "tube"),
    [
        (scan(None), AXIS, None),
        (scan(), AXIS, "none"),
        (scan(), AXIS, "Cr"),  # its lines are among those of the sample
        (scan(), AXIS, "W"),  # and these beyond the axis
        (scan().astype(np.float32), AXIS, None),
        (scan(), SpectralAxis.linear(0, 1, 640, "channel"), None),
        (scan(), SpectralAxis.linear(400, 1, 640, "nm"), None),
        (scan()[..., ::-1], SpectralAxis(AXIS.values[::-1], "keV"), None),
        (scan()[..., 440:], AXIS.slice(440, 640), "Rh"),  # a crop around the lines themselves
    ],
    ids=["no tube", "none", "Cr", "W", "float", "channel", "nm", "falling", "crop"],
)
def test_others_stay_whole(array, axis, tube):
    cube = cube_of(array, axis)
    assert leave_out_scatter([cube], tube) is None
    assert cube.channels is None
    assert cube.shape == array.shape
    np.testing.assert_array_equal(cube.read_rows(0, 12), array)


def test_a_tube_that_is_known_is_not_looked_for():
    array = scan(None)
    told, named, wrong = (cube_of(array) for _ in range(3))
    limit = leave_out_scatter([told], "Mo").limit
    assert 15.5 < AXIS.values[limit] < 16.4
    named.metadata["instrument/tube_anode"] = "Mo, 40 kV"
    assert leave_out_scatter([named]).limit == limit
    wrong.metadata["instrument/tube_anode"] = "Mo"
    assert leave_out_scatter([wrong], "none") is None
    with pytest.raises(UserError, match="tube 'Ir': expected the anode"):
        leave_out_scatter([cube_of(array)], "Ir")


@pytest.mark.parametrize(
    ("metadata", "tube"),
    [
        ({"Anode": "Rhodium"}, "Rh"),
        ({"x-ray tube": "Ag 50 kV"}, "Ag"),
        ({"target": "W"}, "W"),
        ({"tube_current": 600, "voltage": "50 kV"}, None),
        ({"targeted": "Mo", "sample": "Rh"}, None),
        ({"tube": "thin window"}, None),
    ],
)
def test_the_anode_in_the_metadata(metadata, tube):
    assert tube_of(metadata) == tube


def test_all_cubes_end_at_the_lowest_limit():
    first, second, plain = cube_of(scan("Rh")), cube_of(scan("Mo", 1)), cube_of(scan(None, 2))
    other = cube_of(
        scan(None, axis=SpectralAxis.linear(0.0, 0.05, 500, "keV")), SpectralAxis.linear(0, 0.05, 500, "keV")
    )
    alone = leave_out_scatter([cube_of(scan("Mo", 1))]).limit
    assert leave_out_scatter([first, second, plain, other]).limit == alone
    assert [cube.shape[2] for cube in (first, second, plain, other)] == [alone, alone, alone, 500]


def test_of_a_large_cube_some_rows_are_looked_at(monkeypatch):
    from deepspec.data import scatter

    array = np.tile(scan(rows=50, columns=40), (4, 1, 1))
    monkeypatch.setattr(scatter, "PIXELS", 2000)
    read = []
    cube = cube_of(array)
    rows_of = cube.read_rows
    monkeypatch.setattr(cube, "read_rows", lambda a, b: read.append((a, b)) or rows_of(a, b))
    assert leave_out_scatter([cube]) is not None
    assert sum(b - a for a, b in read) <= 52  # of 200: 2,000 pixels, and a band more
    assert (min(read)[0], max(read)[1]) == (0, 200)


# ---- ingest, and cubes read as its were


def ingest(folder, *options, array=None):
    np.save(folder / "scan.npy", scan() if array is None else array)
    main([str(folder / "scan.npy"), "--out", str(folder / "shards"), "--axis", "0:25.56:keV", *options])
    return ShardSet(folder / "shards")


def test_ingest_leaves_them_out_and_says_so(tmp_path, capsys):
    shards = ingest(tmp_path)
    said = capsys.readouterr().err
    assert said.count("where the tube's lines are scattered") == 1
    assert "--channels all keeps them" in said
    assert 400 < shards.channels < 480
    block = shards.read("train", 0, shards.rows("train"))
    np.testing.assert_array_equal(block.spectra, scan()[block.pixel[:, 1], block.pixel[:, 2], : shards.channels])


@pytest.mark.parametrize("options", [("--channels", "all"), ("--tube", "none"), ("--channels", "0:640")])
def test_ingest_keeps_them_when_asked(tmp_path, capsys, options):
    assert ingest(tmp_path, *options).channels == 640
    assert "left out 2" not in capsys.readouterr().err


def test_ingest_of_an_unknown_tube_is_refused_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        ingest(tmp_path, "--tube", "Ir")
    assert stop.value.code == 2
    assert "tube 'Ir': expected the anode, one of Rh, Mo, Ag, Pd, W, Cr, or none" in capsys.readouterr().err
    assert not (tmp_path / "shards").exists()


def test_ingest_says_when_a_tube_that_is_given_changes_nothing(tmp_path, capsys):
    assert ingest(tmp_path, "--tube", "Cr").channels == 640
    assert "--tube Cr had no effect: channels are left out only without --channels" in capsys.readouterr().err


@pytest.mark.parametrize("axis", [None, "0:25.56:keV"], ids=["as recorded", "given again"])
def test_another_scan_has_the_channels_of_the_training(tmp_path, capsys, axis):
    shards = ingest(tmp_path)
    array = scan(None, 5)  # nothing could be found in it
    np.save(tmp_path / "new.npy", array)
    capsys.readouterr()
    recorded = shards.parameters["reading"]
    with open_as_recorded(recorded, CubeOptions(axis=axis), str(tmp_path / "new.npy"), None, shards.axis) as cube:
        assert cube.axis.matches(shards.axis)
        np.testing.assert_array_equal(cube.read_rows(0, 12), array[..., : shards.channels])
    assert "from the checkpoint" in capsys.readouterr().err


def test_channels_that_are_given_go_before_those_of_the_training(tmp_path):
    shards = ingest(tmp_path)
    reading = CubeOptions(axis="0:25.56:keV", channels="all")
    path = str(tmp_path / "scan.npy")
    with open_as_recorded(shards.parameters["reading"], reading, path, None, shards.axis) as cube:
        assert cube.shape[2] == 640
    with read_cube(path, axis="0:25.56:keV", channels="all") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 12), scan())
