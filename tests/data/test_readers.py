"""Each format against the array that was written, in every order of dimensions, and each kind of damage."""

import itertools

import h5py
import numpy as np
import pytest
import scipy.io
from astropy.io import fits

from deepspec.data.cube import read_cube
from deepspec.errors import UserError

CUBE = np.random.default_rng(0).poisson(5, (5, 4, 70)).astype(np.int16)  # rows, columns, channels
FOUR = np.random.default_rng(1).poisson(5, (5, 4, 3, 70)).astype(np.uint16)  # detectors before channels


def write_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def write(path, array):
    {
        ".h5": lambda: write_hdf5(path, {"scan/img": array}),
        ".npy": lambda: np.save(path, array),
        ".npz": lambda: np.savez(path, counts=array),
        ".mat": lambda: scipy.io.savemat(path, {"Y": array}),
        ".fits": lambda: fits.writeto(path, array),
    }[path.suffix]()
    return path


FORMATS = [".h5", ".npy", ".npz", ".mat", ".fits"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_order_of_dimensions(tmp_path, suffix):
    for order in itertools.permutations(range(3)):
        path = write(tmp_path / f"{order}{suffix}", np.ascontiguousarray(CUBE.transpose(order)))
        with read_cube(path, spectral_dim=order.index(2)) as cube:
            found = cube.read_rows(0, cube.shape[0])
            # Told only the spectral dimension, the reader keeps the stored order of the other two.
            expected = CUBE if order.index(0) < order.index(1) else CUBE.transpose(1, 0, 2)
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == np.int16
            assert found.dtype.isnative


@pytest.mark.parametrize("suffix", FORMATS)
def test_detectors_are_summed_or_chosen(tmp_path, suffix):
    path = write(tmp_path / f"four{suffix}", FOUR)
    options = {"spectral_dim": 3}
    with read_cube(path, **options) as cube:
        np.testing.assert_array_equal(cube.read_rows(1, 3), FOUR.sum(axis=2)[1:3])
        assert cube.read_rows(0, 1).dtype == cube.dtype == np.uint32
    with read_cube(path, detector=1, **options) as cube:
        np.testing.assert_array_equal(cube.read_rows(1, 3), FOUR[1:3, :, 1])
        assert cube.dtype == np.uint16
    with pytest.raises(UserError, match="no detector 3: there are 3"):
        read_cube(path, detector=3, **options)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("transposed", [False, True])
def test_one_row_per_spectrum(tmp_path, suffix, order, transposed):
    flat = CUBE.reshape(-1, 70) if order == "C" else CUBE.transpose(1, 0, 2).reshape(-1, 70)
    path = write(tmp_path / f"flat{suffix}", np.ascontiguousarray(flat.T) if transposed else flat)
    with read_cube(path, spatial_shape=(5, 4), order=order) as cube:
        assert cube.shape == CUBE.shape
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)
        np.testing.assert_array_equal(cube.read_rows(2, 4), CUBE[2:4])


@pytest.mark.parametrize("suffix", FORMATS)
def test_pixels_in_a_row_with_detectors(tmp_path, suffix):
    path = write(tmp_path / f"flat{suffix}", FOUR.reshape(20, 3, 70))
    with read_cube(path, spatial_shape=(5, 4), spectral_dim=2, detector=2) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), FOUR[:, :, 2])


