"""Writer, reader and manifest together, and what happens when any part of a set is damaged."""

import json
import os
import pickle
import zlib

import h5py
import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.shards.manifest import ShardSet
from deepspec.data.shards.reader import ShardReader
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError

AXIS = SpectralAxis.linear(0.5, 0.25, 6, "keV")


def rows_of(n, seed=0, dtype=np.uint16):
    rng = np.random.default_rng(seed)
    pixel = np.stack([np.zeros(n), np.arange(n), np.arange(n) % 5], axis=1).astype(np.int32)
    return rng.poisson(7, (n, 6)).astype(dtype), pixel


def write_set(out, train=3000, val=500, seed=0, **options):
    spectra, pixel = rows_of(train + val)
    with ShardWriter(out, AXIS, "uint16", seed, rows_per_shard=1024, **options) as writer:
        for start in range(0, train, 700):
            stop = min(start + 700, train)
            writer.write("train", spectra[start:stop], pixel[start:stop])
        writer.write("val", spectra[train:], pixel[train:])
    return ShardSet(out), spectra, pixel


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_set(
        tmp_path_factory.mktemp("set"), sources=[{"path": "a.h5"}], parameters={"noise": 0.5, "names": ["a", "b"]}
    )


def test_every_row_once_and_whole(written):
    shards, spectra, _ = written
    train, val = shards.read("train", 0, 3000), shards.read("val", 0, 500)
    for block, expected in ((train, range(3000)), (val, range(3000, 3500))):
        assert sorted(block.pixel[:, 1]) == list(expected)
        np.testing.assert_array_equal(block.spectra, spectra[block.pixel[:, 1]])
        assert block.spectra.dtype == np.uint16
        assert block.label is None
    assert np.abs(np.corrcoef(train.pixel[:, 1], np.arange(3000))[0, 1]) < 4 / np.sqrt(3000)


def test_manifest(written):
    shards, _, _ = written
    assert shards.splits == ["train", "val"]
    assert [entry.rows for entry in shards.entries("train")] == [1024, 1024, 952]
    assert (shards.rows("train"), shards.rows("val")) == (3000, 500)
    assert [path.name for path in shards.shards("val")] == ["val-00000.h5"]
    assert (shards.channels, shards.dtype, shards.seed, shards.labelled) == (6, np.uint16, 0, False)
    assert shards.axis.matches(AXIS)
    assert shards.sources == [{"path": "a.h5"}]
    assert shards.parameters == {"noise": 0.5, "names": ["a", "b"]}
    with pytest.raises(UserError, match="no split 'test', there are: train, val"):
        shards.rows("test")


def test_layout_of_a_shard(written):
    """The file is what the design says, read with h5py and zlib alone."""
    shards, _, _ = written
    with h5py.File(shards.shards("train")[2]) as file:
        assert file["spectra"].shape == (952, 6)
        assert file["pixel"].dtype == np.int32
        assert "32026" in file["spectra"]._filters  # Blosc2's registered number
        assert file.attrs["format"] == b"deepspec-shard"
        assert (file.attrs["version"], file.attrs["seed"], file.attrs["split"]) == (1, 0, b"train")
        assert json.loads(file.attrs["source"]) == [{"path": "a.h5"}]
        assert json.loads(file.attrs["parameters"])["noise"] == 0.5
        assert file["axis"].attrs["unit"] == b"keV"
        expected = zlib.crc32(file["pixel"][:].tobytes(), zlib.crc32(file["spectra"][:].tobytes()))
        assert file["crc32"][:].tolist() == [expected]
    with h5py.File(shards.shards("train")[0]) as file:
        assert file["spectra"].chunks == (1024, 6)


def test_rows_across_chunks_and_shards(written):
    shards, _, _ = written
    whole = shards.read("train", 0, 3000)
    for start, stop in ((0, 1), (1000, 1100), (1024, 2048), (2047, 2049), (2999, 3000), (5, 2990)):
        part = shards.read("train", start, stop)
        np.testing.assert_array_equal(part.spectra, whole.spectra[start:stop])
        np.testing.assert_array_equal(part.pixel, whole.pixel[start:stop])
    with pytest.raises(UserError, match="rows 0:3001 asked of split 'train' with 3000"):
        shards.read("train", 0, 3001)


def test_labels_and_float_spectra(tmp_path):
    spectra, pixel = rows_of(1500, dtype=np.float64)
    with ShardWriter(tmp_path / "a", AXIS, "float32", 0, labelled=True) as writer:
        writer.write("train", spectra, pixel, np.arange(1500) - 1)
    shards = ShardSet(tmp_path / "a")
    assert shards.labelled
    block = shards.read("train", 0, 1500)
    assert (block.spectra.dtype, block.label.dtype) == (np.float32, np.int16)
    np.testing.assert_array_equal(block.label, block.pixel[:, 1] - 1)
    shards.verify()


