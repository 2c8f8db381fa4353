"""2,000 more damaged or odd files over links, zarr stores, tables of wavelengths and attributes of netCDF.

Each is a function of its number alone. Links and attributes are drawn, with an oracle beside them; zarr stores and FITS
tables are damaged byte by byte. Whatever comes out is one clear error, or right, or said on standard error.
"""

import shutil

import h5py
import numpy as np
import pytest
from astropy.io import fits

from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from tests.data.cube_formats import (
    attributes,
    fits_companions,
    fits_summed,
    fits_table,
    fits_tiles,
    hyperspy,
    linked,
    matlab_structure,
    netcdf,
    tiff_gdal,
    tiff_tiles,
)
from tests.data.mutations import damage

CUBE = np.random.default_rng(0).poisson(5, (6, 4, 70)).astype(np.uint16)
BATCHES, EACH = range(10), 50


def outcome(path, capsys, **options):
    """All values, the axis and what was said; or the text of the one error."""
    capsys.readouterr()
    try:
        with read_cube(path, **options) as cube:
            values = cube.read_rows(0, cube.shape[0])
            assert values.shape == cube.shape
            assert cube.axis.channels == cube.shape[2]
            return values, cube.axis, capsys.readouterr().err
    except UserError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 1500
        assert str(path.parent) in text or path.stem in text
        return text


@pytest.mark.parametrize("batch", BATCHES)
def test_links(tmp_path, capsys, batch):
    """Chains of soft and external links: right where h5py itself finds the cube within the folder, else an error."""
    for number in range(EACH):
        rng = np.random.default_rng(1000 * batch + number)
        folder = tmp_path / str(number)
        inner = folder / "inner"
        inner.mkdir(parents=True)
        names = ["a.h5", "b.h5", "c.h5"]
        places = ["x", "g/y", "g/h/z"]
        files = {name: h5py.File(inner / name, "w") for name in names}
        with h5py.File(folder / "outside.h5", "w") as outside:
            outside["x"] = CUBE
        holder = str(rng.choice(names))
        ways_out = rng.random() < 0.3
        files[holder]["data"] = CUBE
        for name in names:
            for place in places:
                kind = rng.integers(5)
                target = "/" + str(rng.choice([*places, "data", "lost"]))
                if kind == 0:
                    files[name][place] = h5py.SoftLink(target)
                elif kind == 1:
                    files[name][place] = h5py.ExternalLink(str(rng.choice([*names, "lost.h5"])), target)
                elif kind == 2 and ways_out:
                    files[name][place] = h5py.ExternalLink("../outside.h5", "/x")
        for file in files.values():
            file.close()
        place = str(rng.choice([*places, "data"]))
        found = outcome(inner / "a.h5", capsys, dataset=place, spectral_dim=2)
        if isinstance(found, str):
            # A file that any link leads out of is refused as a whole.
            refused = ways_out and "outside its folder" in found
            assert refused or not _reaches(inner, "a.h5", "/" + place, holder), found
        else:
            np.testing.assert_array_equal(found[0], CUBE)
            assert _reaches(inner, "a.h5", "/" + place, holder)


def _reaches(folder, file, place, holder, left=20):
    """Whether a path leads to the cube in `holder`, through links within the folder alone."""
    if left == 0:
        return False
    if place == "/data":
        return file == holder
    with h5py.File(folder / file, "r") as opened:
        link = opened.get(place, getlink=True) if _parent_is_there(opened, place) else None
        if isinstance(link, h5py.SoftLink):
            return _reaches(folder, file, link.path, holder, left - 1)
        if isinstance(link, h5py.ExternalLink) and "/" not in link.filename and (folder / link.filename).is_file():
            return _reaches(folder, link.filename, link.path, holder, left - 1)
    return False


def _parent_is_there(file, place):
    parent = place.rpartition("/")[0] or "/"
    return parent in file and isinstance(file.get(parent), h5py.Group)


@pytest.mark.parametrize("batch", BATCHES)
def test_attributes_of_netcdf(tmp_path, capsys, batch):
    """Attributes of any type and size, with the conventions' formula beside them."""
    for number in range(EACH):
        rng = np.random.default_rng(5000 + 1000 * batch + number)
        kind = str(rng.choice(["u1", "i2", "u2", "i4", "f4"]))
        raw = rng.integers(0, 100, (5, 4, 70)).astype(kind)
        attributes = {}
        scale, offset, gone = 1.0, 0.0, np.zeros(raw.shape, bool)
        if rng.random() < 0.6:
            scale = float(rng.choice([0.5, 2.0, 1e-4, -1.0]))
            attributes["scale_factor"] = (rng.choice([0, 1]) and np.array([scale])) or scale
        if rng.random() < 0.6:
            offset = float(rng.choice([0.25, -7.0, 100.0]))
            attributes["add_offset"] = np.float32(offset)
        for name in ("_FillValue", "missing_value"):
            if rng.random() < 0.4:
                value = int(rng.integers(0, 100))
                attributes[name] = np.array([value], kind) if rng.random() < 0.7 else str(value)
                gone |= raw == value
        if rng.random() < 0.3:
            low, high = sorted(int(n) for n in rng.integers(0, 100, 2))
            attributes["valid_range"] = np.array([low, high], kind)
            gone |= (raw < low) | (raw > high)
        for name in ("units", "comment", "flag_values"):
            attributes[name] = [np.arange(3), "text", np.bytes_("bytes"), 2.5][rng.integers(4)]
        path = tmp_path / f"{number}.nc"
        with h5py.File(path, "w") as file:
            file["rad"] = raw
            file["rad"].attrs.update(attributes)
        found = outcome(path, capsys, spectral_dim=2, channels="0:70")
        assert not isinstance(found, str), found
        np.testing.assert_allclose(found[0], np.where(gone, np.nan, raw * scale + offset), rtol=1e-5)


