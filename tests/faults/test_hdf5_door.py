"""Every HDF5 file is opened through one door, which no damage makes hang and which leads to no other file."""

import ast
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from deepspec.data.arrays import read_array
from deepspec.data.cube import read_cube
from deepspec.data.fingerprint import read_request
from deepspec.data.hdf5_check import check_heaps
from deepspec.data.hdf5_file import read_hdf5
from deepspec.data.shards.reader import ShardReader
from deepspec.errors import UserError
from deepspec.segmentation import Segmentation
from tests.data.mutations import damage

PACKAGE = Path(__file__).parents[2] / "deepspec"
CUBE = np.arange(6 * 5 * 40, dtype=np.uint16).reshape(6, 5, 40)
READERS = {
    "cube": read_cube,
    "mask": lambda path: read_array(path, "the mask"),
    "segmentation": Segmentation.load,
    "request": read_request,
    "shard": ShardReader,
}


def test_there_is_one_door_in_and_one_out():
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("hdf5_file.py", "hdf5_writing.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                assert called != "h5py.File", f"{path}:{node.lineno}: use read_hdf5 or write_hdf5"


@pytest.fixture
def texts(tmp_path):
    """A file with a global heap, of texts, and a local heap, of names."""
    path = tmp_path / "cube.h5"
    with h5py.File(path, "w") as file:
        file["img"] = CUBE
        file["img"].attrs["note"] = "a text of any length"
        for i in range(3):
            file[f"group{i}/x"] = i
        del file["group1"]
    return path


def globals_of(content):
    """Places of the free object of each global heap, and its length."""
    place = content.find(b"GCOL")
    while place >= 0:
        end = place + struct.unpack_from("<Q", content, place + 8)[0]
        at = place + 16
        while at + 16 <= end:
            number, _, size = struct.unpack_from("<HH4xQ", content, at)
            if number == 0:
                yield at, size
                break
            at += 16 + -(-size // 8) * 8
        place = content.find(b"GCOL", place + 1)


@pytest.mark.parametrize("size", [0, 8, 16, 24, 4000, 10**6])
@pytest.mark.parametrize("reader", READERS)
def test_a_free_object_that_is_too_short_or_long_hangs_no_reader(texts, size, reader):
    content = bytearray(texts.read_bytes())
    check_heaps(texts)
    found = list(globals_of(content))
    assert found
    for place, whole in found:
        assert whole != size
        struct.pack_into("<Q", content, place + 8, size)
    texts.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged HDF5 file: the texts at byte .* have no valid lengths"):
        READERS[reader](texts)


def test_a_list_of_names_that_comes_back_hangs_no_reader(texts):
    content = bytearray(texts.read_bytes())
    changed = 0
    place = content.find(b"HEAP")
    while place >= 0:
        size, free, data = struct.unpack_from("<QQQ", content, place + 8)
        if free != 1 and free + 16 <= size:
            struct.pack_into("<Q", content, data + free, free)
            changed += 1
        place = content.find(b"HEAP", place + 1)
    assert changed
    texts.write_bytes(content)
    for reader in READERS.values():
        with pytest.raises(UserError, match=r"damaged HDF5 file: the names at byte .* have no valid end"):
            reader(texts)


def test_whole_files_of_all_ages_pass(tmp_path, shared_data):
    for libver in ("earliest", ("v108", "v108"), ("v110", "v110"), "latest"):
        for block in (0, 512, 2048):
            path = tmp_path / "any.h5"
            with h5py.File(path, "w", libver=libver, userblock_size=block) as file:
                for i in range(40):
                    file[f"group{i}/data"] = np.arange(i)
                    file[f"group{i}"].attrs["text"] = "x" * i * 50
                for i in range(0, 40, 3):
                    del file[f"group{i}"]
                for i in range(1, 40, 3):
                    file[f"group{i}"].attrs["text"] = "y" * 3000
            check_heaps(path)
    for path in shared_data.rglob("*.h5"):
        check_heaps(path)


@pytest.mark.parametrize("number", range(4))
def test_random_damage_hangs_no_reader(texts, tmp_path, number):
    """In a process of its own, which is ended after some seconds: nothing else ends the library's endless loops."""
    whole = texts.read_bytes()
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(60):
        path = folder / f"{i}.h5"
        path.write_bytes(whole)
        damage(np.random.default_rng([number, i]), path)
    code = (
        "import sys; from pathlib import Path\n"
        "from deepspec.errors import UserError\n"
        "from tests.faults.test_hdf5_door import READERS\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    for name, read in READERS.items():\n"
        "        try:\n"
        "            print(path.name, name, flush=True)\n"
        "            read(path)\n"
        "        except UserError:\n"
        "            pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1:]} {done.stderr[-500:]}"


def kinds(folder, target, name="cube.h5"):
    """Files that take their data from `target`, one of each kind."""
    raw, source = target
    found = {}
    for kind in ("external", "virtual", "link"):
        path = folder / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            if kind == "external":
                file.create_dataset("img", CUBE.shape, CUBE.dtype, external=[(str(raw), 0, CUBE.nbytes)])
            elif kind == "virtual":
                layout = h5py.VirtualLayout(CUBE.shape, CUBE.dtype)
                layout[:] = h5py.VirtualSource(str(source), "img", CUBE.shape)
                file.create_virtual_dataset("img", layout)
            else:
                file["img"] = h5py.ExternalLink(str(source), "/img")
        found[kind] = path
    return found


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    CUBE.tofile(folder / "secret.raw")
    with h5py.File(folder / "secret.h5", "w") as file:
        file["img"] = CUBE
    return folder / "secret.raw", folder / "secret.h5"


def test_data_in_files_elsewhere_are_refused(tmp_path, outside, monkeypatch):
    for kind, path in kinds(tmp_path / "given", outside).items():
        for read in (lambda p: read_cube(p, dataset="img"), lambda p: read_array(f"{p}:img", "the mask"), read_request):
            with pytest.raises(UserError, match=r"'img' is not in the file but in .*secret.* outside its folder"):
                read(path)
        monkeypatch.setenv("DEEPSPEC_EXTERNAL_FILES", "allow")
        with read_hdf5(path) as file:
            np.testing.assert_array_equal(file["img"][()], CUBE, err_msg=kind)
        monkeypatch.delenv("DEEPSPEC_EXTERNAL_FILES")


def test_a_way_out_through_parents_links_and_other_files_is_none(tmp_path, outside):
    given = tmp_path / "given"
    given.mkdir()
    (given / "beside").symlink_to(outside[0].parent, target_is_directory=True)
    chain = given / "chain.h5"
    with h5py.File(chain, "w") as file:
        file["img"] = h5py.ExternalLink("inner.h5", "/img")
    shutil.copy(kinds(tmp_path / "made", outside)["external"], given / "inner.h5")
    ways = {
        "parent": ("../elsewhere/secret.raw", "../elsewhere/secret.h5"),
        "link": ("beside/secret.raw", "beside/secret.h5"),
    }
    paths = [chain]
    for name, target in ways.items():
        made = kinds(tmp_path / name, target).values()
        paths += [shutil.copy(path, given / f"{name}-{path.parent.name}.h5") for path in made]
    for path in paths:
        with pytest.raises(UserError, match="outside its folder"):
            read_cube(path, dataset="img")


def test_data_beside_the_file_and_below_are_read(tmp_path, outside, monkeypatch):
    folder = tmp_path / "set"
    (folder / "parts").mkdir(parents=True)
    shutil.copy(outside[0], folder / "parts" / "part.raw")
    shutil.copy(outside[1], folder / "parts" / "part.h5")
    monkeypatch.chdir(folder)  # HDF5 looks for raw bytes where the command was started
    for path in kinds(tmp_path / "made", ("parts/part.raw", "parts/part.h5")).values():
        master = shutil.copy(path, folder / f"{path.parent.name}.h5")
        with read_hdf5(Path(master)) as file:
            np.testing.assert_array_equal(file["img"][()], CUBE)
    assert os.environ.get("DEEPSPEC_EXTERNAL_FILES") is None
