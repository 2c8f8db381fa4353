"""Damaged files of every kind: each is refused with one clear error or read, and none passes silently for whole.

The damage is a function of the number of the file alone. What can be told of a result depends on the format: those with
checksums must give the values that were written or an error; in the others a flipped bit of a value is another value.
"""

import shutil

import h5py
import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import read_cube
from deepspec.data.shards.manifest import ShardSet
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError
from tests.data.cube_formats import PAIRS, WRITERS, data_file, expected
from tests.data.mutations import damage, odd_array, rename

CUBE = np.random.default_rng(0).poisson(5, (6, 4, 70)).astype(np.uint16)
CHECKED = {"NPZ compressed", "MATLAB compressed"}  # their checksums are over all values


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """For each format the names and contents of its files, the one to open first."""
    found = {}
    for name, write in WRITERS.items():
        path = write(tmp_path_factory.mktemp("intact") / "cube", CUBE)
        files = {path.name: path.read_bytes()}
        if name in PAIRS:
            files[data_file(path).name] = data_file(path).read_bytes()
        found[name] = files
    return found


def outcome(path, **options):
    """What a user gets: all values and the axis, or the text of the one error."""
    try:
        with read_cube(path, **options) as cube:
            assert cube.mask.shape == cube.shape[:2]
            assert cube.axis.channels == cube.shape[2]
            blocks = []
            for rows, x_nWC in cube.blocks(cube.block_pixels):
                assert x_nWC.shape == (rows.stop - rows.start, *cube.shape[1:])
                assert x_nWC.dtype == cube.dtype
                blocks.append(x_nWC)
            return np.concatenate(blocks)
    except UserError as error:
        text = str(error)
        assert path.stem in text
        assert len(text) < 1500
        assert "\n" not in text
        return text


@pytest.mark.parametrize("number", range(200))
def test_damaged_cubes(tmp_path, intact, number):
    rng = np.random.default_rng(number)
    name = list(WRITERS)[number % len(WRITERS)]
    files = intact[name]
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    path = tmp_path / next(iter(files))
    if rng.random() < 0.15:
        kind, path = "rename", rename(rng, path)
    else:
        kind = damage(rng, tmp_path / rng.choice(list(files)))
    found = outcome(path)
    if isinstance(found, str):
        return
    if kind == "cut" or name in CHECKED:
        np.testing.assert_array_equal(found, expected(name, CUBE))


def write_array(suffix, path, array):
    import scipy.io
    from astropy.io import fits

    path = path.with_suffix(suffix)
    if suffix == ".npy":
        np.save(path, array)
    elif suffix == ".npz":
        np.savez_compressed(path, counts=array)
    elif suffix == ".mat":
        scipy.io.savemat(path, {"Y": array})
    elif suffix == ".fits":
        fits.writeto(path, array)
    else:
        with h5py.File(path, "w") as file:
            file["img"] = array
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5", ".fits"])
@pytest.mark.parametrize("number", range(12))
def test_odd_shapes_types_and_values(tmp_path, suffix, number):
    array = odd_array(np.random.default_rng(number))
    if suffix == ".fits" and array.size == 0:
        pytest.skip("astropy writes no empty image")
    path = write_array(suffix, tmp_path / "cube", array)
    found = outcome(path, axis="channel")
    if isinstance(found, str):
        assert array.ndim not in (3, 4) or array.size == 0
    else:
        total = array.sum(dtype=np.float64)
        np.testing.assert_allclose(found.sum(dtype=np.float64), total, rtol=1e-6)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("intact") / "shards"
    rng = np.random.default_rng(0)
    with ShardWriter(root, SpectralAxis.linear(0, 0.1, 16, "keV"), "uint16", seed=0) as writer:
        for split in ("train", "val"):
            writer.write(split, rng.poisson(5, (300, 16)).astype(np.uint16), rng.integers(0, 9, (300, 3), np.int32))
    return root


def whole(root):
    found = ShardSet(root)
    found.verify()
    return {split: found.read(split, 0, found.rows(split)) for split in found.splits}, found.axis


@pytest.mark.parametrize("number", range(100))
def test_damaged_shards(tmp_path, shards, number):
    rng = np.random.default_rng(1000 + number)
    root = tmp_path / "shards"
    shutil.copytree(shards, root)
    files = sorted(root.iterdir())
    victim = files[rng.integers(len(files))]
    if rng.random() < 0.1:
        victim.rename(root / "other.h5")
    else:
        damage(rng, victim)
    reference, axis = whole(shards)
    try:
        found, found_axis = whole(root)
    except UserError as error:
        said = str(error)
    else:
        said = None
    if said is not None:
        assert str(root) in said
        assert "\n" not in said
        return
    for split, block in reference.items():
        for part, back in zip(block, found[split], strict=True):
            np.testing.assert_array_equal(back, part)
    assert axis.matches(found_axis)
