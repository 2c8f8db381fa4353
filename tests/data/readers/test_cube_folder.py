"""Files of one spectrum, alone and as the pixels of a cube."""

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.data.readers.folder import cube_files
from deepspec.data.shards.manifest import ShardSet
from deepspec.errors import UserError
from deepspec.ingest import main

CUBE = np.random.default_rng(0).poisson(50, (4, 3, 64)).astype(np.uint32)
KEV = 0.02 * np.arange(64) - 0.1


def amptek(counts):
    head = ["<<PMCA SPECTRUM>>", "TAG - live_data", "LIVE_TIME - 12.5", "<<CALIBRATION>>", "LABEL - Energy (keV)"]
    return "\n".join([*head, "0 -0.1", "50 0.9", "<<DATA>>", *map(str, counts), "<<END>>", "<<DPP STATUS>>", ""])


def spec(counts):
    lines = [" ".join(map(str, counts[i : i + 16])) for i in range(0, len(counts), 16)]
    head = ["#S 1 scan", "#N 1", "#@MCA %16C", f"#@CHANN {len(counts)} 0 {len(counts) - 1} 1", "#@CALIB -0.1 0.02 0"]
    return "\n".join([*head, "@A " + "\\\n".join(lines), ""])


def spe(counts):
    body = "\n".join(f"{n:8d}" for n in counts)
    return (
        f"$SPEC_ID:\nsample\n$MEAS_TIM:\n12 13\n$DATA:\n0 {len(counts) - 1}\n{body}\n$MCA_CAL:\n3\n-0.1 0.02 0.0 keV\n"
    )


def msa(counts):
    head = ["#FORMAT : EMSA/MAS Spectral Data File", f"#NPOINTS : {len(counts)}", "#XUNITS : keV", "#DATATYPE : Y"]
    head += ["#XPERCHAN : 0.02", "#OFFSET : -0.1", "#SPECTRUM :"]
    return "\n".join([*head, *(f"{n:.1f}," for n in counts), "#ENDOFDATA :", ""])


KINDS = {"amptek.mca": amptek, "spec.mca": spec, "a.spe": spe, "a.msa": msa}


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def folder(tmp_path, kind):
    (tmp_path / "map").mkdir()
    for number, counts in enumerate(CUBE.reshape(-1, 64)):
        (tmp_path / "map" / f"point_{number}.{kind.rpartition('.')[2]}").write_text(KINDS[kind](counts))
    return tmp_path / "map"


def test_a_file_alone(tmp_path, kind):
    path = tmp_path / kind
    path.write_text(KINDS[kind](CUBE[0, 0]))
    with read_cube(path) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 1), CUBE[:1, :1])
        assert cube.axis.unit == "keV"
        np.testing.assert_allclose(cube.axis.values, KEV, atol=1e-9)


@pytest.mark.parametrize("part", [0.6, 0.4, 0.3])
def test_a_file_cut_short(tmp_path, kind, part):
    path = tmp_path / kind
    text = KINDS[kind](CUBE[0, 0])
    path.write_text(text[: int(len(text) * part)])
    with pytest.raises(UserError, match=kind):
        read_cube(path)


def test_pixels_in_natural_order(folder, capsys):
    """point_10 comes after point_9."""
    with read_cube(folder, spatial_shape=(4, 3)) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 4), CUBE)
        np.testing.assert_allclose(cube.axis.values, KEV, atol=1e-9)
    assert "took 12 spectra as pixels, in the order of their names, point_0" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"12 spectra .* give --spatial_shape ROWS COLUMNS"):
        read_cube(folder)
    with pytest.raises(UserError, match="spatial_shape 5 x 3 needs one dimension of length 15"):
        read_cube(folder, spatial_shape=(5, 3))


def test_from_the_command_line(folder, tmp_path):
    main([str(folder), "--out", str(tmp_path / "out"), "--spatial_shape", "4", "3"])
    shards = ShardSet(tmp_path / "out")
    assert shards.axis.unit == "keV"
    assert sum(shards.rows(split) for split in shards.splits) == 12


def test_without_rows_and_columns_each_is_a_cube_of_its_own(folder):
    assert len(cube_files([str(folder)])) == 12
    assert cube_files([str(folder)], (4, 3)) == [str(folder)]


def test_spectra_that_differ(folder, kind):
    odd = sorted(folder.iterdir())[3]
    odd.write_text(KINDS[kind](CUBE[0, 0, :50]))
    with pytest.raises(UserError, match=r"50 channels, point_0\.\w+ has 64"):
        read_cube(folder, spatial_shape=(4, 3))


def test_two_kinds_in_a_folder(tmp_path):
    (tmp_path / "a.mca").write_text(amptek(CUBE[0, 0]))
    (tmp_path / "a.spe").write_text(spe(CUBE[0, 0]))
    with pytest.raises(UserError, match="holds files of 2 kinds, MCA, SPE"):
        read_cube(tmp_path, spatial_shape=(1, 2))
