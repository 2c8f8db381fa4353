import numpy as np
import pytest

from deepspec.data.shards.format import SpectraBlock
from deepspec.data.shards.shuffle import ScatterShuffle, record_type, to_records


def block(start, stop):
    number = np.arange(start, stop)
    return SpectraBlock(
        (number[:, None] + np.arange(3)).astype(np.uint16),
        np.stack([number] * 3, axis=1).astype(np.int32),
        (number % 7).astype(np.int16),
    )


def shuffle(folder, rows, seed, memory, at_once=50):
    record = record_type(3, "uint16", labelled=True)
    scatter = ScatterShuffle(folder, record, np.random.default_rng(seed), memory)
    for start in range(0, rows, at_once):
        scatter.add(to_records(block(start, min(start + at_once, rows)), record))
    parts = list(scatter.blocks())
    return SpectraBlock(*(np.concatenate(part) for part in zip(*parts, strict=True))), parts


@pytest.mark.parametrize("memory", [1, 100, 10**9])
def test_every_row_once_and_whole(tmp_path, memory):
    found, parts = shuffle(tmp_path / "a", 1000, 0, memory)
    order = found.pixel[:, 0]
    assert sorted(order) == list(range(1000))
    assert not (order == np.arange(1000)).all()
    np.testing.assert_array_equal(found.spectra, order[:, None] + np.arange(3))
    np.testing.assert_array_equal(found.label, order % 7)
    record_bytes = 3 * 2 + 12 + 2
    assert all(len(p.spectra) * record_bytes <= max(memory, record_bytes) for p in parts)
    assert not [p for p in (tmp_path / "a").rglob("*") if p.is_file()], "buckets are removed once read"


def test_the_seed_decides(tmp_path):
    first, second, other = (
        shuffle(tmp_path / name, 300, seed, 10**9)[0].pixel[:, 0].tolist()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second
    assert first != other


def test_places_are_uniform(tmp_path):
    """The mean place of each eighth of the input is the middle, for 100 shuffles; the error is 1/sqrt(12 n)."""
    places = np.zeros((100, 8))
    for trial in range(100):
        order = shuffle(tmp_path / str(trial), 64, trial, 200)[0].pixel[:, 0]
        place = np.empty(64)
        place[order] = (np.arange(64) + 0.5) / 64
        places[trial] = place.reshape(8, 8).mean(axis=1)
    assert np.abs(places.mean(axis=0) - 0.5).max() < 4 / np.sqrt(12 * 800)
