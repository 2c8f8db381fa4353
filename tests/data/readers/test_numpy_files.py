import zipfile

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError

CUBE = np.random.default_rng(0).integers(0, 900, (6, 4, 70)).astype(np.uint16)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<u2", ">f4", "|u1", "<f8"])
def test_npz_of_every_kind(tmp_path, save, order, kind):
    array = np.asarray(CUBE, kind, order=order)
    save(tmp_path / "a.npz", small=np.zeros(3), cube=array, empty=np.zeros((0, 3)))
    with read_cube(tmp_path / "a.npz") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), array)


def test_stored_arrays_stay_in_the_file(tmp_path):
    np.savez(tmp_path / "a.npz", cube=CUBE)
    with read_cube(tmp_path / "a.npz") as cube:
        content = bytearray((tmp_path / "a.npz").read_bytes())
        place = content.index(CUBE.tobytes())
        content[place : place + CUBE.itemsize] = (CUBE.flat[0] + 1).tobytes()
        (tmp_path / "a.npz").write_bytes(content)
        assert cube.read_rows(0, 1)[0, 0, 0] == CUBE.flat[0] + 1


def test_a_big_compressed_array_is_announced(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("deepspec.data.readers.unpacked._BIG", 1000)
    np.savez_compressed(tmp_path / "a.npz", cube=CUBE)
    with read_cube(tmp_path / "a.npz"):
        assert "a.npz:cube: decompressing 0.0 GB once into a temporary file" in capsys.readouterr().err


def test_no_room_for_a_compressed_array(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    np.savez_compressed(tmp_path / "a.npz", cube=CUBE)
    with pytest.raises(UserError, match="set TMPDIR to a folder with more room"):
        read_cube(tmp_path / "a.npz")


def test_no_temporary_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    np.savez_compressed(tmp_path / "a.npz", cube=CUBE)
    with read_cube(tmp_path / "a.npz") as cube:
        assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)


def test_the_checksum_of_a_compressed_array_counts(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, cube=CUBE)
    with zipfile.ZipFile(path) as archive:
        crc = archive.getinfo("cube.npy").CRC.to_bytes(4, "little")
    content = path.read_bytes()
    path.write_bytes(content.replace(crc, bytes(4)))
    with pytest.raises(UserError, match=r"cannot be read as NPZ.*CRC"):
        read_cube(path)


@pytest.mark.parametrize(
    ("name", "unit"), [("wavelengths_nm", "nm"), ("energy_keV", "keV"), ("raman_shift", "1/cm"), ("bands", "nm")]
)
def test_names_of_lists_say_quantity_and_unit(tmp_path, name, unit):
    values = np.linspace(400, 700, 70)
    np.savez(tmp_path / "a.npz", cube=np.ones((5, 6, 70)), **{name: values})
    with read_cube(tmp_path / "a.npz") as cube:
        assert cube.axis.unit == unit
        np.testing.assert_allclose(cube.axis.values, values)


@pytest.mark.parametrize("bands", [np.arange(1, 71), np.r_[3:40, 60:93]])
def test_numbers_of_bands_are_no_wavelengths(tmp_path, bands):
    np.savez(tmp_path / "a.npz", cube=np.ones((5, 6, 70)), bands=bands)
    with read_cube(tmp_path / "a.npz") as cube:
        assert cube.axis.unit == "channel"


def test_a_list_of_another_length_beside_the_cube_is_said(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", cube=np.ones((5, 6, 70)), wavelengths=np.linspace(400, 700, 69))
    with read_cube(tmp_path / "a.npz") as cube:
        assert cube.axis.unit == "channel"
    assert "69 positions in 'wavelengths', the cube has 70 channels, which are counted" in capsys.readouterr().err
