"""No chunk is unpacked twice, counted at the array itself, and the values are those of the array."""

import itertools

import h5py
import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.data.readers import unpacked
from deepspec.data.readers.unpacked import UnpackedOnce, pieces, unpacked_once

ARRAY = np.random.default_rng(0).integers(0, 200, (24, 30, 20)).astype(np.uint16)


class Chunked:
    """An array that counts how often each of its chunks would be unpacked."""

    def __init__(self, array, chunks):
        self.array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, chunks
        self.count = np.zeros([-(-n // c) for n, c in zip(array.shape, chunks, strict=True)], int)

    def __getitem__(self, index):
        touched = [
            range(a // c, (b - 1) // c + 1)
            for (a, b, _), c in zip(
                (s.indices(n) for s, n in zip(index, self.shape, strict=True)), self.chunks, strict=True
            )
        ]
        for place in itertools.product(*touched):
            self.count[place] += 1
        return self.array[index]


def rows(array, dim, height):
    found = []
    for start in range(0, array.shape[dim], height):
        index = [slice(None)] * 3
        index[dim] = slice(start, min(start + height, array.shape[dim]))
        found.append(array[tuple(index)])
    return np.concatenate(found, axis=dim)


@pytest.mark.parametrize("kept", [0, 2**30], ids=["temporary file", "memory"])
@pytest.mark.parametrize("height", [1, 3, 7, 8, 30])
@pytest.mark.parametrize("chunks", [(1, 30, 20), (24, 4, 20), (5, 7, 6), (24, 30, 20), (8, 8, 8), (1, 1, 20)])
@pytest.mark.parametrize("dim", [0, 1])
def test_each_chunk_once(monkeypatch, dim, chunks, height, kept):
    monkeypatch.setattr(unpacked, "_KEPT", kept)
    stored = Chunked(ARRAY, chunks)
    np.testing.assert_array_equal(rows(unpacked_once(stored, dim, "file"), dim, height), ARRAY)
    if kept == 0 and height % chunks[dim] and height < ARRAY.shape[dim] and height > chunks[dim]:
        assert stored.count.max() <= 2  # a first block that ended on a border came before the temporary file
    else:
        assert stored.count.max() == stored.count.min() == 1


def test_rows_out_of_order_go_by_the_file(monkeypatch):
    stored = Chunked(ARRAY, (1, 10, 20))
    array = UnpackedOnce(stored, 1, "file", in_turn=False)
    for start in (25, 3, 14, 3, 25, 0):
        np.testing.assert_array_equal(array[:, start : start + 2, :][:, :, :], ARRAY[:, start : start + 2])
    assert stored.count.max() == 1


def test_no_room_for_a_temporary_file(monkeypatch, capsys):
    monkeypatch.setattr(unpacked, "_KEPT", 0)
    monkeypatch.setattr("deepspec.data.readers.unpacked.shutil.disk_usage", lambda folder: type("", (), {"free": 10}))
    np.testing.assert_array_equal(rows(unpacked_once(Chunked(ARRAY, (1, 30, 20)), 1, "file"), 1, 7), ARRAY)
    assert "set TMPDIR" in capsys.readouterr().err


@pytest.mark.parametrize("chunks", [(1, 30, 20), (5, 7, 6), (24, 30, 20), (100, 100, 100)])
def test_pieces_cover_the_array_once_in_whole_chunks(monkeypatch, chunks):
    monkeypatch.setattr(unpacked, "_PIECE", 4000)
    found = np.zeros(ARRAY.shape, int)
    for piece in pieces(ARRAY.shape, chunks, 2):
        assert all(part.start % c == 0 for part, c in zip(piece, chunks, strict=True))
        found[piece] += 1
    assert (found == 1).all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("chunks", [(7, 20), (600, 1), (600, 20)])
def test_lists_of_pixels(tmp_path, monkeypatch, order, chunks):
    monkeypatch.setattr(unpacked, "_KEPT", 1000)
    flat = ARRAY.reshape(720, 20)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=flat, chunks=chunks, compression="gzip")
    expected = flat.reshape(24, 30, 20) if order == "C" else flat.reshape(30, 24, 20).transpose(1, 0, 2)
    with read_cube(tmp_path / "a.h5", spatial_shape=(24, 30), order=order) as cube:
        np.testing.assert_array_equal(np.concatenate([x for _, x in cube.blocks(100)]), expected)
