"""More cubes than a process may open files."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

from deepspec.data.cube import read_cube
from deepspec.data.few_open import LIMIT, FewOpenFiles
from deepspec.data.shards.manifest import ShardSet

ROOT = Path(__file__).parents[2]


def test_files_are_closed_and_opened_again(tmp_path):
    cubes = [np.full((2, 3, 30), i, np.uint16) for i in range(LIMIT + 5)]
    for i, cube in enumerate(cubes):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file["img"] = cube
    before = len(os.listdir("/proc/self/fd"))
    with FewOpenFiles() as files:
        opened = [
            files.take(lambda i=i: [read_cube(tmp_path / f"{i}.h5", axis="channel")])[0] for i in range(len(cubes))
        ]
        for _ in range(2):
            for cube, whole in zip(opened, cubes, strict=True):
                np.testing.assert_array_equal(cube.read_rows(0, 2), whole)
        assert len(os.listdir("/proc/self/fd")) - before <= LIMIT
    assert len(os.listdir("/proc/self/fd")) == before


def test_ingest_of_many_cubes_under_a_low_limit(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for i in range(300):
        np.save(tmp_path / "scans" / f"{i:03d}.npy", rng.poisson(5, (2, 3, 30)).astype(np.uint16) + 1)
    ingest = [sys.executable, "-m", "deepspec.ingest", "scans", "--axis", "channel", "--out", "out"]
    command = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *ingest, "--split", "1", "0", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert ShardSet(tmp_path / "out").rows("train") == 1800
