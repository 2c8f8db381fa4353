"""What every format must do: give back what was written, and meet damage with one clear error."""

import sys

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from tests.data.cube_formats import PAIRS, SINGLE, WRITERS, data_file, expected

CUBE = np.random.default_rng(0).poisson(5, (6, 4, 70)).astype(np.uint16)  # rows, columns, channels


@pytest.fixture(params=list(WRITERS))
def name(request):
    return request.param


@pytest.fixture
def path(name, tmp_path):
    return WRITERS[name](tmp_path / "cube", CUBE)


def read(path, **options):
    with read_cube(path, **options) as cube:
        return cube.read_rows(0, cube.shape[0])


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_values_types_and_rows(name, tmp_path, kind):
    cube = CUBE.astype(kind)
    path = WRITERS[name](tmp_path / "cube", cube)
    with read_cube(path) as found:
        want = expected(name, cube)
        assert found.shape == want.shape
        np.testing.assert_array_equal(found.read_rows(0, found.shape[0]), want)
        np.testing.assert_array_equal(found.read_rows(0, 1), want[:1])
        np.testing.assert_array_equal(np.concatenate([x for _, x in found.blocks(7)]), want)
        assert found.dtype.isnative
        if name not in SINGLE:  # text does not tell types apart
            assert found.dtype == np.dtype(kind)


@pytest.mark.parametrize("name", PAIRS, indirect=False)
def test_a_pair_is_opened_by_either_file(name, tmp_path):
    path = WRITERS[name](tmp_path / "cube", CUBE)
    np.testing.assert_array_equal(read(path), read(data_file(path)))


def test_nothing_but_the_rows_comes_into_memory(name, tmp_path, monkeypatch):
    """Peak of Python's and NumPy's allocations, while a cube of 4 MB is read in blocks, is far below its size."""
    import tracemalloc

    if name in SINGLE:
        pytest.skip("one spectrum is read as a whole")
    cube = np.random.default_rng(1).integers(0, 9, (32, 64, 1024), dtype=np.uint16)
    path = WRITERS[name](tmp_path / "cube", cube)
    checks = cube.sum(axis=(1, 2), dtype=np.int64)
    del cube
    read(WRITERS[name](tmp_path / "small", CUBE))  # imports of the libraries do not count
    tracemalloc.start()
    try:
        with read_cube(path) as found:
            for rows, x_nWC in found.blocks(64):
                assert x_nWC.sum(dtype=np.int64) == checks[rows].sum()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6


def test_cut_short(path, name):
    data = data_file(path)
    content = data.read_bytes()
    for part in (0.97, 0.47, 0.02):  # half of an EDF file ends with a frame, and nothing in it says how many there are
        data.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(UserError, match="cube"), read_cube(path) as cube:
            cube.find_dead()


def test_text_with_the_extension(path):
    path.write_text("energy, counts\n1, 2\n")
    with pytest.raises(UserError, match=rf"{path.name}: not a .* file although its name says so.*energy"):
        read_cube(path)


@pytest.mark.parametrize("suffix", [".raw", ".img", ".bil"])
def test_numbers_without_a_header(tmp_path, suffix):
    path = tmp_path / f"cube{suffix}"
    path.write_bytes(bytes(100))
    with pytest.raises(UserError, match=r"need the header .* cube.hdr \(ENVI\) or cube.rpl"):
        read_cube(path)


def test_empty(path):
    path.write_bytes(b"")
    with pytest.raises(UserError, match=f"{path.name}: the file is empty"):
        read_cube(path)


def test_missing(path):
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        read_cube(path)


@pytest.mark.parametrize("name", PAIRS)
def test_the_numbers_of_a_pair_are_missing_or_empty(name, tmp_path):
    path = WRITERS[name](tmp_path / "cube", CUBE)
    data_file(path).write_bytes(b"")
    with pytest.raises(UserError, match=r"cube.raw: cut short or described wrongly"):
        read_cube(path)
    with pytest.raises(UserError, match=r"cube.raw: the file is empty"):
        read_cube(data_file(path))
    data_file(path).unlink()
    with pytest.raises(UserError, match="the file with the numbers is missing: expected cube beside it"):
        read_cube(path)


_IMAGES = ("NeXus", "own", "HDF5 gzip", "TIFF samples", "EDF", "HyperSpy", "FITS -TAB")  # their writers take no less
ONE_DIMENSION = [n for n in WRITERS if n not in (*PAIRS, *SINGLE, *_IMAGES)]


@pytest.mark.parametrize("name", ONE_DIMENSION)
def test_one_dimension(name, tmp_path):
    vector = np.arange(1, 100, dtype=np.uint16)
    if name.startswith(("TIFF", "FITS", "HDF5", "NP")):
        path = _flat(name, tmp_path / "cube", vector)
    else:
        path = WRITERS[name](tmp_path / "cube", vector)  # MATLAB makes a matrix of one row of it
    with pytest.raises(UserError, match=rf"{path.name}: .*3 or 4 dimensions.*spatial_shape"):
        read_cube(path)


def _flat(name, stem, vector):
    import tifffile
    from astropy.io import fits

    if name == "FITS":
        fits.writeto(stem.with_suffix(".fits"), vector)
        return stem.with_suffix(".fits")
    if name.startswith("TIFF"):
        tifffile.imwrite(stem.with_suffix(".tif"), vector[None], metadata=None)  # the least that the format has
        return stem.with_suffix(".tif")
    return WRITERS[name](stem, vector)


def test_a_dataset_cannot_be_named_where_there_are_none(tmp_path):
    for name in ("NPY", "ENVI bil", "RPL image", "EMSA"):
        path = WRITERS[name](tmp_path / "cube", CUBE)
        with pytest.raises(UserError, match="leave dataset out"):
            read_cube(path, dataset="img")


def test_libraries_are_imported_only_for_their_format(tmp_path):
    """Opening a NPY file must not pay for astropy, tifffile or RosettaSciIO."""
    import subprocess

    path = WRITERS["NPY"](tmp_path / "cube", CUBE)
    code = (
        f"import sys; from deepspec.data.cube import read_cube; read_cube({str(path)!r}); "
        "found = {'astropy', 'tifffile', 'rsciio', 'torch'} & set(sys.modules); assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