@pytest.mark.parametrize("suffix", FORMATS)
class TestDamage:
    def test_cut_short(self, tmp_path, suffix):
        path = write(tmp_path / f"cube{suffix}", np.tile(CUBE, (20, 1, 1)))
        content = path.read_bytes()
        for part in (0.98, 0.5, 0.05):
            path.write_bytes(content[: int(len(content) * part)])
            with pytest.raises(UserError, match=path.name), read_cube(path) as cube:
                cube.find_dead()

    def test_text(self, tmp_path, suffix):
        path = tmp_path / f"cube{suffix}"
        path.write_text("energy, counts\n1, 2\n")
        with pytest.raises(UserError, match=f"{path.name}: not a .* file although its name says so.*energy"):
            read_cube(path)

    def test_empty(self, tmp_path, suffix):
        path = tmp_path / f"cube{suffix}"
        path.touch()
        with pytest.raises(UserError, match=f"{path.name}: the file is empty"):
            read_cube(path)

    def test_one_dimension(self, tmp_path, suffix):
        path = write(tmp_path / f"cube{suffix}", np.arange(100))
        with pytest.raises(UserError, match=rf"{path.name}: .*3 or 4 dimensions.*spatial_shape"):
            read_cube(path)
        if suffix != ".mat":  # MATLAB stores a list as a matrix of one row
            with pytest.raises(UserError, match=r"expected 2 or 3 dimensions|with 2 or 3 dimensions"):
                read_cube(path, spatial_shape=(10, 10))

    def test_missing(self, tmp_path, suffix):
        with pytest.raises(UserError, match="no such file"):
            read_cube(tmp_path / f"cube{suffix}")


