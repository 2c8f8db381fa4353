from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from PIL import Image

from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from tests.data.cube_formats import tiff_compressed, tiff_pages

CUBE = np.random.default_rng(0).integers(0, 900, (6, 4, 70)).astype(np.uint16)


def test_pages_written_by_pillow(tmp_path):
    pages = [Image.fromarray(CUBE[:, :, c]) for c in range(70)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with read_cube(tmp_path / "a.tif") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)


@pytest.mark.parametrize(
    "options", [{"imagej": True}, {"ome": True}, {"bigtiff": True}, {"compression": "zlib", "tile": (16, 16)}]
)
def test_kinds_of_tiff(tmp_path, options):
    stack = np.ascontiguousarray(CUBE.transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)
    with read_cube(tmp_path / "a.tif") as cube:
        np.testing.assert_array_equal(cube.read_rows(1, 5), CUBE[1:5])


def test_detectors_are_summed_or_chosen(tmp_path):
    four = np.random.default_rng(1).integers(0, 900, (3, 70, 6, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="minisblack", imagej=False)
    with read_cube(tmp_path / "a.tif", spectral_dim=1) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), four.sum(axis=0).transpose(1, 2, 0))
    with read_cube(tmp_path / "a.tif", spectral_dim=1, detector=2) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), four[2].transpose(1, 2, 0))


def test_value_for_no_data(tmp_path):
    array = CUBE.astype(np.int16)
    array[2, 1] = -1
    tags = [(42113, "s", 0, "-1", True)]
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig", extratags=tags)
    with read_cube(tmp_path / "a.tif") as cube:
        assert np.argwhere(cube.find_dead()).tolist() == [[2, 1]]


def test_the_largest_of_several_stacks_is_taken_and_said(tmp_path, capsys):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((3, 5, 5), np.uint8), photometric="minisblack")
        file.write(np.ascontiguousarray(CUBE.transpose(2, 0, 1)), photometric="minisblack")
    with read_cube(tmp_path / "a.tif") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)
    assert "took '1' (70, 6, 4) (others: 0)" in capsys.readouterr().err
    with read_cube(tmp_path / "a.tif", dataset="0") as cube:
        assert cube.shape == (5, 5, 3)


def test_damaged_compressed_pages(tmp_path):
    path = tiff_compressed(tmp_path / "a", CUBE)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        start = file.pages[40].dataoffsets[0]
    content[start : start + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as TIFF"):
        read_cube(path)


def test_a_mask_from_a_tiff(tmp_path):
    path = tiff_pages(tmp_path / "a", CUBE)
    tifffile.imwrite(tmp_path / "mask.tif", np.eye(6, 4, dtype=np.uint8))
    with read_cube(path, mask=tmp_path / "mask.tif") as cube:
        np.testing.assert_array_equal(cube.mask, np.eye(6, 4) > 0)


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs is installed and reads LZW")
def test_lzw_needs_a_package_that_is_named(tmp_path):
    """tifffile unpacks deflate by itself, LZW by imagecodecs; Pillow writes it."""
    images = [Image.fromarray(np.full((20, 30), i, np.uint16)) for i in range(70)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:], compression="tiff_lzw")
    with pytest.raises(UserError, match=r"the package 'imagecodecs' is needed.*pip install 'deepspec\[formats\]'"):
        read_cube(tmp_path / "a.tif")


WAVELENGTHS = np.round(np.linspace(400, 1000, 70), 3)


def with_gdal(path, items, planar, nodata=None):
    """A GeoTIFF as GDAL writes one: a single page of many samples, and its tag of metadata."""
    text = "<GDALMetadata>\n" + "".join(
        f'  <Item name="{name}" sample="{band}"{more}>{value}</Item>\n' for name, band, more, value in items
    )
    tags = [(42112, 2, 0, text + "</GDALMetadata>", True)]
    tags += [] if nodata is None else [(42113, 2, 0, str(nodata), True)]
    stored = np.ascontiguousarray(CUBE.transpose(2, 0, 1)) if planar else CUBE
    layout = {"planarconfig": "separate" if planar else "contig", "photometric": "minisblack"}
    tifffile.imwrite(path, stored, metadata=None, extratags=tags, **layout)
    return path


@pytest.mark.parametrize("planar", [True, False])
def test_scales_and_offsets_of_gdal(tmp_path, planar, capsys):
    items = [("SCALE", band, ' role="scale"', 0.5 + band) for band in range(70)]
    items += [("OFFSET", band, ' role="offset"', -2.0) for band in range(69)]  # the last has none
    with read_cube(with_gdal(tmp_path / "a.tif", items, planar, nodata=7)) as cube:
        expected = CUBE * (0.5 + np.arange(70)) + np.r_[np.full(69, -2.0), 0]
        np.testing.assert_allclose(cube.read_rows(0, 6), np.where(CUBE == 7, np.nan, expected), rtol=1e-6)
    assert "scales and offsets of the bands" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "nan", "a lot"])
def test_scales_of_gdal_that_are_none(tmp_path, value):
    path = with_gdal(tmp_path / "a.tif", [("SCALE", 3, ' role="scale"', value)], planar=True)
    with pytest.raises(UserError, match=r"a\.tif"):
        read_cube(path)


@pytest.mark.parametrize(
    "item",
    [
        lambda band, value: [("wavelength", band, "", value), ("wavelength_units", band, "", "Nanometers")],
        lambda band, value: [("wavelength", band, "", f"{value} Nanometers")],
        lambda band, value: [("DESCRIPTION", band, ' role="description"', f"Band {band + 1} ({value} nm)")],
        lambda band, value: [("CENTRAL_WAVELENGTH_UM", band, ' domain="IMAGERY"', f"{value / 1000:.6f}")],
    ],
)
def test_wavelengths_of_gdal(tmp_path, item):
    items = [found for band, value in enumerate(WAVELENGTHS) for found in item(band, value)]
    with read_cube(with_gdal(tmp_path / "a.tif", items, planar=True)) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)
        np.testing.assert_allclose(cube.axis.to("nm").values, WAVELENGTHS)


@pytest.mark.parametrize(("unit", "factor"), [("nm", 1), ("µm", 1000)])
def test_wavelengths_of_ome(tmp_path, unit, factor):
    channels = {"EmissionWavelength": list(WAVELENGTHS / factor), "EmissionWavelengthUnit": [unit] * 70}
    stack = np.ascontiguousarray(CUBE.transpose(2, 0, 1))
    metadata = {"axes": "CYX", "Channel": channels}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, ome=True, photometric="minisblack", metadata=metadata)
    with read_cube(tmp_path / "a.ome.tif") as cube:
        np.testing.assert_allclose(cube.axis.to("nm").values, WAVELENGTHS, rtol=1e-6)
