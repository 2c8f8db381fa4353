"""EDF files written by hand after the format's description, and by FabIO's rules."""

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError

CUBE = np.random.default_rng(0).poisson(5, (6, 5, 70)).astype(np.uint16)
TYPES = {"u1": "UnsignedByte", "u2": "UnsignedShort", "i4": "SignedInteger", "f4": "FloatValue", "f8": "DoubleValue"}


def frame(array, order="<", block=512, **fields):
    """A header that ends at a multiple of `block` bytes, and the numbers."""
    kind = TYPES[f"{array.dtype.kind}{array.dtype.itemsize}"]
    content = array.astype(array.dtype.newbyteorder(order)).tobytes()
    lengths = {f"Dim_{i}": n for i, n in enumerate(array.shape[::-1], 1)}
    known = {
        "HeaderID": "EH:000001:000000:000000", "Image": 1,
        "ByteOrder": "LowByteFirst" if order == "<" else "HighByteFirst",
        "DataType": kind, **lengths, "Size": len(content), **fields,
    }  # fmt: skip
    text = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in known.items())
    return (text + " " * (-(len(text) + 2) % block) + "}\n").encode() + content


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", list(TYPES))
@pytest.mark.parametrize("block", [512, 1024, 4096])
def test_frames_of_one_file(tmp_path, kind, order, block):
    cube = CUBE.astype(kind)
    (tmp_path / "scan.edf").write_bytes(b"".join(frame(line, order, block) for line in cube))
    with read_cube(tmp_path / "scan.edf", spectral_dim=2) as found:
        assert found.dtype == np.dtype(kind)
        np.testing.assert_array_equal(found.read_rows(0, 6), cube)
        np.testing.assert_array_equal(found.read_rows(2, 4), cube[2:4])


def test_one_frame_of_three_dimensions_with_a_calibration(tmp_path):
    (tmp_path / "cube.edf").write_bytes(frame(CUBE, **{"MCA a": -0.1, "MCA b": 0.02, "MCA c": 0.0}))
    with read_cube(tmp_path / "cube.edf") as found:
        np.testing.assert_array_equal(found.read_rows(0, 6), CUBE)
        assert found.axis.unit == "keV"
        np.testing.assert_allclose(found.axis.values, -0.1 + 0.02 * np.arange(70))


def test_lines_of_a_scan_in_a_folder_in_natural_order(tmp_path, capsys):
    for i in range(12):
        (tmp_path / f"scan_{i}.edf").write_bytes(frame(CUBE[i % 6] + i))
    (tmp_path / "notes.txt").write_text("of the beamtime")
    with read_cube(tmp_path, spectral_dim=2) as found:
        np.testing.assert_array_equal(found.read_rows(0, 12), [CUBE[i % 6] + i for i in range(12)])
    assert "took 12 files as one cube" in capsys.readouterr().err


def test_damage(tmp_path):
    path = tmp_path / "scan.edf"
    whole = b"".join(frame(line) for line in CUBE)
    path.write_bytes(whole[:-3])
    with pytest.raises(UserError, match="cut short: a frame of"):
        read_cube(path)
    path.write_bytes(whole.replace(b"UnsignedShort", b"UnsignedThing"))
    with pytest.raises(UserError, match="DataType 'UnsignedThing'"):
        read_cube(path)
    path.write_bytes(frame(CUBE[0]) + b"something else" * 99)
    with pytest.raises(UserError, match="the header of a frame is expected"):
        read_cube(path)
    path.write_bytes(frame(CUBE[0]) + frame(CUBE[0, :3]))
    with pytest.raises(UserError, match="expected to be alike"):
        read_cube(path)
    path.write_bytes(frame(CUBE[0], Compression="ZCompression"))
    with pytest.raises(UserError, match="compression"):
        read_cube(path)


def xia(folder, detectors, lines=range(6), scan=1):
    for detector, factor in detectors.items():
        for line in lines:
            array = np.ones((5, 6), np.int32) if detector == "st" else factor * CUBE[line].astype(np.int32)
            (folder / f"map_xia{detector}_{scan:04d}_0000_{line:04d}.edf").write_bytes(frame(array))


@pytest.mark.parametrize("statistics", [{}, {"st": 1}])
def test_detectors_of_xia_electronics(tmp_path, capsys, statistics):
    xia(tmp_path, {"00": 1, "01": 2, "10": 4} | statistics)
    with read_cube(tmp_path, spectral_dim=2) as found:
        np.testing.assert_array_equal(found.read_rows(0, 6), 7 * CUBE.astype(np.int64))
    with read_cube(tmp_path, spectral_dim=2, detector=1) as found:
        np.testing.assert_array_equal(found.read_rows(0, 6), 2 * CUBE)
    assert "took xia00, xia01, xia10 as 3 detectors" in capsys.readouterr().err


def test_the_sum_that_xia_electronics_wrote(tmp_path, capsys):
    xia(tmp_path, {"00": 1, "01": 2, "S0": 3, "st": 1})
    with read_cube(tmp_path, spectral_dim=2) as found:
        np.testing.assert_array_equal(found.read_rows(0, 6), 3 * CUBE)
    assert "took xiaS0, the sum of the detectors" in capsys.readouterr().err


def test_xia_files_that_are_no_cube(tmp_path):
    xia(tmp_path, {"st": 1})
    with pytest.raises(UserError, match="only statistics"):
        read_cube(tmp_path)
    xia(tmp_path, {"00": 1})
    xia(tmp_path, {"01": 1}, lines=range(5))
    with pytest.raises(UserError, match="detector 01 has 5 lines, 00 6"):
        read_cube(tmp_path)
    xia(tmp_path, {"00": 1}, scan=2)
    with pytest.raises(UserError, match=r"2 scans in one folder \(map 0001, map 0002\)"):
        read_cube(tmp_path)
