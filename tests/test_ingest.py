import h5py
import numpy as np
import pytest

from deepspec.data.shards.manifest import ShardSet
from deepspec.ingest import main

RNG = np.random.default_rng(0)


def scan(rows=40, columns=30, channels=64, dtype=np.uint16):
    cube = RNG.poisson(3, (rows, columns, channels)) + 1
    cube[0, 0] = 0
    return cube.astype(dtype)


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        np.save(tmp_path / f"{i}.npy", scan())
    return tmp_path


def ingest(*args):
    main([str(a) for a in args])


def fail(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        ingest(*args)
    assert stop.value.code == 2
    return capsys.readouterr().err


def rows_of(root):
    shards = ShardSet(root)
    return shards, {split: shards.read(split, 0, shards.rows(split)) for split in shards.splits}


def test_one_cube_is_split_by_blocks_and_every_living_pixel_arrives(folder, capsys):
    out = folder / "out"
    ingest(folder / "0.npy", "--out", out, "--axis", "0.5:7:keV", "--split", "0.6", "0.2", "0.2")
    said = capsys.readouterr().out
    shards, blocks = rows_of(out)
    cube = np.load(folder / "0.npy")
    places = np.concatenate([b.pixel for b in blocks.values()])
    assert sorted(map(tuple, places[:, 1:])) == [(y, x) for y in range(40) for x in range(30)][1:]
    for block in blocks.values():
        np.testing.assert_array_equal(block.spectra, cube[block.pixel[:, 1], block.pixel[:, 2]])
    assert shards.dtype == np.uint16
    assert shards.axis.unit == "keV"
    assert shards.parameters["by"] == "block"
    assert shards.rows("train") == pytest.approx(720, abs=40)
    for split in ("train", "val", "test"):
        assert f"{split}: {shards.rows(split)} spectra" in said
    assert "left out: 1 of 1200 pixels" in said
    assert "of the uncompressed size" in said
    assert "not independent" in said


@pytest.mark.parametrize("cubes", [2, 3, 4])
def test_every_cube_is_trained_on_unless_a_split_is_asked_for(folder, capsys, cubes):
    ingest(*(folder / f"{i}.npy" for i in range(cubes)), "--out", folder / "out")
    said = capsys.readouterr().out
    shards, blocks = rows_of(folder / "out")
    assert shards.parameters["by"] == "block"
    assert shards.parameters["split"] == [0.8, 0.1, 0.1]
    for block in blocks.values():
        assert set(block.pixel[:, 0].tolist()) == set(range(cubes))
    rows = np.array([np.bincount(block.pixel[:, 0], minlength=cubes) for block in blocks.values()])
    assert (rows.sum(0) == 1199).all(), "every living pixel of every cube is in one split"
    np.testing.assert_allclose(rows / 1199, np.transpose([(0.8, 0.1, 0.1)] * cubes), atol=0.03)
    assert "blocks of each image" in said
    assert ("--split 0.8 0.1 0.1 would keep whole images" in said) == (cubes >= 3)


@pytest.mark.parametrize("more", [("--split", 0.8, 0.1, 0.1), ("--by", "image"), ("--config", "split.yaml")])
def test_several_cubes_are_split_by_image_if_that_is_asked_for(folder, capsys, more, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "split.yaml").write_text("split: [0.8, 0.1, 0.1]\n")
    ingest(*(folder / f"{i}.npy" for i in range(4)), "--out", folder / "out", "--seed", 3, *more)
    said = capsys.readouterr().out
    assert "not independent" not in said
    assert "splits are whole images" in said
    shards, blocks = rows_of(folder / "out")
    images = {split: set(block.pixel[:, 0].tolist()) for split, block in blocks.items()}
    assert sorted(len(numbers) for numbers in images.values()) == [1, 1, 2]
    assert set.union(*images.values()) == {0, 1, 2, 3}
    assert [source["path"] for source in shards.sources] == [str(folder / f"{i}.npy") for i in range(4)]
    cubes = [np.load(folder / f"{i}.npy") for i in range(4)]
    for block in blocks.values():
        number, y, x = block.pixel.T
        expected = np.stack([cubes[n][a, b] for n, a, b in zip(number, y, x, strict=True)])
        np.testing.assert_array_equal(block.spectra, expected)


def test_mask_channels_and_keep(folder):
    mask = np.zeros((40, 30))
    mask[10:, :20] = 1
    np.save(folder / "mask.npy", mask)
    ingest(
        folder / "0.npy", "--out", folder / "out", "--mask", folder / "mask.npy", "--channels", "0:8,16:64",
        "--keep", 0.5, "--split", 1, 0, 0,
    )  # fmt: skip
    shards, blocks = rows_of(folder / "out")
    assert shards.splits == ["train"]
    assert shards.channels == 56
    assert 220 < shards.rows("train") < 380
    assert mask[blocks["train"].pixel[:, 1], blocks["train"].pixel[:, 2]].all()


def test_a_mask_for_each_cube(folder, capsys):
    for i in range(2):
        mask = np.zeros((40, 30))
        mask[:, i] = 1
        np.save(folder / f"mask{i}.npy", mask)
    masks = f"[{folder / 'mask0.npy'},{folder / 'mask1.npy'}]"
    ingest(folder / "2.npy", folder / "3.npy", "--out", folder / "out", "--mask", masks, "--split", 1, 0, 0)
    pixel = rows_of(folder / "out")[1]["train"].pixel
    assert (pixel[:, 2] == pixel[:, 0]).all()
    assert "2 masks for 1 cubes" in fail(capsys, folder / "2.npy", "--out", folder / "out2", "--mask", masks)


@pytest.mark.parametrize(
    ("dtype", "offset", "expected"),
    [
        ("u1", 0, "uint16"),
        ("i2", 0, "uint16"),
        ("i2", -50, "float32"),
        ("i4", 0, "uint16"),
        ("i4", 70000, "float32"),
        ("f8", 0, "float32"),
    ],
)
def test_type_of_the_shards(tmp_path, dtype, offset, expected):
    cube = (scan(12, 10).astype(np.int64) + offset).astype(dtype)
    np.save(tmp_path / "a.npy", cube)
    ingest(tmp_path / "a.npy", "--out", tmp_path / "out", "--split", 1, 0, 0)
    shards, blocks = rows_of(tmp_path / "out")
    assert shards.dtype == expected
    block = blocks["train"]
    np.testing.assert_array_equal(block.spectra, cube[block.pixel[:, 1], block.pixel[:, 2]])


class TestAxes:
    @pytest.fixture
    def two(self, tmp_path):
        for name, first, step in (("a", 1.0, 0.1), ("b", 0.9, 0.11)):
            with h5py.File(tmp_path / f"{name}.h5", "w") as file:
                file["img"] = scan(12, 10)
                file["energy"] = first + step * np.arange(64)
                file["energy"].attrs["unit"] = "keV"
        return tmp_path

    def test_cubes_that_differ_are_refused_by_name(self, two, capsys):
        said = fail(capsys, two / "a.h5", two / "b.h5", "--out", two / "out")
        assert f"the axes of {two / 'a.h5'} and {two / 'b.h5'} differ" in said
        assert "channel 63 is at 7.3 against 7.83 keV" in said
        assert "rebin" in said
        assert not (two / "out").exists()

    def test_rebin_brings_all_onto_the_first(self, two):
        ingest(two / "a.h5", two / "b.h5", "--out", two / "out", "--rebin", "true", "--split", 1, 0, 0)
        shards, blocks = rows_of(two / "out")
        assert shards.dtype == np.float32
        np.testing.assert_allclose(shards.axis.values, 1 + 0.1 * np.arange(64))
        pixel, spectra = blocks["train"].pixel, blocks["train"].spectra
        assert set(pixel[:, 0]) == {0, 1}
        with h5py.File(two / "b.h5") as file:
            original = file["img"][:]
        here = pixel[:, 0] == 1
        totals = original[pixel[here, 1], pixel[here, 2]].sum(axis=1)
        ratio = spectra[here].sum(axis=1) / totals
        assert ratio.mean() == pytest.approx(6.4 / 7.04, abs=0.02)  # keV covered of keV measured


@pytest.mark.parametrize("part", [1.0, 0.6])
def test_channels_without_values_are_left_out_and_named(tmp_path, capsys, part):
    cube = scan(12, 10, dtype=np.float32)
    cube[0, 0] = 1
    cube[: round(12 * part), :, 5] = np.nan
    np.save(tmp_path / "a.npy", cube)
    ingest(tmp_path / "a.npy", "--out", tmp_path / "out")
    said = capsys.readouterr().err
    assert (
        f"left out 1 of 64 channels, which are NaN or infinite in many pixels: 5 (in {round(12 * part) * 10} of 120 "
        in said
    )
    assert "--channels 0:64 keeps them" in said
    shards = ShardSet(tmp_path / "out")
    assert shards.channels == 63
    assert sum(shards.rows(split) for split in shards.splits) == 120


def test_dead_channels_that_are_asked_for_are_explained(tmp_path, capsys):
    cube = scan(12, 10, dtype=np.float32)
    cube[..., 5] = np.nan
    np.save(tmp_path / "a.npy", cube)
    said = fail(capsys, tmp_path / "a.npy", "--out", tmp_path / "out", "--channels", "0:64")
    assert "1 of 64 channels are NaN in every pixel; leave them out with --channels 0:5,6:64" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--split", 0.5, 0.1, 0.1], "add up to 1"),
        (["--keep", 0], "keep is 0"),
        (["--by", "image"], "1 images cannot be split"),
        (["--axis", "0:1:parsec"], "unknown unit 'parsec'"),
        (["--ouput", "x"], "did you mean 'out'"),
    ],
)
def test_mistakes(folder, capsys, args, message):
    assert message in fail(capsys, folder / "0.npy", "--out", folder / "out", *args)
    assert not (folder / "out").exists()


