"""Fixtures shared by all tests."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.clustering import structure
from deepspec.data.neighbours import NeighbourPairs
from deepspec.data.shards.writer import ShardWriter

DATA = Path(os.environ.get("DEEPSPEC_DATA", Path(__file__).parents[1].parent / "shared" / "data"))


def load_experiment(name):
    """A script of experiments/ as a module: they are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "experiments" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real measured data; see the README for what it holds."""
    if not DATA.is_dir():
        pytest.skip(f"real data not found at {DATA}: set DEEPSPEC_DATA to its folder")
    return DATA


def planted_spectra(n, channels=64, materials=4, counts=400.0, seed=0):
    """(n, C) uint16 Poisson spectra of a few materials with three peaks each, and the (n,) material of each."""
    rng = np.random.default_rng(seed)
    shape = np.random.default_rng(99)  # the materials are the same whatever the seed
    channel = np.arange(channels)
    means = np.full((materials, channels), 0.02)
    for mean in means:
        for centre, height in zip(shape.uniform(5, channels - 5, 3), shape.uniform(0.5, 2.0, 3), strict=True):
            mean += height * np.exp(-0.5 * ((channel - centre) / 1.5) ** 2)
    means *= counts / means.sum(1, keepdims=True)
    labels = rng.integers(0, materials, n)
    return rng.poisson(means[labels]).astype(np.uint16), labels


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory) -> Path:
    """Shards of 1,500 training and 400 validation spectra of 64 channels, four materials, and neighbours."""
    root = tmp_path_factory.mktemp("shards") / "tiny"
    axis = SpectralAxis.linear(0.5, 0.5, 64, "keV")
    with ShardWriter(root, axis, "uint16", seed=0) as writer:
        for split, n in (("train", 1500), ("val", 400)):
            spectra, _ = planted_spectra(n, seed=n)
            writer.write(split, spectra, np.zeros((n, 3), dtype=np.int32))
        pairs, _ = planted_spectra(200, materials=1, seed=5)
        writer.write_neighbours(NeighbourPairs(pairs, np.zeros((200, 3), dtype=np.int32)))
    return root


@pytest.fixture
def few_clouds(monkeypatch):
    """The test of structure takes most of the time of a small cube: fewer clouds are drawn for it."""
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)
