"""auto_segment against what was planted, and against the three commands; what it takes data for."""

import tempfile
from dataclasses import replace

import dask.array
import numpy as np
import pytest
import torch
import xarray
from sklearn.metrics import adjusted_rand_score

import deepspec
from deepspec.automatic.inputs import as_cube
from deepspec.automatic.kind import kind_of, kind_of_all, split_for
from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from tests.support.planted import AXIS, planted_cube

QUICK = {
    "data": {"batch_size": 256, "min_batches": 10},
    "model": {
        "preprocess": [{"step": "sqrt", "inverse": "poisson"}, {"step": "pca", "components": 8}, "standard"],
        "network": {"encoder": [32], "decoder": [32], "output": "linear"},
        "optimizer": {"lr": 0.002, "schedule": "cosine"},
    },
    "loss_schedule": {"gamma": {"kind": "constant", "value": 0}},
    "clusterer": {"kind": "valleys"},
    "ikmeans": {"every_n_epochs": 0, "sample": 2048},
    "keep": "last",
    "trainer": {"max_epochs": -1, "max_steps": 60},
}


@pytest.fixture(scope="module")
def planted():
    cube, labels = planted_cube(40, 50)
    return cube.read_rows(0, 40), labels


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.usefixtures("few_clouds")
def test_an_array_with_an_axis_becomes_the_planted_map_and_leaves_nothing(planted, scratch, capsys):
    counts, labels = planted
    before = torch.random.get_rng_state()
    found = deepspec.auto_segment(counts, axis=AXIS)
    printed = capsys.readouterr()
    assert found.k == 4
    assert adjusted_rand_score(labels.ravel(), found.labels.ravel()) > 0.99
    assert printed.out == ""
    said = [line for line in printed.err.splitlines() if "taken for counts (counts over energy)" in line]
    assert len(said) == 1
    assert "40 x 50 pixels" in said[0]
    assert "experiment xrf" in said[0]
    assert "taken for counts" in found.notes[0]
    assert list(scratch.iterdir()) == []
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("few_clouds", "scratch")
def test_the_same_seed_gives_the_same_map_and_an_array_without_axis_is_said(planted, capsys):
    counts, labels = planted
    first, second = (deepspec.auto_segment(counts, seed=3, experiment=QUICK) for _ in range(2))
    np.testing.assert_array_equal(first.latents, second.latents)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert not np.array_equal(first.latents, deepspec.auto_segment(counts, seed=4, experiment=QUICK).latents)
    capsys.readouterr()
    found = deepspec.auto_segment(counts[:, :15], experiment=QUICK, k=np.int64(2))
    assert found.k == 2
    said = capsys.readouterr().err
    assert "as asked for" in said
    assert "the data: 478 training spectra" in said  # the folder of the shards is gone, and its name says nothing
    assert "deepspec-" not in said
    # Without an axis the peaks are as wide and the noise the same.
    assert adjusted_rand_score(labels.ravel(), first.labels.ravel()) > 0.99


@pytest.mark.usefixtures("few_clouds", "scratch")
def test_rows_of_spectra_are_no_image(planted):
    counts, labels = planted
    rows = counts.reshape(-1, counts.shape[-1])
    found = deepspec.auto_segment(rows, axis=AXIS, experiment=QUICK, progress=False)
    assert found.labels.shape == (len(rows), 1)
    assert adjusted_rand_score(labels.ravel(), found.labels.ravel()) > 0.95


@pytest.mark.usefixtures("few_clouds", "scratch")
def test_progress_is_shown_step_by_step(planted):
    seen = {}

    def show(step, done, total):
        assert 0 < done <= total
        assert done >= seen.get(step, 0)
        seen[step] = done

    deepspec.auto_segment(planted[0], axis=AXIS, experiment=QUICK, progress=show)
    assert {"reading", "writing", "training", "encoding"} <= set(seen)
    assert seen["training"] == 60


