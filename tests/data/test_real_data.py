"""Every measured set that the project keeps, against what its own library reads."""

import h5py
import numpy as np
import pytest
import scipy.io
from astropy.io import fits

from deepspec.data.cube import read_cube
from deepspec.errors import UserError


def test_salinas_a(shared_data):
    folder = shared_data / "salinas_a"
    labels = scipy.io.loadmat(folder / "SalinasA_gt.mat")["salinasA_gt"]
    with read_cube(folder / "SalinasA_corrected.mat", mask=f"{folder / 'SalinasA_gt.mat'}:salinasA_gt") as cube:
        assert cube.shape == (83, 86, 204)
        np.testing.assert_array_equal(cube.mask, labels > 0)
        reference = scipy.io.loadmat(folder / "SalinasA_corrected.mat")["salinasA_corrected"]
        np.testing.assert_array_equal(cube.read_rows(10, 83), reference[10:])


def test_jasper_ridge(shared_data):
    path = shared_data / "jasper_ridge" / "jasperRidge2_R198.mat"
    reference = scipy.io.loadmat(path)["Y"].reshape(198, 100, 100).transpose(2, 1, 0)
    with read_cube(path, dataset="Y", spatial_shape=(100, 100), order="F") as cube:
        assert cube.dtype == np.uint16
        np.testing.assert_array_equal(np.concatenate([x for _, x in cube.blocks(1700)]), reference)


def test_salton_sea_has_channels_without_values_and_wavelengths_that_step_back(shared_data, capsys):
    path = shared_data / "salton_sea" / "salton_sea_roi.mat"
    content = scipy.io.loadmat(path, variable_names=["I", "wl"])
    order = np.argsort(content["wl"].ravel())
    with read_cube(path, channels="0:224") as cube, pytest.raises(UserError, match="20 of 224 channels") as error:
        cube.find_dead()
    assert "steps back" in capsys.readouterr().err
    channels = str(error.value).partition("--channels ")[2]
    with read_cube(path) as cube:
        assert cube.shape == (51, 56, 204)
    assert "left out 20 of 224 channels" in capsys.readouterr().err
    with read_cube(path, channels=channels) as cube:
        assert not cube.find_dead().any()
        good = np.isfinite(content["I"][0, 0, order])
        assert cube.axis.unit == "um"
        np.testing.assert_array_equal(cube.axis.values, content["wl"].ravel()[order][good])
        np.testing.assert_array_equal(cube.read_rows(0, 51), content["I"][:, :, order][:, :, good])


def test_aps_maps_file(shared_data):
    path = shared_data / "aps_xrf" / "2xfm_0011_2xfm3__0.h5"
    with h5py.File(path) as file:
        detectors = [file[f"MAPS_RAW/data_{name}"][:].transpose(1, 2, 0) for name in "abcd"]
    with read_cube(path) as cube:
        assert cube.shape == (11, 9, 2048)
        np.testing.assert_array_equal(cube.read_rows(3, 11), np.sum(detectors, axis=0)[3:])
    with read_cube(path, detector=3) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 11), detectors[3])


def test_aps_counts_of_four_detectors(shared_data):
    path = shared_data / "aps_xrf" / "aps_axo_std_counts.npz"
    reference = np.load(path)["counts"]
    with read_cube(path) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 11), reference.sum(axis=2))


def test_xfm_pixels_in_a_row(shared_data):
    path = shared_data / "xfm_micro_xrf" / "ts2_01_sub_export_data.npy"
    reference = np.load(path).reshape(10, 20, 2, 4096)
    with read_cube(path, spatial_shape=(10, 20), axis="0:40.95:keV") as cube:
        assert cube.shape == (10, 20, 4096)
        np.testing.assert_allclose(cube.axis.values[:2], [0, 0.01])
        np.testing.assert_array_equal(cube.read_rows(2, 7), reference.sum(axis=2)[2:7])


def test_muse(shared_data):
    path = shared_data / "muse_udf" / "subcub_mosaic.fits"
    with read_cube(path) as cube:
        assert cube.shape == (30, 30, 500)
        np.testing.assert_allclose(cube.axis.values, 4750 + 1.25 * np.arange(500))
        assert cube.axis.unit == "angstrom"
        assert cube.metadata["INSTRUME"] == "MUSE"
        reference = fits.getdata(path, "DATA").transpose(1, 2, 0)
        np.testing.assert_array_equal(cube.read_rows(0, 30), reference)
        assert not cube.find_dead().any()