def test_out_is_needed_and_not_overwritten_by_accident(folder, capsys):
    assert "--out is missing" in fail(capsys, folder / "0.npy")
    ingest(folder / "0.npy", "--out", folder / "out")
    assert "holds a set of shards" in fail(capsys, folder / "0.npy", "--out", folder / "out")
    ingest(folder / "1.npy", "--out", folder / "out", "--overwrite", "true")
    assert ShardSet(folder / "out").sources[0]["path"] == str(folder / "1.npy")


def test_verify(folder, capsys):
    ingest(folder / "0.npy", "--out", folder / "out")
    capsys.readouterr()
    ingest(folder / "out", "--verify", "true")
    assert "3 shards, 1199 spectra, every checksum matches" in capsys.readouterr().out
    path = folder / "out" / "train-00000.h5"
    with h5py.File(path, "a") as file:
        file["pixel"][3, 1] += 1
    assert "train-00000.h5: damaged shard" in fail(capsys, folder / "out", "--verify", "true")


def test_measured_sets(shared_data, tmp_path):
    ingest(
        shared_data / "jasper_ridge" / "jasperRidge2_R198.mat", "--spatial_shape", 100, 100, "--order", "F",
        "--out", tmp_path / "jasper",
    )  # fmt: skip
    shards = ShardSet(tmp_path / "jasper")
    assert sum(shards.rows(split) for split in shards.splits) == 10000
    ingest(shared_data / "aps_xrf" / "2xfm_0011_2xfm3__0.h5", "--detector", 2, "--out", tmp_path / "aps")
    shards = ShardSet(tmp_path / "aps")
    assert shards.dtype == np.uint16
    shards.verify()


@pytest.mark.parametrize(("largest", "said"), [(2**24 + 5, True), (2**24, False)])
def test_integers_that_single_precision_rounds_are_said(tmp_path, capsys, largest, said):
    cube = scan(12, 10, dtype=np.int64)
    cube[5, 5, 5] = largest
    np.save(tmp_path / "a.npy", cube)
    ingest(tmp_path / "a.npy", "--out", tmp_path / "out")
    assert (f"integers up to {largest} are rounded to single precision" in capsys.readouterr().err) == said