@pytest.mark.usefixtures("few_clouds", "scratch")
def test_out_keeps_the_model_and_the_report(planted, tmp_path):
    out = tmp_path / "out"
    found = deepspec.auto_segment(planted[0], axis=AXIS, experiment=QUICK, out=out)
    kept = deepspec.Segmentation.load(out / "segmentation" / "segmentation.h5")
    np.testing.assert_array_equal(kept.labels, found.labels)
    assert (out / "segmentation" / "report.html").is_file()
    model = deepspec.DeepClustering.load(out / "run")
    cube = deepspec.SpectralCube.from_array(planted[0], AXIS)
    again = deepspec.segment_cube(cube, model, clusters="refit")
    np.testing.assert_array_equal(again.labels, found.labels)
    with pytest.raises(UserError, match="out holds something already \\(run\\)"):
        deepspec.auto_segment(planted[0], axis=AXIS, out=out)


class Axes:
    def __init__(self, *axes):
        self._axes = axes

    def as_dictionary(self):
        return {f"axis-{number}": axis for number, axis in enumerate(self._axes)}


class Signal:
    """What a signal of HyperSpy has."""

    def __init__(self, data, *axes):
        self.data, self.axes_manager = data, Axes(*axes)


def linear(name, size, navigate, offset=0.0, scale=1.0, units="mm"):
    return {"name": name, "size": size, "navigate": navigate, "offset": offset, "scale": scale, "units": units}


def test_every_kind_of_input_gives_the_same_cube():
    x = np.random.default_rng(0).poisson(5, (6, 7, 20)).astype(np.uint16)
    axis = SpectralAxis.linear(1.0, 0.5, 20, "keV")
    frame = xarray.DataArray(
        x.transpose(2, 1, 0),
        dims=("energy", "x", "y"),
        coords={
            "energy": ("energy", axis.values * 1000, {"units": "eV"}),
            "x": ("x", np.arange(7) * 0.25, {"units": "mm"}),
            "y": ("y", np.array([f"row {n}" for n in range(6)])),
        },
    )
    signal = Signal(
        x,
        linear("y", 6, True, 2.0, 0.5),
        linear("x", 7, True, 1.0, 0.25),
        linear("Energy", 20, False, 1.0, 0.5, "keV"),
    )
    lazy = dask.array.from_array(x, chunks=(4, 7, 20))
    given = {
        "array": as_cube(x, axis),
        "text": as_cube(x, "1:10.5:keV"),
        "tensor": as_cube(torch.from_numpy(x.astype(np.int32)), axis),
        "dask": as_cube(lazy, axis),
        "cube": as_cube(deepspec.SpectralCube.from_array(x), axis),
        "xarray": as_cube(frame),
        "lazy xarray": as_cube(frame.chunk({"y": 4})),
        "hyperspy": as_cube(signal),
        "lazy hyperspy": as_cube(Signal(lazy, *signal.axes_manager.as_dictionary().values())),
    }
    for name, found in given.items():
        np.testing.assert_array_equal(found.cube.read_rows(1, 5), x[1:5], err_msg=name)
        np.testing.assert_array_equal(np.concatenate([b for _, b in found.cube.blocks(15)]), x, err_msg=name)
        assert found.cube.axis.matches(axis, 1e-9), name
        assert found.cube.mask.all()
    row, column = given["xarray"].image_axes
    assert (row.name, column.name, column.unit) == ("y", "x", "mm")
    assert row.values.tolist() == [f"row {n}" for n in range(6)]
    np.testing.assert_allclose(column.values, np.arange(7) * 0.25)
    row, column = given["hyperspy"].image_axes
    np.testing.assert_allclose(row.values, 2 + 0.5 * np.arange(6))
    assert (row.name, row.unit, column.name) == ("y", "mm", "x")
    assert given["array"].image_axes is None


