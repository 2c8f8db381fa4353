"""MATLAB files against scipy's own reading."""

import numpy as np
import pytest
import scipy.io

from deepspec.data.cube import read_cube
from deepspec.data.readers.matlab import load_whole
from deepspec.data.readers.matlab_elements import matlab_variables
from deepspec.errors import UserError

RNG = np.random.default_rng(0)


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
        "structure": {"field": np.zeros((3, 3, 3))},
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
            np.testing.assert_array_equal(load_whole(path, name, variable), reference[name])


def test_a_damaged_compressed_array(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"Y": RNG.integers(0, 900, (20, 20, 70))}, do_compression=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as MATLAB, the file may be damaged or cut short"):
        read_cube(path)
