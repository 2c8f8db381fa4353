import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from deepspec import segment as verb
from deepspec.clustering import structure
from deepspec.data import fingerprint as fingerprints
from deepspec.data.cube_options import CubeOptions
from deepspec.data.fingerprint import read_request
from deepspec.errors import UserError
from deepspec.lines.label import LineOptions
from deepspec.models import NetworkConfig, SpectralModel
from deepspec.models.spectral_model import FORMAT, read_checkpoint
from deepspec.reporting import outputs
from deepspec.segmentation import Segmentation
from deepspec.segmentation.options import ResultOptions, SegmentOptions
from deepspec.training.module import DeepClustering
from deepspec.workers.segmenting import SegmentJob, SegmentRequest
from deepspec.workers.sharing import Sharing
from tests.support.planted import AXIS, planted_cube, planted_rates
from tests.support.waiting import until
from tests.undrawn import save_undrawn

NAMES = ("a", "b", "c")
AXIS_OPTION = ("--axis", "1:15.75:keV")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Three planted cubes, one that is cut short, and a model."""
    folder = tmp_path_factory.mktemp("scans")
    for seed, name in enumerate(NAMES):
        cube, _ = planted_cube(counts=20_000, seed=seed)
        np.save(folder / f"{name}.npy", cube.read_rows(0, 24))
    (folder / "cut.npy").write_bytes((folder / "a.npy").read_bytes()[:5000])
    torch.manual_seed(0)
    model = DeepClustering(AXIS.to_dict(), NetworkConfig(encoder=[16], output="linear"), ["sqrt", "max"])
    model.clusters.set(model.eval().encode(torch.from_numpy(planted_rates(counts=20_000).astype(np.float32))))
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    torch.save(content, folder / "model.ckpt")
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Empty files for figures and few clouds in the test of structure, in this process."""
    monkeypatch.setattr(outputs, "save_figures", save_undrawn)
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)


def arguments(scans, out, *more, names=NAMES):
    cubes = [str(scans / f"{name}.npy") for name in names]
    return [*cubes, "--checkpoint", str(scans / "model.ckpt"), *AXIS_OPTION, "--out", str(out), *more]


def result(out, name):
    return out / f"{name}-segmentation" / "segmentation.h5"


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_two_processes_one_is_killed_and_dask_does_the_rest(scans, tmp_path, capsys):
    pytest.importorskip("distributed", reason="no Dask: pip install 'deepspec[dask]'")
    refit = ("--clusters", "refit", "--k", "2", "6", "--export", "none")
    for name in NAMES:
        verb.main(arguments(scans, tmp_path / f"{name}-segmentation", *refit, names=[name]))
    out = tmp_path / "many"
    options = arguments(scans, out, *refit, names=("a", "cut", "b", "c"))
    command = [sys.executable, "-m", "deepspec.segment", *options, "--workers", "2"]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(lambda: process.poll() is not None or any(result(out, name).exists() for name in NAMES))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 1, printed
    assert "ended by signal 9" in printed
    assert "cut.npy: cut short or described wrongly" in printed
    first = {name: result(out, name).stat().st_mtime_ns for name in NAMES if result(out, name).exists()}
    assert 1 <= len(first) <= 2
    capsys.readouterr()
    with pytest.raises(SystemExit, match="1"):
        verb.main([*options, "--dask", "local:2"])
    assert f"4 cubes: {3 - len(first)} done, {len(first)} kept from before, 1 failed" in capsys.readouterr().out
    assert first == {name: result(out, name).stat().st_mtime_ns for name in first}
    assert sorted(path.name for path in out.iterdir()) == [f"{n}-segmentation" for n in NAMES]
    for name in NAMES:
        alone, found = Segmentation.load(result(tmp_path, name)), Segmentation.load(result(out, name))
        np.testing.assert_array_equal(found.labels, alone.labels)
        np.testing.assert_array_equal(found.mean_raw, alone.mean_raw)
        np.testing.assert_array_equal(found.latents, alone.latents)
        assert found.scores == alone.scores


def job(scans, out, name="a", mask=None, **options):
    given = {"export": "none", "sample": 1000, "n_init": 1, "device": "cpu"} | options
    written = {name: given.pop(name) for name in ("scale", "export", "redshift", "overwrite") if name in given}
    asked = SegmentRequest(
        str(scans / "model.ckpt"),
        SegmentOptions(**given),
        ResultOptions(**written),
        CubeOptions(axis="1:15.75:keV"),
        LineOptions(),
    )
    from deepspec.data.fingerprint import sha256_of

    path = str(scans / f"{name}.npy")
    return SegmentJob(path, str(out), mask, asked, sha256_of(scans / "model.ckpt"))


