import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from PIL import Image

from deepspec.data.cube import read_cube
from deepspec.synthetic import xrf_cube
from deepspec.synthetic.cube_files import write_preview, write_scan
from tests.synthetic.test_xrf import RGB


@pytest.fixture(scope="module")
def scan():
    return xrf_cube(RGB, palette=3, mode="pixels")


def test_everything_is_written(scan, tmp_path):
    mask = np.arange(12 * 48).reshape(12, 48) % 5 == 0
    write_scan(tmp_path / "a.h5", scan, {"seed": 7, "mode": "pixels"}, mask)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["img"], scan.counts)
        assert file["img"].dtype == np.uint16
        np.testing.assert_array_equal(file["label"], scan.labels)
        np.testing.assert_array_equal(file["rgb"], scan.rgb)
        np.testing.assert_array_equal(file["weights"], scan.weights)
        assert tuple(file["weights"].attrs["pigments"]) == scan.pigments
        np.testing.assert_array_equal(file["rates"], scan.rates)
        np.testing.assert_array_equal(file["pixel_weights"], scan.pixel_weights)
        np.testing.assert_array_equal(file["mask"], mask)
        np.testing.assert_array_equal(file["axis"], scan.axis.values)
        assert file["axis"].attrs["unit"] == "keV"
        assert file.attrs["seed"] == 7
        assert file.attrs["fwhm_mn_ev"] == scan.fwhm_ev
        chunk = file["img"].chunks
        assert chunk[1:] == scan.counts.shape[1:]  # whole rows
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_the_cube_reader_opens_it(scan, tmp_path):
    write_scan(tmp_path / "a.h5", scan, {})
    with read_cube(tmp_path / "a.h5") as cube:
        assert cube.axis.matches(scan.axis)
        np.testing.assert_array_equal(cube.read_rows(0, 12), scan.counts)


def test_an_error_leaves_no_file(scan, tmp_path):
    with pytest.raises(TypeError):
        write_scan(tmp_path / "a.h5", scan, {"seed": object()})
    assert not list(tmp_path.iterdir())


def test_preview_shows_the_image_and_a_colour_per_cluster(scan, tmp_path):
    write_preview(tmp_path / "a.png", scan)
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert picture.shape == (12, 96, 3)
    np.testing.assert_array_equal(picture[:, :48], scan.rgb)
    for k in range(len(scan.weights)):
        assert len(np.unique(picture[:, 48:][scan.labels == k], axis=0)) == 1
    assert len(np.unique(picture[:, 48:].reshape(-1, 3), axis=0)) == len(scan.weights)
