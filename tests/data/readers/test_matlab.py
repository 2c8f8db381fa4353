"""MATLAB files against scipy's own reading."""

import h5py
import numpy as np
import pytest
import scipy.io

from deepspec.data.cube import read_cube
from deepspec.data.readers.matlab import load_whole, matlab_variables
from deepspec.errors import UserError

RNG = np.random.default_rng(0)
CUBE_OF_BANDS = RNG.integers(1, 900, (6, 5, 70)).astype(np.uint16)  # rows, columns, bands


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8"])
def test_arrays_of_every_type_and_shape(tmp_path, kind, compressed):
    shapes = [(1, 1), (3, 1), (2, 0), (5, 4, 7), (3, 2, 4, 3)]
    arrays = {f"a{i}": (RNG.random(shape) * 100).astype(kind) for i, shape in enumerate(shapes)}
    arrays["a_rather_long_name_of_an_array"] = np.zeros((2, 2), kind)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, arrays, do_compression=compressed)
    found = matlab_variables(path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        read = load_whole(path, name, found[name])
        np.testing.assert_array_equal(read, array)
        assert read.dtype == np.dtype(kind)


def test_what_is_no_real_array_is_passed_over(tmp_path):
    content = {
        "text": "hello",
        "cells": np.array([1, "two"], dtype=object),
        "structure": {"field": "text"},
        "complex": np.zeros((3, 3, 3), complex),
        "sparse": scipy.sparse.eye(4).tocsc(),
        "yes": np.ones((2, 3, 70), bool),
    }
    scipy.io.savemat(tmp_path / "a.mat", content)
    assert list(matlab_variables(tmp_path / "a.mat")) == ["yes"]
    with read_cube(tmp_path / "a.mat") as cube:
        assert cube.shape == (2, 3, 70)
        assert cube.read_rows(0, 2).all()


def test_measured_scenes(shared_data):
    for path in shared_data.glob("*/*.mat"):
        reference = scipy.io.loadmat(path)
        for name, variable in matlab_variables(path).items():
            outer, _, field = name.partition(".")
            expected = reference[outer][field][0, 0] if field else reference[outer]
            np.testing.assert_array_equal(load_whole(path, name, variable), expected)


def test_a_damaged_compressed_array(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"Y": RNG.integers(0, 900, (20, 20, 70))}, do_compression=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as MATLAB, the file may be damaged or cut short"):
        read_cube(path)


FLAT = CUBE_OF_BANDS.transpose(2, 1, 0).reshape(70, -1)  # pixels counted along the columns, as MATLAB does


@pytest.mark.parametrize("names", [("nRow", "nCol"), ("nrows", "ncols"), ("H", "W"), ("lines", "samples")])
@pytest.mark.parametrize("name", ["V", "Y"])
@pytest.mark.parametrize("chosen", [True, False])
def test_rows_and_columns_beside_a_list_of_pixels(tmp_path, capsys, names, name, chosen):
    path = tmp_path / "samson.mat"
    scipy.io.savemat(path, {name: FLAT, names[0]: 6, names[1]: 5, "nBand": 70, "maxValue": 900})
    with read_cube(path, dataset=name if chosen else None) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE_OF_BANDS)
    assert "took its 6 rows and 5 columns from the file; choose with --spatial_shape" in capsys.readouterr().err
    with read_cube(path, dataset=name, spatial_shape=(5, 6)) as cube:
        assert cube.shape == (5, 6, 70)


def test_rows_and_columns_in_a_file_of_version_7_3(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["V"] = FLAT.T  # MATLAB reverses all dimensions
        file["nRow"], file["nCol"] = [[6.0]], [[5.0]]
    content = bytearray((tmp_path / "a.mat").read_bytes())
    content[:10] = b"MATLAB 7.3"
    (tmp_path / "a.mat").write_bytes(content)
    with read_cube(tmp_path / "a.mat") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE_OF_BANDS)


def test_numbers_that_do_not_fit_are_left_alone(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"V": FLAT, "nRow": 7, "nCol": 5})
    with pytest.raises(UserError, match="--spatial_shape ROWS COLUMNS"):
        read_cube(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((31, 200, 300), (200, 300, 31)), ((200, 31, 300), (200, 300, 31)), ((200, 50, 60), (200, 50, 60))],
)
def test_bands_first_where_the_shape_says_so(tmp_path, capsys, shape, expected):
    scipy.io.savemat(tmp_path / "a.mat", {"Y": np.ones(shape, np.uint8)})
    with read_cube(tmp_path / "a.mat") as cube:
        assert cube.shape == expected
    assert ("--spectral_dim" in capsys.readouterr().err) == (shape != expected)


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_in_the_fields_of_a_structure(tmp_path, compressed, capsys):
    cube = np.random.default_rng(0).poisson(5, (6, 4, 70)).astype(np.uint16)
    inner = {"big": np.zeros((50, 60)), "cube": cube, "wavelengths": np.linspace(400, 700, 70), "text": "a scene"}
    content = {"other": np.arange(3.0), "scene": {"info": {"deep": cube + 1.0}, "none": np.zeros((0, 0)), **inner}}
    scipy.io.savemat(tmp_path / "a.mat", content, do_compression=compressed)
    with read_cube(tmp_path / "a.mat") as found:
        np.testing.assert_array_equal(found.read_rows(0, 6), cube)
        np.testing.assert_allclose(found.axis.values, np.linspace(400, 700, 70))
    assert "a.mat:scene.cube" in capsys.readouterr().err
    with read_cube(tmp_path / "a.mat", dataset="scene.info.deep") as found:
        np.testing.assert_array_equal(found.read_rows(2, 3), cube[2:3] + 1.0)


def test_lists_of_structures_are_passed_over(tmp_path):
    several = np.zeros((2, 2), dtype=[("cube", object)])
    for place in np.ndindex(2, 2):
        several[place]["cube"] = np.ones((3, 4, 5))
    scipy.io.savemat(tmp_path / "a.mat", {"several": several, "Y": np.full((5, 6, 70), 2.0)})
    with read_cube(tmp_path / "a.mat") as found:
        assert found.shape == (5, 6, 70)