def test_the_seed_decides_the_order(tmp_path):
    orders = [write_set(tmp_path / str(i), seed=s)[0].read("train", 0, 3000).pixel for i, s in enumerate((1, 1, 2))]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_many_sources_fit_into_a_shard(tmp_path):
    sources = [{"path": f"{'folder/' * 20}{i}.h5"} for i in range(1000)]  # more than HDF5's classic 64 KiB
    shards, _, _ = write_set(tmp_path / "a", train=10, val=5, sources=sources)
    assert json.loads(ShardReader(shards.shards("train")[0]).attributes["source"]) == sources


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "training"}, "split 'training': expected one of train, val, test"),
        ({"spectra": np.zeros((4, 5), np.uint16)}, r"expected spectra \(n, 6\).*got \(4, 5\)"),
        ({"pixel": np.zeros((3, 3), np.int32)}, r"pixel \(n, 3\), got \(4, 6\) and \(3, 3\)"),
        ({"spectra": np.full((4, 6), -1)}, "values -1 to -1 of type int64 do not fit uint16"),
        ({"spectra": np.full((4, 6), 65536)}, "do not fit uint16"),
        ({"spectra": np.ones((4, 6))}, "type float64 do not fit uint16"),
        ({"label": np.zeros(4)}, "expected no labels"),
    ],
)
def test_rows_that_do_not_fit(tmp_path, change, message):
    spectra, pixel = rows_of(4)
    with (
        pytest.raises(UserError, match=message),
        ShardWriter(tmp_path / "a", AXIS, "uint16", 0) as writer,
    ):
        writer.write(**{"split": "train", "spectra": spectra, "pixel": pixel, **change})
    assert not (tmp_path / "a").exists()


def test_nan_is_refused(tmp_path):
    for value in (np.nan, np.inf, 1e300):
        with (
            pytest.raises(UserError, match="NaN, infinity or a value beyond float32"),
            ShardWriter(tmp_path / "a", AXIS, "float32", 0) as writer,
        ):
            writer.write("train", np.full((1, 6), value), np.zeros((1, 3), np.int32))


def test_missing_labels_are_refused(tmp_path):
    with (
        pytest.raises(UserError, match=r"expected labels of shape \(n,\), got none"),
        ShardWriter(tmp_path / "a", AXIS, "uint16", 0, labelled=True) as writer,
    ):
        writer.write("train", *rows_of(4))


class TestOutputFolder:
    def test_an_error_leaves_nothing(self, tmp_path):
        def write_and_fail():
            with ShardWriter(tmp_path / "a", AXIS, "uint16", 0) as writer:
                writer.write("train", *rows_of(100))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write_and_fail()
        assert list(tmp_path.iterdir()) == []

    def test_an_error_while_writing_shards_leaves_the_old_set(self, tmp_path, monkeypatch):
        shards, _, _ = write_set(tmp_path / "a")
        before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}

        def fail(*args, **kwargs):
            raise OSError("disk full")

        monkeypatch.setattr("deepspec.data.shards.writer.write_shard", fail)
        with pytest.raises(OSError, match="disk full"):
            write_set(tmp_path / "a", overwrite=True)
        assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before
        shards.verify()

    def test_nothing_written_is_an_error(self, tmp_path):
        with pytest.raises(UserError, match="no spectra to write"), ShardWriter(tmp_path / "a", AXIS, "uint16", 0):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_set_is_replaced_only_when_asked(self, tmp_path):
        write_set(tmp_path / "a", train=3000)
        with pytest.raises(UserError, match=r"holds a set of shards.*overwrite"):
            write_set(tmp_path / "a")
        shards, _, _ = write_set(tmp_path / "a", train=1000, overwrite=True)
        names = sorted(path.name for path in (tmp_path / "a").iterdir())
        assert names == ["manifest.json", "train-00000.h5", "val-00000.h5"]
        shards.verify()

    def test_foreign_files_are_kept(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(UserError, match="is not empty"):
            write_set(tmp_path)
        write_set(tmp_path, overwrite=True)
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "a").touch()
        with pytest.raises(UserError, match="this is a file"):
            write_set(tmp_path / "a", overwrite=True)