def test_other_contents_are_named(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"\x00\x01\x02\x03")
    with pytest.raises(UserError, match="unknown format"):
        read_cube(tmp_path / "a.xyz")
    (tmp_path / "a.fits.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(UserError, match=r"a\.fits\.gz: cannot be read as gzip"):
        read_cube(tmp_path / "a.fits.gz")
    with pytest.raises(UserError, match="folder"):
        read_cube(tmp_path)
    (tmp_path / "a.txt").write_text("1 2 3")
    with pytest.raises(UserError, match="text file holds no cube"):
        read_cube(tmp_path / "a.txt")
    np.save(tmp_path / "objects.npy", np.array([{}, None]), allow_pickle=True)
    with pytest.raises(UserError, match=r"objects.npy.* holds object, expected integer or real numbers"):
        read_cube(tmp_path / "objects.npy")


def test_content_counts_not_the_extension(tmp_path):
    path = write(tmp_path / "cube.npy", CUBE).rename(tmp_path / "cube.h5")
    with read_cube(path, spectral_dim=2) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


class TestHDF5:
    def test_the_usual_name_is_taken_and_said(self, tmp_path, capsys):
        write_hdf5(tmp_path / "a.h5", {"x/big": np.tile(CUBE, (3, 1, 1)), "x/img": CUBE, "text": "hello"})
        with read_cube(tmp_path / "a.h5") as cube:
            assert cube.shape == CUBE.shape
        said = capsys.readouterr().err
        assert "took 'x/img' (5, 4, 70) (others: x/big)" in said
        assert "--dataset NAME" in said
        assert "--spectral_dim NUMBER" in said

    def test_a_named_dataset_is_not_talked_about(self, tmp_path, capsys):
        write_hdf5(tmp_path / "a.h5", {"big": np.tile(CUBE, (3, 1, 1)), "img": CUBE})
        with read_cube(tmp_path / "a.h5", dataset="/big", spectral_dim=2) as cube:
            assert cube.shape == (15, 4, 70)
        assert capsys.readouterr().err == ""

    def test_a_wrong_name_lists_what_is_there(self, tmp_path):
        write_hdf5(tmp_path / "a.h5", {"x/img": CUBE, "line": np.zeros(3)})
        with pytest.raises(UserError, match=r"no numeric array 'img'; arrays found: line \(3,\), x/img \(5, 4, 70\)"):
            read_cube(tmp_path / "a.h5", dataset="img")
        with pytest.raises(UserError, match=r"'line' has shape \(3,\), expected 3 or 4 dimensions"):
            read_cube(tmp_path / "a.h5", dataset="line")
        write_hdf5(tmp_path / "b.h5", {"text": "hello"})
        with pytest.raises(UserError, match="no numeric array with 3 or 4 dimensions; found: none"):
            read_cube(tmp_path / "b.h5")

    def test_maps_group_holds_detectors(self, tmp_path):
        stored = np.ascontiguousarray(FOUR.transpose(2, 3, 0, 1))  # detector, channel, row, column
        arrays = {f"MAPS_RAW/data_{name}": stored[i] for i, name in enumerate("abc")}
        write_hdf5(tmp_path / "a.h5", {**arrays, "MAPS_RAW/livetime": np.ones((3, 5, 4))})
        with read_cube(tmp_path / "a.h5") as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 5), FOUR.sum(axis=2))
        with read_cube(tmp_path / "a.h5", detector=2) as cube:
            np.testing.assert_array_equal(cube.read_rows(2, 5), FOUR[2:5, :, 2])
        with read_cube(tmp_path / "a.h5", dataset="MAPS_RAW/data_b") as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 5), FOUR[:, :, 1])
        with pytest.raises(UserError, match="no detector 3: there are 3"):
            read_cube(tmp_path / "a.h5", detector=3)

    def test_axis_with_a_unit_settles_the_spectral_dimension(self, tmp_path, capsys):
        write_hdf5(tmp_path / "a.h5", {"img": np.ascontiguousarray(CUBE.transpose(2, 0, 1))})
        with h5py.File(tmp_path / "a.h5", "a") as file:
            file["energy"] = np.linspace(100, 7000, 70)
            file["energy"].attrs["units"] = "eV"
            file.attrs["operator"] = "nobody"
        with read_cube(tmp_path / "a.h5") as cube:
            assert cube.shape == CUBE.shape
            assert (cube.axis.unit, cube.axis.values[0]) == ("keV", 0.1)
            assert cube.metadata["operator"] == "nobody"
        assert capsys.readouterr().err == ""

    def test_blocks_end_at_chunk_borders(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("img", data=np.tile(CUBE, (6, 1, 1)), chunks=(8, 4, 70), compression="gzip")
        with read_cube(tmp_path / "a.h5", spectral_dim=2) as cube:
            assert [(s.start, s.stop) for s, _ in cube.blocks(4 * 20)] == [(0, 16), (16, 30)]
            assert [s.stop for s, _ in cube.blocks(4 * 5)] == [5, 10, 15, 20, 25, 30]  # no whole chunk fits
            assert [s.stop for s, _ in cube.blocks(1)] == list(range(1, 31))

    def test_matlab_73_scene(self, tmp_path):
        path = tmp_path / "new.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            file["scene"] = np.ascontiguousarray(CUBE.T)
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file")
        with read_cube(path) as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


class TestFITS:
    def make(self, path, **cards):
        hdu = fits.ImageHDU(CUBE.transpose(2, 0, 1).astype(np.float32), name="DATA")
        hdu.header.update({"CTYPE3": "WAVE", "CRVAL3": 4750.0, "CDELT3": 1.25, "CRPIX3": 1.0, **cards})
        flags = np.zeros(hdu.data.shape, dtype=np.int32)
        flags[:36, 0, 0] = 4  # most channels of one pixel, few of another
        flags[:3, 1, 1] = 4
        hdus = [fits.PrimaryHDU(), hdu, fits.ImageHDU(hdu.data * 2, name="STAT"), fits.ImageHDU(flags, name="DQ")]
        hdus[0].header["OBJECT"] = "NGC 0"
        fits.HDUList(hdus).writeto(path)
        return path

    @pytest.mark.parametrize("unit", ["Angstrom", "nm"])
    def test_wavelengths_flags_and_metadata(self, tmp_path, unit):
        with read_cube(self.make(tmp_path / "a.fits", CUNIT3=unit)) as cube:
            factor = {"Angstrom": 1, "nm": 10}[unit]
            assert cube.axis.unit == "angstrom"
            np.testing.assert_allclose(cube.axis.values, (4750 + 1.25 * np.arange(70)) * factor)
            np.testing.assert_array_equal(cube.read_rows(1, 3), CUBE[1:3])
            assert np.argwhere(~cube.mask).tolist() == [[0, 0]]
            assert cube.metadata["OBJECT"] == "NGC 0"

    def test_another_extension(self, tmp_path):
        for name in ("stat", "2"):
            with read_cube(self.make(tmp_path / f"{name}.fits", CUNIT3="nm"), dataset=name) as cube:
                np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE * 2)

    def test_logarithmic_wavelengths(self, tmp_path):
        path = self.make(tmp_path / "a.fits", CTYPE3="WAVE-LOG", CUNIT3="Angstrom")
        with read_cube(path) as cube:
            np.testing.assert_allclose(cube.axis.values, 4750 * np.exp(1.25 * np.arange(70) / 4750))

    def test_frequencies_become_wavelengths(self, tmp_path):
        path = self.make(tmp_path / "a.fits", CTYPE3="FREQ", CUNIT3="Hz", CRVAL3=6e14, CDELT3=1e12)
        with read_cube(path) as cube:
            np.testing.assert_allclose(cube.axis.values[0], 2.99792458e18 / 6e14)
            assert cube.axis.values[1] < cube.axis.values[0]

    def test_without_world_coordinates_the_third_axis_is_spectral(self, tmp_path):
        fits.writeto(tmp_path / "a.fits", CUBE.transpose(2, 0, 1))
        with read_cube(tmp_path / "a.fits") as cube:
            assert cube.shape == CUBE.shape
            assert cube.axis.unit == "channel"

    def test_a_wavelength_without_unit_is_guessed(self, tmp_path, capsys):
        with read_cube(self.make(tmp_path / "a.fits")) as cube:
            assert cube.axis.unit in {"angstrom", "um"}
        with read_cube(self.make(tmp_path / "b.fits"), axis="nm") as cube:
            assert cube.axis.unit in {"angstrom", "nm"}

    def test_scaled_integers(self, tmp_path):
        hdu = fits.PrimaryHDU(CUBE.transpose(2, 0, 1).astype(np.uint16))  # stored as int16 with BZERO 32768
        hdu.writeto(tmp_path / "a.fits")
        with read_cube(tmp_path / "a.fits") as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE)