@pytest.mark.usefixtures("quick")
def test_a_segmentation_is_known_again_by_what_it_was_made_from(scans, tmp_path, monkeypatch):
    out = tmp_path / "r"
    mask = np.ones((24, 30), np.uint8)
    np.save(tmp_path / "m.npy", mask)
    first = job(scans, out, mask=str(tmp_path / "m.npy"))
    assert not first.run().kept
    assert first.run().kept
    assert replace(first.anywhere(), cube=str(scans / "a.npy")).run().kept
    assert job(scans, out, mask=str(tmp_path / "m.npy"), device="cuda", overwrite=True).run().kept
    for name, value in {"seed": 1, "k": (3, 9), "export": "tiff", "clusters": "refit"}.items():
        with pytest.raises(UserError, match=rf"made otherwise \({name}\); --overwrite true"):
            job(scans, out, mask=str(tmp_path / "m.npy"), **{name: value}).run()
    with pytest.raises(UserError, match=r"otherwise \(mask\)"):
        job(scans, out).run()
    with pytest.raises(UserError, match=r"otherwise \(cube\)"):
        job(scans, out, "b", mask=str(tmp_path / "m.npy")).run()
    with pytest.raises(UserError, match=r"otherwise \(checkpoint\)"):
        replace(first, checkpoint_sha256="0" * 64).run()
    monkeypatch.chdir(tmp_path)
    assert job(scans, out, mask="m.npy").run().kept  # the same file by another name
    mask[0, 0] = 0
    np.save(tmp_path / "m.npy", mask)
    with pytest.raises(UserError, match=r"otherwise \(mask\)"):
        first.run()
    assert not job(scans, out, mask="m.npy", overwrite=True).run().kept
    assert Segmentation.load(out / "segmentation.h5").labels[0, 0] == -1


@pytest.mark.usefixtures("quick")
def test_the_numbers_beside_a_header_count(scans, tmp_path):
    cube = np.load(scans / "a.npy")
    cube.transpose(2, 0, 1).tofile(tmp_path / "s.raw")
    header = "ENVI\nsamples = 30\nlines = 24\nbands = 60\nheader offset = 0\ndata type = 12\ninterleave = bsq\n"
    (tmp_path / "s.hdr").write_text(f"{header}byte order = 0\n")
    for file in ("s.hdr", "s.raw"):
        one = replace(job(scans, tmp_path / file[-3:]), cube=str(tmp_path / file))
        assert not one.run().kept
        assert one.run().kept
    cube[0, 0] += 1
    cube.transpose(2, 0, 1).tofile(tmp_path / "s.raw")
    for file, what in (("s.hdr", "numbers"), ("s.raw", "cube")):
        with pytest.raises(UserError, match=rf"otherwise \({what}\)"):
            replace(job(scans, tmp_path / file[-3:]), cube=str(tmp_path / file)).run()


@pytest.mark.usefixtures("quick")
def test_the_files_that_links_lead_to_count(scans, tmp_path):
    cube = np.load(scans / "a.npy")
    with h5py.File(tmp_path / "target.h5", "w") as file:
        file["mca"] = cube
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["entry"] = h5py.ExternalLink("target.h5", "/mca")
    one = replace(job(scans, tmp_path / "r"), cube=str(tmp_path / "master.h5"))
    assert not one.run().kept
    assert one.run().kept
    with h5py.File(tmp_path / "target.h5", "r+") as file:
        file["mca"][0, 0] = cube[0, 0] + 1
    with pytest.raises(UserError, match=r"otherwise \(numbers\)"):
        one.run()


@pytest.mark.usefixtures("quick")
def test_a_single_cube_leaves_what_several_would(scans, tmp_path):
    out = tmp_path / "a-segmentation"
    verb.main(arguments(scans, out, "--device", "cpu", names=["a"]))
    record = read_request(out / "segmentation.h5")
    assert (record["seed"], record["k"], record["axis"]) == (0, None, "1:15.75:keV")
    again = job(scans, out, export="auto", sample=32768, n_init=3)
    assert again.run().kept


