"""Small files that ask for huge memory: each is refused within 5 s and 500 MB, measured in a process of its own."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.data.bombs import CUBE, CUBES, HARMLESS, MASKS

SECONDS, MEGABYTES = 5, 500

MEASURED = """
import json, resource, sys, time
from pathlib import Path

import astropy.io.fits, hdf5plugin, tifffile  # what readers import when they are first used

from deepspec.data.arrays import read_array
from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from deepspec.segmentation.result import read_segmentation


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


for kind, name, path in json.loads(sys.argv[1]):
    before, start = memory(), time.perf_counter()
    said = values = None
    try:
        if kind == "segmentation":
            read_segmentation(Path(path))
        elif kind == "mask":
            read_array(path, "the mask")
        else:
            with read_cube(path, spectral_dim=None if kind == "harmless" else -1) as cube:
                values = int(cube.read_rows(0, cube.shape[0]).sum())
    except UserError as error:
        said = str(error)
    print(json.dumps([kind, name, said, values, time.perf_counter() - start, memory() - before]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What became of each file: the error's text, the sum of its values, seconds and megabytes."""
    files = []
    for kind, writers in (("cube", CUBES), ("mask", MASKS), ("harmless", HARMLESS)):
        for name, write in writers.items():
            path = write(tmp_path_factory.mktemp("bomb"))
            assert sum(file.stat().st_size for file in path.parent.rglob("*")) < 2**20
            files.append((name if name == "segmentation" else kind, name, str(path)))
    command = [sys.executable, "-c", MEASURED, json.dumps(files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {(kind, name): rest for kind, name, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("cube", name) for name in CUBES] + [("segmentation" if n == "segmentation" else "mask", n) for n in MASKS],
)
def test_bombs_are_refused(outcomes, kind, name):
    said, _, seconds, megabytes = outcomes[kind, name]
    assert said is not None
    assert "\n" not in said
    assert "/a." in said
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


@pytest.mark.parametrize("name", list(HARMLESS))
def test_huge_lists_beside_a_cube_are_not_read(outcomes, name):
    said, values, seconds, megabytes = outcomes["harmless", name]
    assert said is None
    assert values == np.sum(CUBE, dtype=np.int64)
    assert seconds < SECONDS
    assert megabytes < MEGABYTES
