"""Parts of arrays in files against NumPy's own, and files that are cut short under the reader."""

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.data.readers import file_numbers
from deepspec.data.readers.file_numbers import FileNumbers
from deepspec.errors import UserError
from tests.data.cube_formats import WRITERS, data_file, expected

CUBE = np.random.default_rng(0).poisson(5, (60, 40, 70)).astype(np.uint16)


@pytest.mark.parametrize("number", range(200))
def test_any_part(tmp_path, monkeypatch, number):
    rng = np.random.default_rng(number)
    monkeypatch.setattr(file_numbers, "_SHORT", int(rng.choice([1, 40, 4096])))
    monkeypatch.setattr(file_numbers, "_BATCH", int(rng.choice([1, 100, 2**18])))
    shape = tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 5)))
    array = rng.integers(0, 99, shape).astype(rng.choice(["u1", "<i2", ">i4", ">f8"]))
    order = str(rng.choice(["C", "F"]))
    path = tmp_path / "numbers"
    path.write_bytes(b"\7" * 13 + array.tobytes(order) + b"more")
    found = FileNumbers(path, array.dtype, shape, 13, order)
    np.testing.assert_array_equal(np.asarray(found), array)
    for _ in range(5):
        index = tuple(slice(*sorted(rng.integers(0, n + 1, 2).tolist()), int(rng.integers(1, 3))) for n in shape)
        np.testing.assert_array_equal(found[index], array[index])


MAPPED = [n for n in WRITERS if n not in ("EMSA", "NPZ compressed", "MATLAB compressed", "TIFF zlib")]


@pytest.mark.parametrize("name", MAPPED)
def test_a_file_cut_short_under_the_reader(tmp_path, name):
    path = WRITERS[name](tmp_path / "cube", CUBE)
    data = data_file(path)
    with read_cube(path, spectral_dim=None if name != "HDF5" else 2) as cube:
        data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
        with pytest.raises(UserError, match="cube") as error:
            for _ in cube.blocks(400):
                pass
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", MAPPED)
def test_blocks_of_a_larger_cube(tmp_path, name):
    path = WRITERS[name](tmp_path / "cube", CUBE)
    with read_cube(path) as cube:
        assert cube.shape == CUBE.shape
        np.testing.assert_array_equal(np.concatenate([x for _, x in cube.blocks(400)]), expected(name, CUBE))
