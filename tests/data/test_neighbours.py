"""Pairs of neighbouring pixels: that they are neighbours, drawn evenly, and kept with the shards."""

import json

import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import read_cube
from deepspec.data.ingestion import IngestPlan, ingest_cubes
from deepspec.data.neighbours import PAIRS, NeighbourSample, neighbours_of
from deepspec.data.shards.manifest import ShardSet
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError


def cube_file(path, rows=40, columns=30, channels=16, seed=0):
    values = np.random.default_rng(seed).poisson(20.0, (rows, columns, channels)).astype(np.uint16)
    np.save(path, values)
    return values


def opened(path, **more):
    return read_cube(path, spectral_dim=2, **more)


def check(pairs, values):
    """Each pair is of pixels side by side or one above the other, with their spectra."""
    cube, y, x = pairs.pixel_M3.T
    np.testing.assert_array_equal(pairs.spectra_MC, np.stack([values[n] for n in range(len(values))])[cube, y, x])
    steps = np.abs(np.diff(np.stack([y, x], 1).reshape(-1, 2, 2), axis=1)).sum((1, 2))
    assert (steps == 1).all()
    assert (cube[::2] == cube[1::2]).all()


def test_all_pairs_of_a_small_cube(tmp_path):
    values = cube_file(tmp_path / "a.npy", 7, 5)
    pairs = neighbours_of(opened(tmp_path / "a.npy"), seed=0)
    check(pairs, [values])
    both = {tuple(sorted(map(tuple, p))) for p in pairs.pixel_M3[:, 1:].reshape(-1, 2, 2).tolist()}
    assert len(both) == len(pairs.pixel_M3) // 2 == 7 * 4 + 6 * 5


def test_the_sample_is_bounded_even_and_does_not_depend_on_the_blocks(tmp_path):
    values = np.random.default_rng(0).poisson(20.0, (120, 70, 4)).astype(np.uint16)
    found = []
    for rows in (1, 7, 120):
        sample = NeighbourSample(4, seed=3)
        sample.begin(0)
        for first in range(0, 120, rows):
            block = values[first : first + rows]
            sample.add(block, np.ones(block.shape[:2], dtype=bool), first)
        found.append(sample.pairs)
        check(sample.pairs, [values])
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].pixel_M3, other.pixel_M3)
    assert len(found[0].spectra_MC) == 2 * PAIRS
    y, _ = found[0].pixel_M3[:, 1:].T
    side_by_side = (y[::2] == y[1::2]).mean()
    assert side_by_side == pytest.approx(120 * 69 / (120 * 69 + 119 * 70), abs=0.03)
    assert y.mean() == pytest.approx(59.5, abs=2)


def test_masked_and_dead_pixels_are_in_no_pair(tmp_path):
    values = cube_file(tmp_path / "a.npy", 12, 9)
    values[4, 4] = 0
    np.save(tmp_path / "a.npy", values)
    mask = np.ones((12, 9), dtype=bool)
    mask[:, 2] = False
    pairs = neighbours_of(opened(tmp_path / "a.npy", mask=mask), seed=0)
    check(pairs, [values])
    assert not (pairs.pixel_M3[:, 2] == 2).any()
    assert not (pairs.pixel_M3[:, 1:] == 4).all(1).any()
    alone = np.zeros((12, 9), dtype=bool)
    alone[::2, ::2] = True
    assert neighbours_of(opened(tmp_path / "a.npy", mask=alone), seed=0) is None


def test_ingest_keeps_pairs_of_training_pixels(tmp_path):
    values = [cube_file(tmp_path / f"{i}.npy", seed=i) for i in range(2)]
    cubes = [opened(tmp_path / f"{i}.npy") for i in range(2)]
    shards = ingest_cubes(cubes, tmp_path / "out", IngestPlan(split=(0.6, 0.2, 0.2), keep=0.1))
    kept = shards.read_neighbours()
    assert kept.dtype == shards.dtype == np.uint16
    from deepspec.data.shards.reader import ShardReader

    reader = ShardReader(tmp_path / "out" / "neighbours.h5")
    block = reader.read(0, reader.rows)
    np.testing.assert_array_equal(block.spectra, kept)
    cube, y, x = block.pixel.T
    np.testing.assert_array_equal(kept, np.stack(values)[cube, y, x])
    assert set(cube) == {0, 1}
    # against a set that keeps every pixel: which are for training
    train = ingest_cubes(cubes, tmp_path / "all", IngestPlan(split=(0.6, 0.2, 0.2)))
    places = set(map(tuple, train.read("train", 0, train.rows("train")).pixel))
    assert set(map(tuple, block.pixel)) <= places
    shards.verify()


def test_damage_is_found_and_an_older_set_is_asked_to_be_ingested_again(tmp_path):
    cube_file(tmp_path / "a.npy")
    root = tmp_path / "out"
    ingest_cubes([opened(tmp_path / "a.npy")], root, IngestPlan(split=(1, 0, 0)))
    content = bytearray((root / "neighbours.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (root / "neighbours.h5").write_bytes(bytes(content))
    for use in (ShardSet(root).read_neighbours, ShardSet(root).verify):
        with pytest.raises(UserError, match=r"neighbours\.h5"):
            use()
    state = json.loads((root / "manifest.json").read_text())
    del state["neighbours"], state["checksum"]  # as the manifests before either
    (root / "manifest.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=r"no pairs of neighbouring pixels here, .* ingest the cubes again"):
        ShardSet(root).read_neighbours()
    ShardSet(root).verify()


def test_a_set_without_pairs_takes_the_place_of_one_with(tmp_path):
    cube_file(tmp_path / "a.npy")
    root = tmp_path / "out"
    ingest_cubes([opened(tmp_path / "a.npy")], root, IngestPlan(split=(1, 0, 0)))
    assert (root / "neighbours.h5").is_file()
    with ShardWriter(root, SpectralAxis.linear(0, 1, 16, "channel"), "uint16", seed=0, overwrite=True) as writer:
        writer.write("train", np.ones((30, 16), dtype=np.uint16), np.zeros((30, 3), dtype=np.int32))
    assert sorted(path.name for path in root.iterdir()) == ["manifest.json", "train-00000.h5"]