class TestDamage:
    @pytest.fixture
    def shards(self, tmp_path):
        return write_set(tmp_path / "a")[0]

    def test_a_flipped_value_is_found_when_read(self, shards):
        path = shards.shards("train")[1]
        with h5py.File(path, "a") as file:
            file["spectra"][5, 2] += 1
        with pytest.raises(UserError, match=rf"{path.name}: damaged shard: rows 0:1024 do not match"):
            ShardReader(path).verify()

    def test_flipped_bytes_in_the_file(self, shards):
        path = shards.shards("train")[0]
        with h5py.File(path) as file:
            place = file["spectra"].id.get_chunk_info(0).byte_offset
        content = bytearray(path.read_bytes())
        content[place + 200 : place + 220] = bytes(20)
        path.write_bytes(content)
        with pytest.raises(UserError, match=path.name):
            shards.verify()

    @pytest.mark.parametrize("part", [0.99, 0.5, 0.0])
    def test_cut_short(self, shards, part):
        path = shards.shards("val")[0]
        os.truncate(path, int(path.stat().st_size * part))
        with pytest.raises(UserError, match=rf"{path.name}: damaged shard: .* bytes, the manifest says"):
            shards.open("val")
        with pytest.raises(UserError, match=path.name):
            ShardReader(path).verify()

    def test_any_damage_is_refused_or_does_no_harm(self, shards):
        """200 copies of a shard, a bit, some bytes or the end of each changed: none hangs or passes as other rows."""
        path, rng = shards.shards("train")[0], np.random.default_rng(0)
        whole, expected = path.read_bytes(), shards.read("train", 0, 1024)
        refused = []
        for number in range(200):
            content = bytearray(whole)
            place = int(rng.integers(0, len(whole) if number % 2 else 4096))  # the head holds what describes the rest
            if number % 20 == 0:
                content = content[:place]
            elif number % 4 == 1:
                content[place : place + 32] = rng.bytes(min(32, len(whole) - place))
            else:
                content[place] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(content)
            try:
                shards.open("train")
                found = shards.read("train", 0, 1024)
            except UserError as error:
                refused.append(str(error))
            else:
                np.testing.assert_array_equal(found.spectra, expected.spectra)
                np.testing.assert_array_equal(found.pixel, expected.pixel)
        assert 100 < len(refused) < 200
        assert all(path.name in message and "\n" not in message for message in refused)

    def test_missing(self, shards):
        shards.shards("train")[2].unlink()
        with pytest.raises(UserError, match=r"train-00002.h5: the shard is missing"):
            shards.open("train")

    def test_a_shard_of_another_set(self, shards, tmp_path):
        other = write_set(tmp_path / "b", seed=9)[0]
        path = shards.shards("train")[0]
        path.write_bytes(other.shards("train")[0].read_bytes())
        with pytest.raises(UserError, match=rf"{path.name}: (not the shard|damaged)"):
            shards.open("train")

    def test_a_foreign_hdf5_file(self, tmp_path):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["spectra"] = np.zeros((3, 4))
        with pytest.raises(UserError, match="but not a shard"):
            ShardReader(tmp_path / "x.h5")

    def test_another_version(self, shards):
        path = shards.shards("train")[0]
        with h5py.File(path, "a") as file:
            file.attrs["version"] = 2
        with pytest.raises(UserError, match="shard version 2, this deepspec reads version 1"):
            ShardReader(path)

    def test_inconsistent_shapes(self, shards):
        path = shards.shards("train")[0]
        with h5py.File(path, "a") as file:
            del file["crc32"]
            file["crc32"] = np.zeros(5, np.uint32)
        with pytest.raises(UserError, match=r"'crc32' is \(5,\), expected \(1,\)"):
            ShardReader(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not a manifest"),
            ("[]", "not a manifest"),
            ('{"format": "deepspec-shards", "version": 7}', "expected deepspec-shards version 1, found .* version 7"),
            ('{"format": "deepspec-shards", "version": 1}', "damaged manifest"),
        ],
    )
    def test_manifests(self, shards, text, message):
        (shards.root / "manifest.json").write_text(text)
        with pytest.raises(UserError, match=message):
            ShardSet(shards.root)

    def test_no_manifest_is_no_complete_set(self, tmp_path):
        with pytest.raises(UserError, match=r"no manifest.json here"):
            ShardSet(tmp_path)


def test_reader_can_be_pickled_while_open(written):
    shards, _, _ = written
    reader = shards.open("train")[0]
    expected = reader.read(0, 10).spectra
    again = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(again.read(0, 10).spectra, expected)
    with pytest.raises(UserError, match="rows 5:5 asked"):
        reader.read(5, 5)


def test_verify_reports_each_shard(written):
    seen = []
    written[0].verify(lambda name, rows: seen.append((name, rows)))
    assert seen == [
        ("train-00000.h5", 1024),
        ("train-00001.h5", 1024),
        ("train-00002.h5", 952),
        ("val-00000.h5", 500),
    ]
