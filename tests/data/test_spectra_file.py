"""The authors' layouts: spectra without an image, in HDF5 groups and in what `torch.save` writes."""

import h5py
import numpy as np
import pytest
import torch

from deepspec.data.shards.manifest import ShardSet
from deepspec.data.spectra_file import open_spectra
from deepspec.errors import UserError
from deepspec.ingest import main

RNG = np.random.default_rng(0)
ROWS = {"miniature_1": 700, "miniature_2": 500, "miniature_3": 301}


def counts(rows, channels=32):
    return RNG.poisson(3, (rows, channels)).astype(np.int64) + 1


@pytest.fixture
def authors(tmp_path):
    spectra = {name: counts(rows) for name, rows in ROWS.items()}
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, x in spectra.items():
            file[f"{name}/hist"] = x
            file[f"{name}/pixel"] = np.stack([np.arange(len(x)) // 20, np.arange(len(x)) % 20], axis=1)
    return tmp_path / "data.h5", spectra


def ingest(*args):
    main([str(a) for a in args])


def blocks(root):
    shards = ShardSet(root)
    return shards, {split: shards.read(split, 0, shards.rows(split)) for split in shards.splits}


def test_hdf5_groups_become_images_with_the_pixels_they_came_from(authors, tmp_path):
    path, spectra = authors
    ingest(path, "--out", tmp_path / "out", "--axis", "0.5:16:keV")
    shards, found = blocks(tmp_path / "out")
    assert [(source["name"], source["rows"]) for source in shards.sources] == list(ROWS.items())
    assert (shards.dtype, shards.axis.unit, shards.parameters["by"]) == (np.uint16, "keV", "block")
    assert {int(i) for i in found["train"].pixel[:, 0]} == {0, 1, 2}, "every one is trained on"
    assert sum(len(block.pixel) for block in found.values()) == sum(ROWS.values())
    images = list(spectra.values())
    for block in found.values():
        for x, (number, row, column) in zip(block.spectra, block.pixel, strict=True):
            np.testing.assert_array_equal(x, images[number][row * 20 + column])


def test_one_name_split_by_fractions(authors, tmp_path, capsys):
    path, spectra = authors
    ingest(
        path, "--dataset", "miniature_1", "--out", tmp_path / "out", "--split", 0.6, 0.2, 0.2, "--channels", "0:8,10:32"
    )
    shards, found = blocks(tmp_path / "out")
    assert shards.channels == 30
    assert [shards.rows(s) for s in ("train", "val", "test")] == pytest.approx([420, 140, 140], abs=25)
    rows = np.concatenate([b.pixel[:, 1] * 20 + b.pixel[:, 2] for b in found.values()])
    assert sorted(rows) == list(range(700))
    kept = np.delete(spectra["miniature_1"], [8, 9], axis=1)
    np.testing.assert_array_equal(np.concatenate([b.spectra for b in found.values()]), kept[rows])


def test_split_by_the_name_of_file_or_group(tmp_path, capsys):
    with h5py.File(tmp_path / "paintings.h5", "w") as file:
        for name, rows in (("train", 300), ("a_val", 100)):
            file[f"{name}/hist"] = counts(rows)
    torch.save(torch.from_numpy(counts(50)), tmp_path / "test_set.pt")
    files = tmp_path / "paintings.h5", tmp_path / "test_set.pt"
    ingest(*files, "--out", tmp_path / "out", "--by", "name")
    shards = ShardSet(tmp_path / "out")
    assert {s: shards.rows(s) for s in shards.splits} == {"train": 300, "val": 100, "test": 50}
    torch.save(torch.from_numpy(counts(50)), tmp_path / "more.pt")
    with pytest.raises(SystemExit):
        ingest(*files, tmp_path / "more.pt", "--out", tmp_path / "out2", "--by", "name")
    assert "expected one of the words train, val, test in the name 'more/'" in capsys.readouterr().err


@pytest.mark.parametrize("old", [False, True], ids=["archive", "legacy"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int16, torch.uint8])
def test_a_bare_tensor(tmp_path, old, dtype):
    x = torch.from_numpy(counts(40)).to(dtype)
    torch.save(x, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    (table,) = open_spectra(tmp_path / "a.pt")
    assert table.shape == (40, 1, 32)
    np.testing.assert_array_equal(table.read_rows(3, 9)[:, 0], x[3:9].float().numpy())
    assert table.places is None
    ingest(tmp_path / "a.pt", "--out", tmp_path / "out", "--split", 1, 0, 0)
    _, found = blocks(tmp_path / "out")
    np.testing.assert_array_equal(found["train"].spectra, x.float().numpy()[found["train"].pixel[:, 1]])


def test_tensors_by_key_and_by_number(tmp_path):
    a, b = torch.from_numpy(counts(40)), torch.from_numpy(counts(30))
    torch.save({"train": a, "val": b, "epoch": 3, "labels": torch.zeros(40)}, tmp_path / "dict.pt")
    assert [(t.name, t.shape[0]) for t in open_spectra(tmp_path / "dict.pt")] == [("train", 40), ("val", 30)]
    assert [t.name for t in open_spectra(tmp_path / "dict.pt", dataset="val")] == ["val"]
    torch.save([a, b], tmp_path / "list.pt")
    assert [(t.name, t.shape[0]) for t in open_spectra(tmp_path / "list.pt")] == [("0", 40), ("1", 30)]
    torch.save({"hist": a, "pixel": torch.arange(40)}, tmp_path / "hist.pt")
    (table,) = open_spectra(tmp_path / "hist.pt")
    np.testing.assert_array_equal(table.places, np.stack([np.zeros(40), np.arange(40)], axis=1))


def test_pixels_that_are_no_places_are_left_out_with_a_word(tmp_path, capsys):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x/hist"], file["x/pixel"] = counts(20), np.zeros((20, 3), np.uint8)  # an RGB value, perhaps
    (table,) = open_spectra(tmp_path / "a.h5")
    assert table.places is None
    assert "'pixel' uint8 (20, 3) is not used: expected integers (20, 2)" in capsys.readouterr().err


def test_cubes_are_not_taken_for_tables(tmp_path):
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file["img"] = counts(24).reshape(4, 6, 32)
        file["scan/hist"] = np.zeros((4, 6, 32))
    np.savez(tmp_path / "cube.npz", img=np.zeros((4, 6, 32)))
    np.save(tmp_path / "cube.npy", np.zeros((4, 6, 32)))
    for name in ("cube.h5", "cube.npz", "cube.npy", "missing.h5"):
        assert open_spectra(tmp_path / name) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(3)}, r"expected spectra, a tensor \(N, C\); tensors found: 'a' \(3,\)"),
        ([], "tensors found: none"),
        (torch.zeros(0, 5), r"expected numbers \(N, C\) in '', got float32 \(0, 5\)"),
        (torch.zeros(2, 3, dtype=torch.complex64), "got complex64"),
        (np.float64, "what cannot be read"),
    ],
)
def test_torch_files_without_spectra(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UserError, match=message):
        open_spectra(tmp_path / "a.pt")


