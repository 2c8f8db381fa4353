import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepspec import evaluate as verb
from deepspec.baselines import BaselineOptions, segment_by_baseline
from deepspec.clustering import structure
from deepspec.data.cube import read_cube
from deepspec.data.cube_options import CubeOptions
from deepspec.errors import UserError
from deepspec.evaluation.options import EvaluateOptions
from deepspec.workers.evaluating import EvaluateJob, EvaluateRequest, name_of, segmentation_files
from tests.evaluation.made import bands, segmentation
from tests.support.planted import planted_cube
from tests.support.waiting import until

NAMES = ("a", "b", "c")


@pytest.fixture
def results(tmp_path):
    """Three segmentations of three bands, as `segment` leaves them, and a label map for each."""
    for shift, name in enumerate(NAMES):
        folder = tmp_path / "results" / f"{name}-segmentation"
        folder.mkdir(parents=True)
        segmentation(np.roll(bands(), shift, axis=1)).save(folder / "segmentation.h5")
        np.save(tmp_path / f"{name}.npy", bands())
    return tmp_path


def arguments(results, *more):
    given = ["--reference", str(results / "{name}.npy"), "--k", "2", "3", "--refits", "3", "--device", "cpu"]
    return [str(results / "results"), *given, *map(str, more)]


def options(**changed):
    given = {"k": (2, 3), "refits": 2, "device": "cpu"} | changed
    return EvaluateRequest(EvaluateOptions(**given), CubeOptions())


def job(results, name="a", reference="a", mask=None, **changed):
    file = results / "results" / f"{name}-segmentation" / "segmentation.h5"
    return EvaluateJob(str(file), str(results / "ev"), str(results / f"{reference}.npy"), mask, options(**changed))


def numbers(folder):
    """All that an evaluation found, without the places of files."""
    content = json.loads((folder / "evaluation.json").read_text())
    del content["segmentation"], content["reference"]["source"]
    return content