def test_tables_of_xarray_and_hyperspy_and_masks():
    x = np.random.default_rng(0).random((30, 12))
    frame = xarray.DataArray(x.T, dims=("band", "pixel"), coords={"band": np.linspace(400, 900, 12)})
    signal = Signal(x, linear("pixel", 30, True), linear("Wavelength", 12, False, 400.0, 10.0, "nm"))
    for found, unit in ((as_cube(x), "channel"), (as_cube(frame, "nm"), "nm"), (as_cube(signal), "nm")):
        assert found.is_table
        assert found.cube.axis.unit == unit
        np.testing.assert_array_equal(found.cube.read_rows(0, 30)[:, 0], x)
    hidden = np.ma.masked_array(x.reshape(5, 6, 12), mask=np.zeros((5, 6, 12), bool))
    hidden[2, 3, 4] = np.ma.masked
    valid = np.ones((5, 6))
    valid[0, 0] = 0
    mask = as_cube(hidden, mask=valid).cube.mask
    assert np.argwhere(~mask).tolist() == [[0, 0], [2, 3]]


def test_channels_that_most_pixels_lack_are_left_out_as_of_files():
    x = np.random.default_rng(0).random((10, 10, 12))
    x[:, :, 3] = np.nan
    cube = as_cube(x, "400:950:nm").cube
    assert cube.axis.channels == 11
    np.testing.assert_array_equal(cube.read_rows(0, 10), np.delete(x, 3, axis=2))


RNG = np.random.default_rng(1)
COUNTS = RNG.poisson(0.8, (12, 12, 30))
REFLECTANCE = RNG.random((12, 12, 30)).astype(np.float32)


@pytest.mark.parametrize(
    ("values", "axis", "experiment", "name"),
    [
        (COUNTS, "1:10:keV", "xrf", "counts"),
        (COUNTS.astype(float), "1:10:keV", "xrf", "counts"),
        (COUNTS - 1.5, "1:10:keV", "hyperspectral", "background"),
        (REFLECTANCE, "400:900:nm", "hyperspectral", "reflectance"),
        (REFLECTANCE, "4800:4830:angstrom", "nebulae", "emission lines"),
        (COUNTS, None, "xrf", "no axis; whole numbers"),
        (COUNTS + 5, None, "hyperspectral", "no axis; whole numbers from 5"),
        (REFLECTANCE, None, "hyperspectral", "numbers that are no counts"),
    ],
)
def test_what_data_are_taken_for(values, axis, experiment, name):
    kind = kind_of(as_cube(values, axis).cube)
    assert kind.experiment == experiment
    assert name in kind.sentence
    assert (split_for(kind.experiment) == (1, 0, 0)) == (experiment == "hyperspectral")
    assert split_for(f"mine/{experiment}.yaml") == split_for(experiment)