def test_no_code_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Evil(), tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"a.pt: expected tensors written by torch.save"):
        open_spectra(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_cut_short(tmp_path, authors, keep):
    torch.save(torch.from_numpy(counts(400)), tmp_path / "a.pt")
    for path in (tmp_path / "a.pt", authors[0]):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
        with pytest.raises((UserError, SystemExit)):
            ingest(path, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["hist", "pixel"])
@pytest.mark.parametrize("damage", ["lost", "a group", "a type", "another shape"])
def test_a_damaged_array_is_not_left_out_without_a_word(authors, part, damage):
    path, _ = authors
    with h5py.File(path, "r+") as file:
        group = file["miniature_2"]
        del group[part]
        if damage == "a group":
            group.create_group(part)
        elif damage == "a type":
            group[part] = np.dtype("f4")
        elif damage == "another shape":
            group[part] = np.ones((5, 6, 7))
    if part == "pixel" and damage in ("lost", "another shape"):  # spectra may be without places; other shapes are said
        tables = open_spectra(path)
        assert [table.places is None for table in tables] == [False, True, False]
    else:
        with pytest.raises(UserError, match=f"expected an array .* in 'miniature_2/{part}', which is"):
            open_spectra(path)
        tables = open_spectra(path, dataset="miniature_1")
        assert [table.name for table in tables] == ["miniature_1"]
    tables[0].close()


def test_a_table_that_was_never_written(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a/hist", (10**9, 1000), "u2", chunks=(1000, 1000))
    with pytest.raises(UserError, match="it was never written, or is damaged"):
        open_spectra(tmp_path / "a.h5")
