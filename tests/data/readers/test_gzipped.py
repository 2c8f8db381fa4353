"""Files that gzip packed: read as their content, the unpacked copy vanishes."""

import gzip
import tempfile

import numpy as np
import pytest
from astropy.io import fits

from deepspec.data.cube import read_cube
from deepspec.data.readers.folder import cube_files
from deepspec.errors import UserError
from deepspec.reporting.exports import celestial_header
from tests.data.cube_formats import WRITERS

CUBE = np.random.default_rng(0).poisson(5, (6, 4, 70)).astype(np.uint16)


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder of temporary files of our own, to see what is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def packed(path):
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return target


@pytest.mark.parametrize("name", ["FITS", "HDF5", "NPY", "MATLAB", "TIFF zlib", "NPZ compressed"])
def test_a_packed_file_is_what_is_in_it(tmp_path, temporary, name):
    path = packed(WRITERS[name](tmp_path / "cube", CUBE))
    with read_cube(path) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)
        np.testing.assert_array_equal(cube.read_rows(2, 3), CUBE[2:3])
        assert list(temporary.iterdir()) != []
    assert list(temporary.iterdir()) == []


def test_messages_and_world_coordinates_are_those_of_the_packed_file(tmp_path, capsys, temporary):
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL2": -20.0, "CTYPE3": "WAVE"})
    image = np.ascontiguousarray(CUBE.transpose(2, 0, 1))
    units = [fits.PrimaryHDU(), fits.ImageHDU(image, header, "SCI"), fits.ImageHDU(image, header, "SCI", ver=2)]
    fits.HDUList(units).writeto(tmp_path / "a.fits")
    path = packed(tmp_path / "a.fits")
    with read_cube(path) as cube:
        assert cube.path == path
    assert f"{path}:SCI: took 'SCI'" in capsys.readouterr().err
    assert celestial_header(path, (6, 4))["CRVAL2"] == -20
    with pytest.raises(UserError, match=r"a\.fits\.gz: no numeric array 'NO'"):
        read_cube(path, dataset="NO")
    assert list(temporary.iterdir()) == []


def test_damage_and_bombs(tmp_path, temporary):
    path = packed(WRITERS["FITS"](tmp_path / "cube", CUBE))
    content = path.read_bytes()
    damaged = tmp_path / "b.fits.gz"
    for change in (content[:-9], content[:-5] + bytes([content[-5] ^ 1]) + content[-4:], content[: len(content) // 2]):
        damaged.write_bytes(change)
        with pytest.raises(UserError, match=r"b\.fits\.gz: cannot be read as gzip"):
            read_cube(damaged)
    damaged.write_bytes(gzip.compress(bytes(50 * 2**20)))
    with pytest.raises(UserError, match="unpacks to more than 300 times its size"):
        read_cube(damaged)
    (tmp_path / "notes.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"known names are read, such as NAME\.fits\.gz"):
        read_cube(tmp_path / "notes.tar.gz")
    assert cube_files([str(tmp_path)]) == [str(damaged), str(path)]
    damaged.write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=r"b\.fits\.gz: of files that gzip packed"):
        read_cube(damaged)
    assert list(temporary.iterdir()) == []