def assert_close(found, expected):
    """Equal, but for the last digits of sums, which depend on the number of threads."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_close(found[key], expected[key])
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)
    else:
        assert found == expected


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_two_processes_one_is_killed_and_dask_does_the_rest(results, capsys):
    pytest.importorskip("distributed", reason="no Dask: pip install 'deepspec[dask]'")
    out, alone = results / "many", results / "alone"
    for name in NAMES:
        given = arguments(results)[1:]
        verb.main([str(results / "results" / f"{name}-segmentation"), *given, "--out", str(alone / name)])
    command = [sys.executable, "-m", "deepspec.evaluate", *arguments(results, "--out", out, "--workers", "2")]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(lambda: process.poll() is not None or list(out.glob("*-evaluation/evaluation.json")))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    printed, _ = process.communicate(timeout=200)
    first = {file: file.stat().st_mtime_ns for file in out.glob("*-evaluation/evaluation.json")}
    assert process.returncode in (0, 1), printed
    assert 1 <= len(first) <= 3  # the killed process may have been done with its work
    assert process.returncode == 1 or len(first) == 3
    capsys.readouterr()
    verb.main(arguments(results, "--out", out, "--dask", "local:2"))
    assert f"3 segmentations: {3 - len(first)} done, {len(first)} kept from before, 0 failed" in capsys.readouterr().out
    assert first == {file: file.stat().st_mtime_ns for file in first}
    for name in NAMES:
        assert_close(numbers(out / f"{name}-segmentation-evaluation"), numbers(alone / name))
    with (out / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["segmentation"].split("/")[-2] for row in rows] == [f"{name}-segmentation" for name in NAMES]
    for row, name in zip(rows, NAMES, strict=True):
        assert float(row["ari"]) == numbers(alone / name)["agreement"]["ari"]
        assert float(row["stability"]) == numbers(alone / name)["stability"]["ari"]
        assert (row["classes"], row["k"], row["structure"]) == ("3", "3", "clear")
    assert rows[0]["ari"] == "1.0"
    assert float(rows[2]["ari"]) < float(rows[1]["ari"]) < 1


def test_one_that_fails_does_not_stop_the_others(results, capsys):
    (results / "b.npy").unlink()
    (results / "results" / "notes").mkdir()
    with pytest.raises(SystemExit, match="1"):
        verb.main(arguments(results, "--out", results / "ev"))
    found = capsys.readouterr()
    assert "3 segmentations: 2 done, 0 kept from before, 1 failed" in found.out
    assert "b.npy: no such file" in found.err
    assert "a row for each of 2 evaluations" in found.out
    assert sorted(path.name for path in (results / "ev").iterdir()) == [
        "a-segmentation-evaluation", "c-segmentation-evaluation", "scores.csv"
    ]  # fmt: skip


def test_an_evaluation_is_known_again_by_what_it_was_made_from(results, monkeypatch):
    np.save(results / "m.npy", np.ones((20, 30), np.uint8))
    (results / "merge.yaml").write_text("both: [0, 1]\n")
    given = {"mask": str(results / "m.npy"), "mapping": str(results / "merge.yaml")}
    first = job(results, **given)
    assert not first.run().kept
    assert first.run().kept
    assert first.anywhere().run().kept
    assert job(results, **given, device="cuda", overwrite=True).run().kept
    assert job(results, reference="b", **given).run().kept  # the same content
    for name, value in {"seed": 1, "k": (2, 4), "refits": 3, "export": "svg", "alpha": 0.5}.items():
        with pytest.raises(UserError, match=rf"an evaluation that was made otherwise \({name}\); --overwrite true"):
            job(results, **given, **{name: value}).run()
    with pytest.raises(UserError, match=r"otherwise \(segmentation\)"):
        job(results, "b", **given).run()
    with pytest.raises(UserError, match=r"otherwise \(mask\)"):
        job(results, mapping=given["mapping"]).run()
    (results / "merge.yaml").write_text("both: [1, 2]\n")
    with pytest.raises(UserError, match=r"otherwise \(mapping\)"):
        first.run()
    assert not job(results, **given, overwrite=True).run().kept
    monkeypatch.chdir(results)
    assert job(results, mask="m.npy", mapping="merge.yaml").run().kept
    np.save(results / "a.npy", bands(k=2))
    with pytest.raises(UserError, match=r"otherwise \(reference\)"):
        job(results, mask="m.npy", mapping="merge.yaml").run()


def test_scores_of_a_cube_that_was_found_later(tmp_path, monkeypatch):
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)
    cube, _ = planted_cube()
    cube.save(tmp_path / "scan.h5")
    monkeypatch.chdir(tmp_path)
    with read_cube("scan.h5") as opened:
        found = segment_by_baseline(opened, "pca", BaselineOptions(preprocess=["sqrt"], components=3), k=(3, 4))
    assert found.provenance.cube == str(tmp_path / "scan.h5")  # whatever the working directory was
    found.save(tmp_path / "segmentation.h5")
    (tmp_path / "scan.h5").rename(tmp_path / "moved.h5")
    one = EvaluateJob(str(tmp_path / "segmentation.h5"), str(tmp_path / "ev"), None, None, options(refits=0))

    def scored():
        return json.loads((tmp_path / "ev" / "evaluation.json").read_text())["internal_input_space"] is not None

    assert not one.run().kept
    assert not scored()
    assert one.run().kept
    (tmp_path / "moved.h5").rename(tmp_path / "scan.h5")
    with pytest.raises(UserError, match=r"otherwise \(cube\)"):
        one.run()
    assert not replace(one, asked=options(refits=0, overwrite=True)).run().kept
    assert scored()
    (tmp_path / "scan.h5").unlink()
    assert one.run().kept  # nothing is lost because the cube has gone since
    with pytest.raises(UserError, match=r"otherwise \(cube\)"):
        replace(one, asked=options(refits=0, cube="none")).run()


def test_another_segmentation_as_reference(results):
    folder = results / "results" / "b-segmentation"
    one = replace(job(results), reference=str(folder))
    assert one.run().summary.startswith("K = 3, ARI 0.")
    assert replace(one, reference=str(folder / "segmentation.h5")).run().kept
    assert one.anywhere().run().kept


@pytest.mark.parametrize("dataset", ["results", "results/a-segmentation", "results/a-segmentation/segmentation.h5"])
def test_names_of_segmentations(results, monkeypatch, dataset):
    monkeypatch.chdir(results)
    unfinished = results / "results" / ".x-segmentation.host.12.part"
    unfinished.mkdir()
    (unfinished / "segmentation.h5").touch()
    files = segmentation_files([dataset])
    assert [name_of(file) for file in files] == [f"{name}-segmentation" for name in NAMES[: len(files)]]
    monkeypatch.chdir(results / "results" / "a-segmentation")
    assert name_of("segmentation.h5") == "a-segmentation"
    assert segmentation_files(["."]) == ["segmentation.h5"]


def test_mistakes_in_the_command_are_told_before_any_work(results, capsys):
    def message(*args):
        with pytest.raises(SystemExit, match="2"):
            verb.main([str(arg) for arg in args])
        return capsys.readouterr().err

    out = results / "ev"
    same = results / "more" / "a-segmentation"
    same.mkdir(parents=True)
    segmentation().save(same / "segmentation.h5")
    assert "would both be evaluated in" in message(same, *arguments(results, "--out", out))
    table = [results / "results", "--reference", results / "a.npy", "--out", out]
    assert "add --each, or give each its reference" in message(*table, "--workers", "2")
    assert "not for --dask" in message(*table, "--each", "--workers", "2", "--dask", "local")
    assert "device 'abacus'" in message(*table, "--each", "--device", "abacus")
    assert "export 'pgn'" in message(*table, "--export", "pgn")
    assert "none/segmentation.h5: no such segmentation" in message(results / "none")
    assert not out.exists()


def test_scores_are_of_what_was_asked_for_now(results, capsys):
    out = results / "ev"
    verb.main(arguments(results, "--out", out))
    np.save(results / "b.npy", np.roll(bands(), 9, axis=1))
    with pytest.raises(SystemExit, match="1"):
        verb.main(arguments(results, "--out", out))
    assert "made otherwise (reference)" in capsys.readouterr().err
    with (out / "scores.csv").open() as stream:
        rows = [row["segmentation"].split("/")[-2] for row in csv.DictReader(stream)]
    assert rows == ["a-segmentation", "c-segmentation"]


def test_each_with_its_own_mask(results, capsys):
    for number, name in enumerate(NAMES):
        mask = np.zeros((20, 30), np.uint8)
        mask[: 10 + number] = 1
        np.save(results / f"mask-{name}.npy", mask)
    given = ["--reference", str(results / "a.npy"), "--mask", str(results / "mask-{name}.npy"), "--refits", "0"]
    verb.main([str(results / "results"), *given, "--k", "2", "3", "--out", str(results / "ev")])
    with (results / "ev" / "scores.csv").open() as stream:
        assert [row["pixels"] for row in csv.DictReader(stream)] == ["300", "330", "360"]


def test_against_a_single_reference_in_a_table_or_one_by_one(results, capsys):
    table = [str(results / "results"), "--reference", str(results / "a.npy"), "--device", "cpu", "--refits", "0"]
    verb.main([*table, "--out", str(results / "table")])
    assert "degradation" in capsys.readouterr().out
    verb.main([*table, "--out", str(results / "each"), "--each", "--k", "2", "3"])
    with (results / "table" / "scores.csv").open() as one, (results / "each" / "scores.csv").open() as other:
        together, apart = list(csv.DictReader(one)), list(csv.DictReader(other))
    for name in ("ari", "nmi", "weighted_f1", "macro_tversky"):
        assert [row[name] for row in together] == [row[name] for row in apart]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_finds_the_same(results):
    folder = results / "cuda"
    job(results).run()
    replace(job(results), folder=str(folder), asked=options(device="cuda")).run()
    ours, theirs = numbers(results / "ev"), numbers(folder)
    assert ours["agreement"] == theirs["agreement"]
    assert ours["stability"]["ari"] == pytest.approx(theirs["stability"]["ari"], abs=1e-3)
    assert ours["internal"]["davies_bouldin"] == pytest.approx(theirs["internal"]["davies_bouldin"], rel=1e-4)
