"""A cube that is saved comes back the same."""

import h5py
import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.data.shards.manifest import ShardSet
from deepspec.errors import UserError
from deepspec.ingest import main

RNG = np.random.default_rng(0)


def random_cube(seed):
    """A cube of random type, shape, axis, mask and metadata, with extreme values."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(rng.choice(["?", "u1", "i1", "u2", "i2", ">u2", "u4", "i4", "u8", "i8", "f2", "f4", ">f8", "f8"]))
    shape = tuple(int(n) for n in rng.integers(1, [9, 9, 40]))
    array = rng.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8).view(dtype).reshape(shape)
    if dtype.kind == "b":
        array = rng.random(shape) < 0.5
    unit = rng.choice(["keV", "angstrom", "nm", "um", "channel"])
    values = np.cumsum(rng.random(shape[2]) + 1e-3) * rng.choice([-1, 1])
    mask = rng.random(shape[:2]) < 0.5
    mask[0, 0] = True
    cube = SpectralCube.from_array(array, SpectralAxis(values, unit), mask)
    cube.metadata = {"object": "Ångström ", "exposure": float(rng.random()), "number": int(rng.integers(99)), "": ""}
    if rng.random() < 0.5:
        cube.metadata = {"version": "7", "format": "x", "long": "x" * 70_000}
    return cube


@pytest.mark.parametrize("seed", range(40))
def test_everything_comes_back(tmp_path, seed, capsys):
    cube = random_cube(seed)
    if "" in cube.metadata:
        del cube.metadata[""]
    cube.save(tmp_path / "a.h5")
    with read_cube(tmp_path / "a.h5") as back:
        assert back.shape == cube.shape
        assert back.dtype == cube.dtype
        whole = back.read_rows(0, back.shape[0])
        assert whole.tobytes() == cube.read_rows(0, cube.shape[0]).tobytes()  # NaN as well, bit by bit
        assert back.axis.unit == cube.axis.unit
        np.testing.assert_array_equal(back.axis.values, cube.axis.values)
        np.testing.assert_array_equal(back.mask, cube.mask)
        assert back.metadata == cube.metadata
        assert {k: type(v) for k, v in back.metadata.items()} == {k: type(v) for k, v in cube.metadata.items()}
    assert capsys.readouterr().err == ""  # nothing had to be guessed
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_choices_are_carried_out_and_a_file_can_replace_itself(tmp_path):
    array = RNG.poisson(5, (6, 4, 3, 70)).astype(np.uint16)
    np.save(tmp_path / "a.npy", array)
    with read_cube(tmp_path / "a.npy", spectral_dim=3, channels="10:60") as cube:
        cube.save(tmp_path / "b.h5")
    with read_cube(tmp_path / "b.h5", channels="5:10") as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), array.sum(axis=2)[..., 15:20])
        assert cube.axis.values.tolist() == [15, 16, 17, 18, 19]
        cube.save(tmp_path / "b.h5")
    with read_cube(tmp_path / "b.h5") as cube:
        assert cube.shape == (6, 4, 5)


def test_it_is_written_by_blocks(tmp_path, monkeypatch):
    cube = SpectralCube.from_array(RNG.poisson(5, (50, 4, 70)).astype(np.uint16))
    monkeypatch.setattr("deepspec.data.cube._BLOCK_BYTES", 5000)
    asked = []
    read_rows = SpectralCube.read_rows
    monkeypatch.setattr(SpectralCube, "read_rows", lambda self, a, b: asked.append(b - a) or read_rows(self, a, b))
    cube.save(tmp_path / "a.h5")
    assert max(asked) < 10
    assert sum(asked) == 50


def test_an_error_leaves_the_earlier_file(tmp_path):
    cube = SpectralCube.from_array(RNG.poisson(5, (5, 4, 70)))
    cube.save(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    cube.metadata = {"x": object()}
    with pytest.raises(TypeError):
        cube.save(tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UserError, match=r"no/such/a.h5: cannot be written"):
        cube.save(tmp_path / "no" / "such" / "a.h5")


def test_another_version_is_refused(tmp_path):
    SpectralCube.from_array(RNG.poisson(5, (5, 4, 70))).save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs["deepspec_cube"] = 9
    with pytest.raises(UserError, match="cube of version 9, this deepspec reads version 1"):
        read_cube(tmp_path / "a.h5")


def test_pixels_drawn_for_training_are_taken_by_ingest_alone(tmp_path, capsys):
    from deepspec.synthesize import main as synthesize

    synthesize(["xrf", "miniature:0", "--out", str(tmp_path), "--size", "32", "--keep", "0.25", "--k_range", "3", "4"])
    [scan] = tmp_path.glob("*.h5")
    with h5py.File(scan) as file:
        drawn = file["mask"][()]
    assert drawn.mean() == 0.25
    with read_cube(scan) as cube:
        assert cube.mask.all()
    with read_cube(scan, training=True) as cube:
        np.testing.assert_array_equal(cube.mask, drawn)
    main([str(scan), "--out", str(tmp_path / "out"), "--split", "1", "0", "0"])
    shards = ShardSet(tmp_path / "out")
    pixel = shards.read("train", 0, shards.rows("train")).pixel
    assert sorted(map(tuple, pixel[:, 1:])) == [tuple(p) for p in np.argwhere(drawn)]
