"""Files that follow the NeXus and HyperSpy conventions, written here after their manuals."""

import h5py
import numpy as np
import pytest

from deepspec.data.cube import read_cube

CUBE = np.random.default_rng(0).poisson(5, (5, 4, 70)).astype(np.uint16)  # rows, columns, channels
ENERGY = 0.5 + 0.02 * np.arange(70)


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.nxs", "w", locking=False) as file:
        yield file


def group(file, path, axes, cube=CUBE, name="counts"):
    """An NXdata group whose dimensions are named."""
    made = file.create_group(path)
    made.attrs.update({"NX_class": "NXdata", "signal": name, "axes": axes})
    made[name] = cube
    return made


def read(file, **options):
    file.flush()
    return read_cube(file.filename, **options)


def test_signal_and_axes_settle_everything(file, capsys):
    made = group(file, "entry/data", ["energy", "y", "x"], CUBE.transpose(2, 0, 1))
    made["energy"] = ENERGY
    made["energy"].attrs["units"] = "keV"
    file["entry/raw/data"] = np.zeros((50, 60, 70))  # larger, and with a usual name
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_array_equal(cube.axis.values, ENERGY)
    assert capsys.readouterr().err == ""


def test_columns_before_rows(file):
    made = group(file, "data", [b"stage_x", b"stage_y", b"Energy"], CUBE.transpose(1, 0, 2))
    made["Energy"] = ENERGY * 1000
    made["Energy"].attrs["units"] = "eV"
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.values, ENERGY)


def test_links_and_borders_of_channels(file):
    file["instrument/detector/data"] = CUBE
    made = file.create_group("entry/plot")
    made.attrs.update({"NX_class": "NXdata", "signal": "linked", "axes": [".", ".", "wavelength"]})
    made["linked"] = h5py.SoftLink("/instrument/detector/data")
    made["wavelength"] = 400 + 5 * (np.arange(71) - 0.5)
    made["wavelength"].attrs["units"] = "nm"
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.values, 400 + 5 * np.arange(70))


@pytest.mark.parametrize("on_signal", [True, False])
def test_files_from_before_2014(file, on_signal):
    made = file.create_group("entry/data")
    made.attrs["NX_class"] = "NXdata"
    made["img"] = CUBE.transpose(2, 0, 1)
    made["img"].attrs["signal"] = 1
    for name in ("energy", "y", "x"):
        made[name] = ENERGY if name == "energy" else np.arange(5 if name == "y" else 4)
    made["energy"].attrs["units"] = "keV"
    if on_signal:
        made["img"].attrs["axes"] = "energy:y:x"
    else:
        for dim, name in enumerate(("energy", "y", "x")):
            made[name].attrs["axis"] = dim + 1
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_array_equal(cube.axis.values, ENERGY)


def test_the_default_counts_and_another_can_be_named(file, capsys):
    group(file, "entry/a", [".", ".", "channel"], np.zeros((9, 9, 90)))
    group(file, "entry/b", [".", ".", "channel"])
    with read(file) as cube:
        assert cube.shape == (9, 9, 90)
    assert "took 'entry/a' (9, 9, 90) (others: entry/b)" in capsys.readouterr().err
    file.attrs["default"] = "entry"
    file["entry"].attrs["default"] = "b"
    with read(file) as cube:
        assert cube.shape == (5, 4, 70)
    for name in ("entry/a", "entry/a/counts"):
        with read(file, dataset=name) as cube:
            assert cube.shape == (9, 9, 90)


def test_a_default_that_runs_in_a_circle_or_nowhere(file):
    made = group(file, "entry/a", [".", ".", "channel"])
    file.attrs["default"] = "entry"
    file["entry"].attrs["default"] = "a"
    made.attrs["default"] = "/entry"
    with read(file) as cube:
        assert cube.shape == (5, 4, 70)
    made.attrs["default"] = "lost"
    with read(file) as cube:
        assert cube.shape == (5, 4, 70)


def test_a_plot_without_a_cube_does_not_hide_the_cube(file):
    group(file, "entry/spectrum", ["energy"], np.zeros(70))
    file["entry/img"] = CUBE
    with read(file, spectral_dim=2) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


def test_detectors_of_a_nexus_file(file):
    four = np.stack([CUBE, 2 * CUBE], axis=2)
    made = group(file, "entry/a", [".", ".", "detector", "energy"], four)
    made["energy"] = ENERGY
    made["energy"].attrs["units"] = "keV"
    with read(file, detector=1) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), 2 * CUBE)
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), 3 * CUBE)


def test_a_hyperspy_file(file, capsys):
    made = file.create_group("Experiments/map")
    made["data"] = CUBE.transpose(2, 0, 1)
    axes = [("Energy", 70, 0.02, 0.5, "keV", False), ("y", 5, 1, 0, "um", True), ("x", 4, 1, 0, "um", True)]
    for dim, (name, size, scale, offset, units, navigate) in enumerate(axes):
        made.create_group(f"axis-{dim}").attrs.update(
            {"name": name, "size": size, "scale": scale, "offset": offset, "units": units, "navigate": navigate}
        )
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_allclose(cube.axis.values, ENERGY)
        assert cube.axis.unit == "keV"
    assert capsys.readouterr().err == ""


def test_maps_file_after_processing(file):
    """APS writes the summed detectors to MAPS/mca_arr, channels first, with the energies beside them."""
    file["MAPS/mca_arr"] = CUBE.transpose(2, 0, 1)
    file["MAPS/energy"] = ENERGY
    file["MAPS/XRF_roi"] = np.zeros((30, 50, 40))
    with read(file) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_array_equal(cube.axis.values, ENERGY)
        assert cube.axis.unit == "keV"
