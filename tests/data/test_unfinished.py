"""Writers that are killed, and what the same command does when it is run again."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.shards.manifest import ShardSet
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError

AXIS = SpectralAxis.linear(0, 1, 64, "channel")
# The real command, which stops for good just before the function that is named: there it is killed.
STOP_AT = """
import sys, time
import deepspec.data.{module} as module
def stop(*args, **kwargs):
    print("here", flush=True)
    time.sleep(600)
module.{name} = stop
from deepspec.ingest import main
main(sys.argv[1:])
"""


def command(folder, *extra):
    return [str(folder / "scan.npy"), "--out", str(folder / "out"), "--split", "0.8", "0.2", "0", *extra]


def kill_at(folder, module, name, *extra):
    """Run `ingest` until it comes to a function, and kill it there."""
    code = STOP_AT.format(module=module, name=name)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command(folder, *extra)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    line = process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert line == "here\n", errors
    assert process.returncode == -signal.SIGKILL


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ingest(folder, *extra):
    from deepspec.ingest import main

    main(command(folder, *extra))


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "scan.npy", np.random.default_rng(0).poisson(3, (40, 60, 64)).astype(np.uint16) + 1)
    return tmp_path


# While the rows are scattered, before the second shard is written, and between the names and the manifest.
@pytest.mark.parametrize(
    ("module", "name"),
    [("ingestion", "_on_axis"), ("shards.writer", "write_shard"), ("shards.writer", "write_manifest")],
)
def test_the_same_command_again_after_a_kill(folder, module, name, capsys):
    ingest(folder)
    expected = contents(folder / "out")
    shutil.rmtree(folder / "out")
    kill_at(folder, module, name)
    with pytest.raises(UserError, match="no complete set"):
        ShardSet(folder / "out")
    left = [path.name for path in (folder / "out").iterdir()]
    assert any(name.startswith(".partial-") for name in left)
    assert ("train-00000.h5" in left) == (name == "write_manifest")
    ingest(folder)
    assert contents(folder / "out").keys() == expected.keys()
    ShardSet(folder / "out").verify()
    assert contents(folder / "out") == expected, "the same bytes as without the kill"


def test_a_kill_while_replacing_a_set(folder, capsys):
    ingest(folder)
    (folder / "out" / "notes.txt").write_text("mine")
    kill_at(folder, "shards.writer", "write_shard", "--overwrite")
    ShardSet(folder / "out").verify()  # the old set is whole until the new one is
    kill_at(folder, "shards.writer", "write_manifest", "--overwrite")
    ingest(folder, "--overwrite")
    ShardSet(folder / "out").verify()
    names = ["manifest.json", "neighbours.h5", "notes.txt", "train-00000.h5", "val-00000.h5"]
    assert sorted(contents(folder / "out")) == names


def test_a_living_writer_is_left_alone(tmp_path):
    spectra, pixel = np.ones((10, 64), np.uint16), np.zeros((10, 3), np.int32)
    with ShardWriter(tmp_path / "a", AXIS, "uint16", 0) as first:
        first.write("train", spectra, pixel)
        with pytest.raises(UserError, match="another process is writing shards here"):
            ShardWriter(tmp_path / "a", AXIS, "uint16", 0, overwrite=True)
    ShardSet(tmp_path / "a").verify()


def test_an_error_between_the_names_and_the_manifest_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("deepspec.data.shards.writer.write_manifest", fail)
    writer = ShardWriter(tmp_path / "a", AXIS, "uint16", 0)
    writer.write("train", np.ones((10, 64), np.uint16), np.zeros((10, 3), np.int32))
    with pytest.raises(OSError, match="disk full"):
        writer.close()
    assert list(tmp_path.iterdir()) == []