@pytest.mark.usefixtures("quick")
def test_each_cube_with_its_own_mask(scans, tmp_path):
    for number, name in enumerate(NAMES):
        mask = np.zeros((24, 30), np.uint8)
        mask[: 20 + number] = 1
        np.save(tmp_path / f"{name}.npy", mask)
    given = ["--mask", str(tmp_path / "{name}.npy"), "--export", "none", "--device", "cpu"]
    verb.main(arguments(scans, tmp_path / "out", *given))
    for number, name in enumerate(NAMES):
        labels = Segmentation.load(result(tmp_path / "out", name)).labels
        assert np.count_nonzero(labels >= 0) == 30 * (20 + number)


@pytest.mark.usefixtures("quick")
def test_the_model_is_loaded_once(scans, tmp_path, monkeypatch):
    from deepspec.workers import segmenting

    loads, load = [], SpectralModel.load
    monkeypatch.setattr(SpectralModel, "load", lambda path: loads.append(path) or load(path))
    segmenting._load.cache_clear()
    for name in NAMES:
        assert not job(scans, tmp_path / name, name).run().kept
    assert len(loads) == 1


def error_of(capsys, *args):
    with pytest.raises(SystemExit, match="2"):
        verb.main([str(arg) for arg in args])
    return capsys.readouterr().err


def test_mistakes_in_the_command_are_told_before_any_work(scans, tmp_path, capsys):
    def message(*more, names=NAMES):
        return error_of(capsys, *arguments(scans, tmp_path, *more, names=names))

    assert "none.npy: no such file" in message(names=("a", "none"))
    assert "would both be written to" in message(names=("a", "b", "a"))
    assert "workers: expected at least 1" in message("--workers", "0")
    assert "not for --dask" in message("--dask", "local", "--workers", "2")
    assert "export 'pgn'" in message("--export", "pgn")
    assert "redshift: expected" in message("--redshift", "2", "1")
    assert "2 masks for 3 cubes" in message("--mask", '["x.npy", "y.npy"]')
    assert "such checkpoint" in error_of(capsys, scans / "a.npy", scans / "b.npy", "--checkpoint", "none.ckpt")
    assert "device 'abacus'" in message("--device", "abacus")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_read_and_hashed_once_for_one_cube_and_for_a_series(scans, tmp_path, monkeypatch, few_clouds):
    hashed, read = [], []
    real_load, real_files = torch.load, fingerprints._files

    def load(file, *args, **options):
        read.append(Path(file).name)
        return real_load(file, *args, **options)

    monkeypatch.setattr(torch, "load", load)
    monkeypatch.setattr(fingerprints, "_files", lambda path: hashed.append(Path(path).name) or real_files(path))
    # A process works at its cubes one after the other, as this one does here.
    monkeypatch.setattr(Sharing, "run", lambda self, jobs, device, what: [job.anywhere().run() for job in jobs])
    for names in (NAMES[:1], NAMES[:2]):
        model = tmp_path / f"{len(names)}.ckpt"
        model.write_bytes((scans / "model.ckpt").read_bytes())
        os.utime(model, (1e9, 1e9))  # a file that has just been written may be changing
        words = arguments(scans, tmp_path / f"out{len(names)}", "--export", "report,generated", names=names)
        words[words.index("--checkpoint") + 1] = str(model)
        hashed.clear(), read.clear()
        verb.main(words)
        assert read == [model.name]
        # `_files` is asked for the size as well, once for each cube that is made.
        assert hashed.count(model.name) == 1 + len(names)


def test_a_hash_and_a_checkpoint_are_read_again_when_the_file_has_changed(scans, tmp_path):
    model = tmp_path / "model.ckpt"
    model.write_bytes((scans / "model.ckpt").read_bytes())
    os.utime(model, (1e9, 1e9))
    first, content = fingerprints.sha256_of(model), read_checkpoint(model)
    content[FORMAT]["seed"] = 77  # what is returned is the caller's own
    assert read_checkpoint(model)[FORMAT]["seed"] != 77
    torch.save(content, model)
    assert fingerprints.sha256_of(model) == hashlib.sha256(model.read_bytes()).hexdigest() != first
    assert read_checkpoint(model)[FORMAT]["seed"] == 77
    data = bytearray(b"a" * 10)
    file = tmp_path / "file"
    for number in range(50):  # of one size, perhaps within one tick of the clock of the file system
        data[0] = number
        file.write_bytes(data)
        assert fingerprints.sha256_of(file) == hashlib.sha256(data).hexdigest()
