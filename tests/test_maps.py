import numpy as np
import pytest
from PIL import Image

from deepspec import maps as verb
from deepspec.line_maps import LineMaps
from tests.line_maps.scans import gas_cube, xray_scan
from tests.support.errors import error_of


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("maps") / "scan.h5"
    xray_scan()[0].save(path)
    return path


def test_maps_are_written_and_read_back(scan, tmp_path, capsys):
    import tifffile
    from astropy.io import fits

    out = tmp_path / "maps"
    verb.main([str(scan), "--elements", "Pb", "Fe-K", "--out", str(out), "--export", "all", "--tube", "none"])
    printed = capsys.readouterr().out
    assert "maps of 20 x 24 pixels: Pb L" in printed
    assert f"wrote {out / 'Fe-K.tif'}" in printed
    found = LineMaps.load(out / "maps.h5")
    assert found.origin["cube"] == str(scan)
    assert len(found.origin["cube_sha256"]) == 64
    iron = found["Fe K"]
    np.testing.assert_array_equal(tifffile.imread(out / "Fe-K.tif"), iron.values)
    np.testing.assert_array_equal(tifffile.imread(out / "Fe-K-error.tif"), iron.errors)
    with fits.open(out / "maps.fits") as units:
        np.testing.assert_array_equal(units["FE K"].data, iron.values)
        assert units["FE K"].header["BUNIT"] == "counts"
        assert units["FE K ERROR"].data.dtype.kind == "f"
    with Image.open(out / "maps.png") as picture:
        assert picture.size[0] > 300


def test_fits_have_the_world_coordinates_of_the_cube(shared_data, tmp_path):
    from astropy.io import fits

    cube = shared_data / "muse_udf" / "subcub_mosaic.fits"
    verb.main([str(cube), "--lines", "[OII]3727", "--redshift", "0.41", "0.43", "--out", str(tmp_path / "maps")])
    with fits.open(cube) as ours, fits.open(tmp_path / "maps" / "maps.fits") as units:
        header = units[1].header
        for key in ("CRVAL1", "CRVAL2", "CTYPE1"):
            assert header[key] == ours["DATA"].header[key]
        assert "erg" in header["BUNIT"]


def test_emission_lines_from_the_command_line(tmp_path, capsys):
    gas_cube()[0].save(tmp_path / "gas.h5")
    verb.main([str(tmp_path / "gas.h5"), "--lines", "Ha", "[SII]6716", "--redshift", "0.005", "0.015",
               "--out", str(tmp_path / "maps")])  # fmt: skip
    assert "Hα flux, Hα velocity, Hα dispersion, [SII]6716 flux" in capsys.readouterr().out
    assert (tmp_path / "maps" / "Ha-velocity.tif").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--elements", "Fee"], "element 'Fee': no X-ray lines of it are known (did you mean 'Fe'?)"),
        (["--lines", "Ha"], "--lines names emission lines of wavelengths"),
        (["--export", "gif"], "export 'gif': expected auto, none, all, or some of tiff, fits, svg, pdf"),
        (["--tube", "Zn"], "tube 'Zn': expected the anode"),
    ],
)
def test_mistakes_are_one_line(scan, tmp_path, capsys, words, message):
    assert message in error_of(capsys, lambda: verb.main([str(scan), "--out", str(tmp_path / "out"), *words]))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(scan, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds something else than maps (notes.txt)" in error_of(
        capsys, lambda: verb.main([str(scan), "--out", str(tmp_path)])
    )


def test_a_damaged_file_is_said_to_be_one(tmp_path):
    (tmp_path / "maps.h5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="expected maps written by deepspec maps, got a file that is damaged"):
        LineMaps.load(tmp_path / "maps.h5")