@pytest.mark.parametrize("batch", BATCHES)
def test_tables_of_wavelengths_and_conventions_of_hdf5(tmp_path, capsys, batch):
    """Damaged bytes; no crash and no hang, and a file that is cut gives what was written or an error."""
    intact = tmp_path / "intact"
    intact.mkdir()
    writers = [fits_table, hyperspy, netcdf, linked]
    originals = []
    for writer in writers:
        (intact / writer.__name__).mkdir()
        originals.append(writer(intact / writer.__name__ / "cube", CUBE))
    for number in range(EACH):
        rng = np.random.default_rng(20_000 + 1000 * batch + number)
        original = originals[number % len(originals)]
        folder = tmp_path / str(number)
        shutil.copytree(original.parent, folder)
        victims = sorted(folder.iterdir())
        kind = damage(rng, victims[rng.integers(len(victims))])
        found = outcome(folder / original.name, capsys)
        if not isinstance(found, str) and kind == "cut":
            np.testing.assert_array_equal(found[0], CUBE)
        shutil.rmtree(folder)


@pytest.mark.parametrize("batch", range(4))
def test_tiles_tags_and_checksums(tmp_path, capsys, batch):
    """Packed FITS and TIFF, GDAL's tag, and attributes; a bit of data under a checksum is never another value."""
    intact = tmp_path / "intact"
    kinds = {name: fits_tiles(name) for name in ("RICE_1", "GZIP_2", "HCOMPRESS_1", "RICE_1+")}
    kinds |= {
        w.__name__: w for w in (fits_summed, tiff_tiles, tiff_gdal, attributes, fits_companions, matlab_structure)
    }
    originals = {}
    for name, writer in kinds.items():
        (intact / name).mkdir(parents=True)
        originals[name] = writer(intact / name / "cube", CUBE)
    names = list(originals)
    for number in range(EACH):
        rng = np.random.default_rng(60_000 + 1000 * batch + number)
        name = names[number % len(names)]
        path = tmp_path / f"{number}{originals[name].suffix}"
        shutil.copy(originals[name], path)
        if name in ("fits_summed", "RICE_1+"):
            with fits.open(path) as units:
                where = units[1].fileinfo() if name == "fits_summed" else units[1]._bintable.fileinfo()
            content = bytearray(path.read_bytes())
            content[where["datLoc"] + int(rng.integers(where["datSpan"]))] ^= 1 << int(rng.integers(8))
            path.write_bytes(content)
            found = outcome(path, capsys)
            assert isinstance(found, str)
            assert "do not match their checksum" in found
            continue
        kind = damage(rng, path)
        found = outcome(path, capsys)
        if not isinstance(found, str) and kind == "cut":
            np.testing.assert_array_equal(found[0], CUBE)


@pytest.mark.parametrize("batch", BATCHES)
def test_zarr(tmp_path, capsys, batch):
    """Damaged bytes, lost files and odd metadata in stores of both versions, as folder and as ZIP."""
    zarr = pytest.importorskip("zarr", reason="the extra formats is not installed")
    stores = []
    for version in (2, 3):
        for name in ("a.zarr", "a.zip"):
            path = tmp_path / f"v{version}" / name
            path.parent.mkdir(exist_ok=True)
            store = zarr.storage.LocalStore(path) if name == "a.zarr" else zarr.storage.ZipStore(path, mode="w")
            root = zarr.create_group(store, zarr_format=version)
            codecs = {"compressors": [zarr.codecs.ZstdCodec(checksum=True)]} if version == 3 else {}
            made = root.create_array("counts", shape=CUBE.shape, dtype=CUBE.dtype, chunks=(3, 4, 70), **codecs)
            made[...] = CUBE
            store.close()
            stores.append(path)
    for number in range(EACH):
        rng = np.random.default_rng(40_000 + 1000 * batch + number)
        original = stores[number % len(stores)]
        path = tmp_path / f"{number}{original.suffix}"
        (shutil.copytree if original.is_dir() else shutil.copy)(original, path)
        victims = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        victim = victims[rng.integers(len(victims))]
        if path.is_dir() and rng.random() < 0.2:
            victim.unlink()
            kind = "lost"
        else:
            kind = damage(rng, victim)
        found = outcome(path, capsys, spectral_dim=2)
        if isinstance(found, str):
            continue
        checked = path.suffix == ".zip" or (
            "json" not in victim.name and ".z" not in victim.name and "v3" in str(original)
        )
        if kind == "lost":
            assert "chunks are not there" in found[2] or np.array_equal(found[0], CUBE)
        elif checked and victim.suffix != ".json":
            same = found[0].shape == CUBE.shape and np.array_equal(found[0], CUBE)
            assert same or "chunks are not there" in found[2], (number, kind, victim)
        if path.is_dir():
            shutil.rmtree(path)


def test_a_table_that_is_not_there(tmp_path, capsys):
    path = fits_table(tmp_path / "cube", CUBE)
    with fits.open(path) as units:
        fits.HDUList([u.copy() for u in units[:2]]).writeto(tmp_path / "without.fits")
    found = outcome(tmp_path / "without.fits", capsys)
    assert not isinstance(found, str)
    np.testing.assert_array_equal(found[0], CUBE)
    assert "world coordinates are not usable" in found[2]
