import h5py
import numpy as np
import pytest
import scipy.io
from astropy.io import fits
from PIL import Image

from deepspec.data.arrays import read_array
from deepspec.errors import UserError

LABELS = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "one.npy", LABELS)
    np.savez(tmp_path / "one.npz", labels=LABELS)
    np.savez(tmp_path / "two.npz", labels=LABELS, other=np.zeros(3))
    scipy.io.savemat(tmp_path / "one.mat", {"labels": LABELS})
    fits.writeto(tmp_path / "one.fits", LABELS)
    Image.fromarray(LABELS).save(tmp_path / "one.png")
    np.savetxt(tmp_path / "one.csv", LABELS, delimiter=",")
    np.savetxt(tmp_path / "one.txt", LABELS)
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["group/labels"] = LABELS
    return tmp_path


@pytest.mark.parametrize(
    "source",
    [
        *(f"one.{extension}" for extension in ("npy", "npz", "mat", "fits", "png", "csv", "txt", "h5")),
        "two.npz:labels",
        "one.mat:labels",
        "one.h5:group/labels",
        "one.fits:PRIMARY",
    ],
)
def test_each_format(folder, source):
    array = read_array(folder / source, "the mask")
    np.testing.assert_array_equal(array, LABELS)


def test_colour_png_takes_the_strongest_colour_and_not_the_opacity(tmp_path):
    colours = np.zeros((1, 2, 4), dtype=np.uint8)
    colours[..., 3] = 255
    colours[0, 1, 2] = 9
    Image.fromarray(colours).save(tmp_path / "mask.png")
    assert read_array(tmp_path / "mask.png", "the mask").tolist() == [[0, 9]]


def test_matlab_73_has_its_dimensions_turned_back(tmp_path):
    path = tmp_path / "new.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["labels"] = LABELS.T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    np.testing.assert_array_equal(read_array(f"{path}:labels", "the mask"), LABELS)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("two.npz", r"several arrays.*write two.npz:KEY with one of: labels \(2, 3\), other \(3,\)"),
        ("two.npz:nothing", "no array 'nothing'"),
        ("missing.npy", "missing.npy: no such file"),
        ("missing.h5:key", "no such file"),
    ],
)
def test_errors(folder, source, message):
    with pytest.raises(UserError, match=message):
        read_array(folder / source, "the mask")