def test_scans_of_two_kinds_are_refused_and_dead_rows_are_passed_over():
    sparse = np.zeros((300, 4, 30), np.uint16)
    sparse[7] = COUNTS[0, :4]  # not among the rows that are looked at first
    cubes = [as_cube(sparse, "1:10:keV").cube, as_cube(REFLECTANCE, "400:900:nm").cube]
    assert kind_of(cubes[0]).experiment == "xrf"
    with pytest.raises(UserError, match="expected scans of one kind"):
        kind_of_all(cubes)


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        ([[1, 2], [3, 4]], {}, "got a value of type list"),
        (np.zeros(5), {}, r"got an array of shape \(5,\)"),
        (np.zeros((2, 2, 2, 2)), {}, r"got an array of shape \(2, 2, 2, 2\)"),
        (np.array([["a"]]), {}, "got <U1"),
        (np.zeros((0, 3, 4)), {}, r"of shape \(0, 3, 4\)"),
        (np.zeros((3, 3, 4)), {}, "no pixel has a usable spectrum"),
        (COUNTS, {"axis": "keV"}, "FIRST:LAST:UNIT"),
        (COUNTS, {"axis": [1, 2]}, "expected a SpectralAxis or a text"),
        (COUNTS, {"axis": SpectralAxis.linear(0, 1, 5, "keV")}, "5 channels"),
        (COUNTS, {"mask": np.ones((3, 3))}, r"expected shape \(12, 12\)"),
        (COUNTS, {"mask": np.zeros((12, 12))}, "got none"),
        (COUNTS, {"k": [3, 4]}, "expected a whole number, a pair"),
        (COUNTS, {"k": 2.5}, "expected a whole number, a pair"),
        (COUNTS, {"k": 0}, "k: expected 1 <= fewest"),
        (COUNTS, {"seed": -1}, "seed: expected a whole number"),
        (COUNTS, {"experiment": "xfr"}, "did you mean 'xrf'"),
        (COUNTS, {"experiment": 3}, "expected the name of a preset"),
        (COUNTS, {"out": 3}, "expected the path of a folder"),
        ("nowhere.h5", {}, "nowhere.h5"),
        (xarray.Dataset({"a": ("x", [1])}), {}, "Dataset"),
        (Signal(np.zeros((4, 4, 4)), *(linear(n, 4, False) for n in ("p", "q", "r"))), {}, "one signal dimension"),
    ],
)
def test_mistakes_are_one_line(data, more, message, scratch):
    with pytest.raises(UserError, match=message) as caught:
        deepspec.auto_segment(data, **more)
    assert "\n" not in str(caught.value)
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("few_clouds", "scratch")
def test_coordinates_come_back_in_xarray_and_from_the_file(planted, tmp_path):
    counts = planted[0][:16, :20]
    times = np.datetime64("2026-01-01T00:00:00") + np.arange(16) * np.timedelta64(1, "s")
    frame = xarray.DataArray(
        counts,
        dims=("time", "lon", "energy"),
        coords={
            "energy": ("energy", AXIS.values, {"units": "keV"}),
            "time": times,
            "lon": ("lon", np.linspace(10, 11, 20), {"units": "degree"}),
        },
    )
    found = deepspec.auto_segment(frame, experiment=QUICK, k=2)
    found.save(tmp_path / "kept.h5")
    row, column = found.image_axes
    replace(found, image_axes=(column, row)).save(tmp_path / "turned.h5")
    with pytest.raises(UserError, match="damaged segmentation: image_axes"):
        deepspec.Segmentation.load(tmp_path / "turned.h5")
    for each in (found, deepspec.Segmentation.load(tmp_path / "kept.h5"), found.cut(1)):
        table = each.to_xarray()
        assert table["labels"].dims == ("time", "lon")
        np.testing.assert_array_equal(table["time"], times)
        np.testing.assert_allclose(table["lon"], frame["lon"])
        assert table["lon"].attrs["units"] == "degree"
        assert table["memberships"].dims == ("time", "lon", "cluster")
        # What xarray aligns by coordinates must fall on the pixels that it came from.
        aligned = frame.sel(lon=frame["lon"][3], time=times[5])
        assert int(table["labels"].sel(lon=frame["lon"][3], time=times[5])) == each.labels[5, 3]
        np.testing.assert_array_equal(aligned, counts[5, 3])


def test_hyperspy_itself():
    hyperspy = pytest.importorskip("hyperspy.api", reason="HyperSpy is under the GPL and no dependency")
    x = np.random.default_rng(0).poisson(5, (6, 7, 20)).astype(np.uint16)
    signal = hyperspy.signals.Signal1D(x)
    signal.axes_manager[-1].name, signal.axes_manager[-1].units = "Energy", "keV"
    signal.axes_manager[-1].offset, signal.axes_manager[-1].scale = 1.0, 0.5
    found = as_cube(signal)
    np.testing.assert_array_equal(found.cube.read_rows(0, 6), x)
    assert found.cube.axis.matches(SpectralAxis.linear(1.0, 0.5, 20, "keV"), 1e-9)
