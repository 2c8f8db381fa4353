"""Scaled FITS images against astropy's own reading."""

import numpy as np
import pytest
from astropy.io import fits

from deepspec.data.cube import read_cube
from deepspec.errors import UserError

RNG = np.random.default_rng(0)


def compare(path):
    reference = fits.getdata(path).transpose(1, 2, 0)
    with read_cube(path, axis="channel") as cube:
        found = cube.read_rows(0, cube.shape[0])
        assert found.dtype == cube.dtype
    np.testing.assert_array_equal(found, reference)
    return found.dtype


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_type_over_its_whole_range(tmp_path, kind):
    dtype = np.dtype(kind)
    cube = RNG.normal(size=(70, 3, 4)) if dtype.kind == "f" else None
    if cube is None:
        info = np.iinfo(dtype)
        cube = RNG.integers(info.min, info.max, (70, 3, 4), dtype=dtype, endpoint=True)
        cube.flat[:2] = info.min, info.max
    fits.writeto(tmp_path / "a.fits", cube.astype(dtype))
    assert compare(tmp_path / "a.fits") == dtype


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4"])
@pytest.mark.parametrize("cards", [{"BSCALE": 0.5, "BZERO": 7.0}, {"BLANK": 3}, {"BZERO": -32768.0}])
def test_scales_and_blanks(tmp_path, kind, cards):
    if kind == "f4" and "BLANK" in cards:
        pytest.skip("BLANK is for integers")
    hdu = fits.PrimaryHDU(RNG.integers(0, 9, (70, 3, 4)).astype(kind))
    hdu.writeto(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update(cards)
    found = compare(tmp_path / "a.fits")
    assert found == (np.float64 if kind == "i4" else np.float32)


def test_compressed_image(tmp_path):
    cube = RNG.integers(0, 999, (70, 30, 40)).astype(np.int16)
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(cube, name="DATA")])
    hdus.writeto(tmp_path / "a.fits")
    with read_cube(tmp_path / "a.fits", axis="channel") as found:
        np.testing.assert_array_equal(found.read_rows(3, 20), cube.transpose(1, 2, 0)[3:20])


@pytest.mark.parametrize("compressed", [False, True])
def test_data_are_compared_with_their_checksum(tmp_path, compressed):
    image = np.random.default_rng(0).integers(0, 900, (70, 5, 6)).astype(np.int32)
    unit = fits.CompImageHDU(data=image, name="DATA") if compressed else fits.ImageHDU(image, name="DATA")
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path, checksum=True)
    with read_cube(path) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), image.transpose(1, 2, 0))
    with fits.open(path) as units:
        place = units[1].fileinfo()["datLoc"] if not compressed else path.stat().st_size - 2880
    content = bytearray(path.read_bytes())
    content[place + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.fits: damaged: the data of 'DATA' do not match their checksum"):
        read_cube(path)


@pytest.mark.parametrize("tile", [(1, 20, 24), (1, 16, 16)])
def test_hcompressed_tiles_are_of_the_size_that_they_say(tmp_path, tile):
    """The library that unpacks them believes the stream, and ends the process where it is wrong."""
    image = np.random.default_rng(0).poisson(5, (70, 20, 24)).astype(np.int16)
    path = tmp_path / "a.fits"
    unit = fits.CompImageHDU(data=image, name="DATA", compression_type="HCOMPRESS_1", tile_shape=tile)
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path)
    with read_cube(path) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 20), image.transpose(1, 2, 0))
    content = path.read_bytes()
    place = content.rfind(b"\xdd\x99\0\0\0")
    for rows in (0, 2**16, -1):
        changed = content[: place + 2] + rows.to_bytes(4, "big", signed=True) + content[place + 6 :]
        (tmp_path / "b.fits").write_bytes(changed)
        with pytest.raises(UserError, match=r"a tile of 'DATA' at byte .* is not of its size"):
            read_cube(tmp_path / "b.fits")
    with fits.open(path) as units:
        length = units[1]._bintable.header["PCOUNT"]
    short = content.replace(b"PCOUNT  = %20d" % length, b"PCOUNT  = %20d" % (length - 40))  # ends within the last tile
    (tmp_path / "b.fits").write_bytes(short)
    with pytest.raises(UserError, match=r"a tile of 'DATA' at byte .* is not of its size"):
        read_cube(tmp_path / "b.fits")


@pytest.mark.parametrize("bits", [26, 0, 99])
def test_a_unit_with_numbers_of_no_known_type(tmp_path, bits):
    image = np.ones((70, 5, 6), np.int16)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="DATA")]).writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    card = b"BITPIX  = %20d"
    place = content.rfind(card % 16)
    (tmp_path / "a.fits").write_bytes(content[:place] + card % bits + content[place + 30 :])
    with pytest.raises(UserError, match=r"a\.fits"):
        read_cube(tmp_path / "a.fits")
