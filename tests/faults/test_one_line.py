"""What the system refuses, and what cannot be, is one line and an exit status; no line tells a secret."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from deepspec.axis import SpectralAxis
from deepspec.command import one_line_errors
from deepspec.data.arrays import read_array
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.data.layout import Layout
from deepspec.data.shards.manifest import MANIFEST, ShardSet
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError, failure_of_the_system, without_passwords
from deepspec.evaluation.reference import read_reference
from deepspec.files import write_csv
from deepspec.training.optimiser import OptimizerConfig

ROOT = Path(__file__).parents[2]
VERBS = {"segment": ["x.npy"], "fit": [], "sweep": [], "ingest": ["x.npy"]}


def run(verb, *args, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, "-m", f"deepspec.{verb}", *args],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_configuration_in_another_encoding(verb, encoding, tmp_path):
    (tmp_path / "c.yaml").write_text("out: café\nstudy: s\n", encoding=encoding)
    done = run(verb, *VERBS[verb], "--config", "c.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is not in UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OSError(errno.ENOSPC, "full", "a/b"), 1, "a/b: No space left on device; make room"),
        (OSError("Can't write (errno = 28, error message = 'No space left on device')"), 1, "No space left on device"),
        (RuntimeError("file write failed: No space left on device"), 1, "No space left on device"),
        (OSError(errno.EROFS, "read-only", "a"), 2, "a: Read-only file system; give another place"),
        (PermissionError(errno.EACCES, "denied", "a"), 2, "a: Permission denied"),
        (OSError(errno.EMFILE, "many", "good.h5"), 2, "Too many open files; raise the limit"),
        (MemoryError("Unable to allocate 7.28 TiB"), 2, "not enough memory (Unable to allocate 7.28 TiB)"),
    ],
)
def test_what_the_system_refuses(error, status, words, capsys):
    with pytest.raises(SystemExit) as left, one_line_errors("prog"):
        raise error
    said = capsys.readouterr().err
    assert left.value.code == status
    assert said.startswith("prog: error: ")
    assert words in said
    assert said.count("\n") == 1


def test_a_bug_is_none_of_it():
    with pytest.raises(ZeroDivisionError), one_line_errors("prog"):
        _ = 1 / 0
    assert failure_of_the_system(RuntimeError("shapes differ")) is None


def test_too_many_open_files_blame_no_good_file(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file["img"] = np.ones((3, 4, 50))

    def refuse(*args, **kwargs):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("deepspec.data.hdf5_file.h5py.File", refuse)
    with pytest.raises(OSError, match="Too many open files") as caught:
        read_cube(tmp_path / "good.h5")
    assert not isinstance(caught.value, UserError)


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/sys").is_dir(), reason="needs a place nobody writes to")
def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path):
    np.save(tmp_path / "scan.npy", np.random.default_rng(0).poisson(3, (8, 9, 40)).astype(np.uint16))
    done = run("baseline", "pca", "scan.npy", "--axis", "channel", "--out", "/proc/sys/result", cwd=tmp_path)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "/proc/sys" in errors[0]
    assert "Traceback" not in done.stderr


def test_no_password_is_printed(tmp_path, capsys):
    (tmp_path / "sweep.yaml").write_text(
        "study: s\nexperiment: e.yaml\nsearch: {}\nobjectives: {val/target: minimize}\n"
    )
    for scheme in ("oracle", "postgresql+none", "mysql+none", "sqlite+x"):
        url = f"{scheme}://me:se:cr@et@127.0.0.1:1/d"
        done = run("sweep", "--config", "sweep.yaml", "--trials", "1", "--storage", url, cwd=tmp_path)
        assert done.returncode == 2
        assert "cr@et" not in done.stdout + done.stderr
    assert without_passwords("x://a:b@c x://d y:z@w") == "x://a:***@c x://d y:z@w"


def test_cells_that_look_like_formulas(tmp_path):
    rows = [{"=name": "=1+1", "n": -2.5}, {"=name": "-x", "n": "-3"}, {"n": None}, ["@SUM(A1)", 7]]
    write_csv(tmp_path / "a.csv", ["=name", "n"], rows)
    assert (tmp_path / "a.csv").read_text().split() == ["'=name,n", "'=1+1,-2.5", "'-x,-3", ",", "'@SUM(A1),7"]
    for path in (ROOT / "deepspec").rglob("*.py"):
        if path.name not in ("files.py", "pigment_table.py", "make_xray_table.py"):
            assert "csv.writer" not in path.read_text(), f"{path}: write with deepspec.files"
            assert "DictWriter" not in path.read_text(), f"{path}: write with deepspec.files"


def cube_of(*arrays, detector="sum"):
    rows, columns, channels = arrays[0].shape
    axis = SpectralAxis.linear(0, 1, channels, "channel")
    return SpectralCube(list(arrays), Layout(0, 1, 2), axis, np.ones((rows, columns), bool), detector=detector)


def test_detectors_of_different_types_are_summed_without_loss():
    small, large = np.full((2, 3, 4), 200, np.uint8), np.full((2, 3, 4), 2**32 - 1, np.uint32)
    for arrays in ((small, large), (large, small)):
        assert (cube_of(*arrays).read_rows(0, 2) == 200 + 2**32 - 1).all()
    assert (cube_of(small, large, detector=1).read_rows(0, 2) == 2**32 - 1).all()
    signed = np.full((2, 3, 4), -5, np.int16)
    assert (cube_of(small, signed).read_rows(0, 2) == 195).all()
    real = np.full((2, 3, 4), 0.25, np.float32)
    assert (cube_of(small, real).read_rows(0, 2) == 200.25).all()
    assert (cube_of(small, real, detector=1).read_rows(0, 2) == 0.25).all()
    assert (cube_of(small > 0, small > 0).read_rows(0, 2) == 2).all()
    huge = np.full((2, 3, 4), 2**63, np.uint64)
    with pytest.raises(UserError, match="no integer holds the sum of detectors of types int16, uint64"):
        cube_of(huge, signed).read_rows(0, 2)


def test_a_picture_of_a_painting_is_no_bomb_and_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(tmp_path / "a.png")
    assert read_array(tmp_path / "a.png", "the mask").shape == (30, 30)
    assert read_reference(tmp_path / "a.png", kind="labels").labels.shape == (30, 30)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr("deepspec.data.pictures.available_memory", lambda: 1000)
    for read in (lambda p: read_array(p, "the mask"), read_reference):
        with pytest.raises(UserError, match=r"30 x 30 pixels take .* GB: make it smaller"):
            read(tmp_path / "a.png")


def test_no_flipped_bit_of_a_manifest_is_used(tmp_path):
    with ShardWriter(tmp_path / "a", SpectralAxis.linear(0, 0.1, 8, "keV"), "uint16", 0) as writer:
        writer.write("train", np.ones((10, 8), np.uint16), np.zeros((10, 3), np.int32))
    path = tmp_path / "a" / MANIFEST
    content = path.read_bytes()
    axis = ShardSet(tmp_path / "a").axis
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = ShardSet(tmp_path / "a")
        except UserError:
            continue
        assert found.axis.matches(axis), place  # a space between the values, or the name of the checksum itself
        assert found.rows("train") == 10
    path.write_bytes(content.replace(b'"rows": 10', b'"rows": 11'))
    with pytest.raises(UserError, match="does not match its checksum"):
        ShardSet(tmp_path / "a")


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"lr": 0.0}, {"lr": float("nan")}, {"factor": 2.0}, {"min_lr": -1.0}])
def test_an_impossible_learning_rate(wrong):
    with pytest.raises(UserError, match=rf"optimizer\.{next(iter(wrong))} must be"):
        OptimizerConfig(**wrong)