class TestMATLAB:
    def test_scenes_are_row_column_band_even_if_a_dimension_looks_like_channels(self, tmp_path, capsys):
        scene = np.zeros((512, 3, 7), dtype=np.int16)
        scipy.io.savemat(tmp_path / "a.mat", {"scene": scene})
        with read_cube(tmp_path / "a.mat") as cube:
            assert cube.shape == (512, 3, 7)
        assert capsys.readouterr().err == ""

    def test_wavelengths_that_step_back_are_put_in_order(self, tmp_path, capsys):
        wavelengths = np.linspace(0.4, 2.5, 70)
        wavelengths[[30, 31]] = wavelengths[[31, 30]]
        scipy.io.savemat(tmp_path / "a.mat", {"I": CUBE, "wl": wavelengths})
        with read_cube(tmp_path / "a.mat") as cube:
            order = np.argsort(wavelengths)
            np.testing.assert_allclose(cube.axis.values, wavelengths[order])
            np.testing.assert_array_equal(cube.read_rows(0, 5), CUBE[:, :, order])
        said = capsys.readouterr().err
        assert "'wl' as the spectral axis in um" in said
        assert "steps back" in said
        with read_cube(tmp_path / "a.mat", axis="nm", channels="0:10,20:70") as cube:
            assert cube.axis.unit == "nm"
            np.testing.assert_array_equal(cube.read_rows(0, 5), np.delete(CUBE[:, :, order], range(10, 20), axis=2))


def test_npz_reads_headers_of_large_arrays_only(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", counts=CUBE, energy=np.linspace(0, 20, 70), note=np.array("text"))
    with read_cube(tmp_path / "a.npz") as cube:
        assert cube.axis.unit == "keV"
    assert "choose the unit with --axis UNIT" in capsys.readouterr().err
