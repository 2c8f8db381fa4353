"""Zarr stores of both versions, as folder and as ZIP, written with the package itself as other programs write them."""

import sys

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError

zarr = pytest.importorskip("zarr", reason="the extra formats is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # zarr's own, of parts that its format does not specify yet

CUBE = np.random.default_rng(0).poisson(5, (6, 5, 70)).astype(np.uint16)


@pytest.fixture(params=["folder", "zip"])
def make(request, tmp_path):
    """A store that a function fills."""

    def made(fill, version=3, name="cube.zarr"):
        path = tmp_path / name
        store = zarr.storage.LocalStore(path) if request.param == "folder" else zarr.storage.ZipStore(path, mode="w")
        fill(zarr.create_group(store, zarr_format=version))
        store.close()
        return path

    return made


def put(group, name, array, chunks=None, **attributes):
    made = group.create_array(name, data=array, chunks=chunks or array.shape)
    made.attrs.update(attributes)
    return made


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("chunks", [(2, 5, 70), (6, 5, 1), (4, 4, 32)])
def test_values_and_rows(make, version, chunks):
    path = make(lambda root: put(root, "scan/counts", CUBE, chunks), version)
    with read_cube(path, spectral_dim=2) as cube:
        assert cube.dtype == np.uint16
        np.testing.assert_array_equal(np.concatenate([x for _, x in cube.blocks(7)]), CUBE)
    with read_cube(path, dataset="scan/counts", spectral_dim=2) as cube:
        np.testing.assert_array_equal(cube.read_rows(2, 5), CUBE[2:5])
    with pytest.raises(UserError, match=r"no numeric array 'other'; arrays found: scan/counts \(6, 5, 70\)"):
        read_cube(path, dataset="other")


@pytest.mark.parametrize("uniform", [True, False])
def test_hyperspy(make, uniform):
    wavelengths = 1239.84 / np.linspace(4.0, 1.2, 70)

    def fill(root):
        put(root, "Experiments/map/data", CUBE)
        for dim, (name, size) in enumerate([("y", 6), ("x", 5), ("Wavelength", 70)]):
            axis = root.create_group(f"Experiments/map/axis-{dim}")
            axis.attrs.update({"name": name, "size": size, "navigate": dim < 2, "units": "um" if dim < 2 else "nm"})
            if dim == 2 and not uniform:
                put(axis, "axis", wavelengths)
            else:
                axis.attrs.update({"offset": 400.0, "scale": 2.0})

    with read_cube(make(fill, 2, "map.zspy")) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)
        np.testing.assert_allclose(cube.axis.to("nm").values, 400 + 2.0 * np.arange(70) if uniform else wavelengths)


def test_a_datastack_of_maxrf4u(make):
    def fill(root):
        put(root, "maxrf_cube", CUBE.astype("f4"), (2, 2, 70))
        put(root, "maxrf_maxspectrum", np.ones(70))
        put(root, "maxrf_energies", -0.9 + 0.01 * np.arange(70))
        put(root, "maps_imvis", np.ones((200, 300, 3)))

    with read_cube(make(fill, 3, "painting.datastack"), axis="keV") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)
        np.testing.assert_allclose(cube.axis.values, -0.9 + 0.01 * np.arange(70))


@pytest.mark.parametrize("version", [2, 3])
def test_names_of_dimensions_and_fill_values(make, version):
    """As xarray writes them."""
    raw = CUBE.astype("i2")
    raw[1, 1] = -9999

    def fill(root):
        names = ["wavelength", "y", "x"]
        first = np.ascontiguousarray(raw.transpose(2, 0, 1))
        extra = {"dimension_names": names} if version == 3 else {}
        made = root.create_array("reflectance", data=first, chunks=(10, 6, 5), **extra)
        made.attrs.update({"_FillValue": -9999, "scale_factor": 0.5})
        if version == 2:
            made.attrs["_ARRAY_DIMENSIONS"] = names
        put(root, "wavelength", 400.0 + np.arange(70), units="nm")

    with read_cube(make(fill, version)) as cube:
        expected = raw * np.float32(0.5)
        expected[1, 1] = np.nan
        np.testing.assert_array_equal(cube.read_rows(0, 6), expected)
        np.testing.assert_array_equal(cube.axis.values, 400.0 + np.arange(70))
        assert cube.axis.unit == "nm"


def test_chunks_that_are_not_there_are_said(tmp_path, capsys):
    root = zarr.create_group(zarr.storage.LocalStore(tmp_path / "a.zarr"), zarr_format=2)
    put(root, "counts", CUBE, (2, 5, 70))
    (tmp_path / "a.zarr" / "counts" / "1.0.0").unlink()
    with read_cube(tmp_path / "a.zarr", spectral_dim=2) as cube:
        assert not cube.read_rows(2, 4).any()
    assert "1 of its 3 chunks are not there" in capsys.readouterr().err


def test_damaged_stores(tmp_path):
    root = zarr.create_group(zarr.storage.LocalStore(tmp_path / "a.zarr"), zarr_format=2)
    put(root, "counts", CUBE, (2, 5, 70))
    chunk = tmp_path / "a.zarr" / "counts" / "1.0.0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    with read_cube(tmp_path / "a.zarr", spectral_dim=2) as cube, pytest.raises(UserError, match=r"a\.zarr"):
        cube.find_dead()
    (tmp_path / "a.zarr" / "counts" / ".zarray").write_text("{")
    with pytest.raises(UserError, match=r"a\.zarr"):
        read_cube(tmp_path / "a.zarr")


def test_the_package_is_named_when_it_is_missing(tmp_path, monkeypatch):
    zarr.create_group(zarr.storage.LocalStore(tmp_path / "a.zarr"), zarr_format=2)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(UserError, match=r"package 'zarr', which is not installed: pip install 'deepspec\[formats\]'"):
        read_cube(tmp_path / "a.zarr")
