"""How training cubes were read is kept, and used for a raw cube of the same instrument alone."""

import h5py
import numpy as np
import pytest

from deepspec.data.cube_options import CubeOptions
from deepspec.data.recorded_reading import open_as_recorded
from deepspec.data.shards.manifest import ShardSet
from deepspec.ingest import main

CUBE = np.random.default_rng(0).poisson(9, (12, 10, 64)).astype(np.uint16)
TWO = np.stack([CUBE, 3 * CUBE], axis=2)


def ingest(tmp_path, array, *options):
    np.save(tmp_path / "train.npy", array)
    main([str(tmp_path / "train.npy"), "--out", str(tmp_path / "shards"), "--spectral_dim", "-1", *map(str, options)])
    return ShardSet(tmp_path / "shards")


def reopened(tmp_path, shards, array, mask=None, name="new.npy", **options):
    np.save(tmp_path / name, array)
    reading = CubeOptions(spectral_dim=-1, **options)
    return open_as_recorded(shards.parameters.get("reading"), reading, str(tmp_path / name), mask, shards.axis)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--axis", "0.5:12:keV"), "--axis 0.5:12:keV"),
        (("--calibrate", "Fe-Ka=30,Cu-Ka=40"), "--calibrate Fe-Ka=30,Cu-Ka=40"),
        (
            ("--axis", "0.5:12:keV", "--channels", "5:20,30:60"),
            "--axis 0.5:12:keV --channels 5:20,30:60 (45 of 64 channels)",
        ),
        (("--channels", "5:60"), "--channels 5:60 (55 of 64 channels)"),
    ],
)
def test_a_raw_cube_is_read_like_the_training(tmp_path, capsys, options, said):
    shards = ingest(tmp_path, CUBE, *options)
    capsys.readouterr()
    other = CUBE[:7] + 1
    with reopened(tmp_path, shards, other) as cube:
        assert cube.axis.matches(shards.axis)
        assert cube.axis.unit == shards.axis.unit
        kept = np.arange(64) if cube.channels is None else cube.channels
        np.testing.assert_array_equal(cube.read_rows(0, 7), other[..., kept])
        assert cube.shape[2] == shards.channels
    assert f"took {said} from the checkpoint" in capsys.readouterr().err


def test_what_the_user_says_goes_first(tmp_path, capsys):
    shards = ingest(tmp_path, CUBE, "--axis", "0.5:12:keV", "--channels", "5:60")
    with reopened(tmp_path, shards, CUBE, axis="1:2:nm") as cube:
        assert (cube.axis.unit, cube.shape[2]) == ("nm", 64)
    assert "from the checkpoint" not in capsys.readouterr().err


def test_another_instrument_is_left_alone(tmp_path, capsys):
    shards = ingest(tmp_path, CUBE, "--axis", "0.5:12:keV", "--channels", "5:60")
    with reopened(tmp_path, shards, CUBE[..., :50]) as cube:
        assert (cube.axis.unit, cube.shape[2]) == ("channel", 50)
    with h5py.File(tmp_path / "own.h5", "w") as file:  # it states another axis, which no other file may overrule
        file["img"] = CUBE
        file["wavelength"] = np.linspace(400, 700, 64)
        file["wavelength"].attrs["unit"] = "nm"
    recorded = shards.parameters["reading"]
    with open_as_recorded(recorded, CubeOptions(), str(tmp_path / "own.h5"), None, shards.axis) as cube:
        assert (cube.axis.unit, cube.shape[2]) == ("nm", 64)
    assert "from the checkpoint" not in capsys.readouterr().err


def test_a_wrong_axis_of_the_files_is_overruled_again(tmp_path):
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["img"] = CUBE
            file["energy"] = np.linspace(0, 1, 64)
            file["energy"].attrs["unit"] = "keV"
    main([str(tmp_path / "a.h5"), "--out", str(tmp_path / "shards"), "--axis", "0.5:12:keV"])
    shards = ShardSet(tmp_path / "shards")
    recorded = shards.parameters["reading"]
    with open_as_recorded(recorded, CubeOptions(), str(tmp_path / "b.h5"), None, shards.axis) as cube:
        np.testing.assert_allclose(cube.axis.values, np.linspace(0.5, 12, 64))


def test_the_detector(tmp_path, capsys):
    shards = ingest(tmp_path, TWO, "--detector", 1, "--axis", "0.5:12:keV")
    with reopened(tmp_path, shards, TWO) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 12), 3 * CUBE)
    assert "took --detector 1, --axis 0.5:12:keV from the checkpoint" in capsys.readouterr().err
    with reopened(tmp_path, shards, TWO, detector=0) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 12), CUBE)
    with reopened(tmp_path, shards, CUBE) as cube:  # one detector only
        assert cube.axis.matches(shards.axis)


def test_channels_that_were_left_out_by_themselves(tmp_path, capsys):
    array = CUBE.astype(np.float32)
    array[..., 9] = np.nan
    shards = ingest(tmp_path, array)
    assert shards.channels == 63
    with reopened(tmp_path, shards, CUBE.astype(np.float32)) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 12), np.delete(CUBE, 9, axis=2))
    assert "took 63 of 64 channels from the checkpoint" in capsys.readouterr().err


def test_masks_of_the_same_cube_and_by_name(tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    for name, valid in (("train", np.eye(12, 10)), ("new", 1 - np.eye(12, 10))):
        np.save(tmp_path / "masks" / f"{name}.npy", valid)
    shards = ingest(tmp_path, CUBE, "--mask", tmp_path / "masks" / "{name}.npy")
    with reopened(tmp_path, shards, CUBE) as cube:
        assert cube.mask.sum() == 110
    assert "took --mask" in capsys.readouterr().err
    with reopened(tmp_path, shards, CUBE, name="other.npy") as cube:  # there is no mask of this name
        assert cube.mask.all()
    fixed = ingest(tmp_path, CUBE, "--mask", tmp_path / "masks" / "train.npy", "--overwrite", "true")
    with reopened(tmp_path, fixed, CUBE, name="train.npy") as cube:
        assert cube.mask.sum() == 10
    with reopened(tmp_path, fixed, CUBE) as cube:  # a mask of one cube is not that of another
        assert cube.mask.all()


def test_shards_of_before(tmp_path):
    shards = ingest(tmp_path, CUBE)
    np.save(tmp_path / "a.npy", CUBE)
    with open_as_recorded(None, CubeOptions(), str(tmp_path / "a.npy"), None, shards.axis) as cube:
        assert cube.shape == CUBE.shape
