"""The verb: what it writes, prints and refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deepspec import evaluate as verb
from tests.evaluation.made import bands, segmentation

WITHOUT_REFERENCE = ["criteria.png", "evaluation.json", "maps.h5", "report.html", "stability.png"]
EVERYTHING = sorted([*WITHOUT_REFERENCE, "clusters.csv", "comparison.png", "confusion.png", "errors.png"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A segmentation of three bands, its truth with numbers 4, 5, 6 and 0 for nothing, and a picture of it."""
    root = tmp_path_factory.mktemp("evaluate")
    (root / "scan").mkdir()
    segmentation().save(root / "scan" / "segmentation.h5")
    truth = bands() + 4
    truth[:2] = 0
    np.save(root / "truth.npy", truth)
    colours = np.array([[200, 0, 0], [0, 180, 0], [0, 0, 220]], np.uint8)
    Image.fromarray(colours[bands()]).save(root / "picture.png")
    (root / "merge.yaml").write_text("both: [4, 5]\n")
    return root


def run(folder, *args):
    verb.main([str(folder / "scan"), "--k", "2", "4", "--refits", "2", *map(str, args)])


def names(out):
    return sorted(path.name for path in out.iterdir())


def error_of(capsys, call):
    with pytest.raises(SystemExit, match="2"):
        call()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_labels_masks_and_mappings(folder, tmp_path, capsys):
    out = tmp_path / "new" / "ev"
    mask = np.zeros((20, 30), np.uint8)
    mask[:, 3:] = 1
    np.save(tmp_path / "mask.npy", mask)
    given = ["--reference", folder / "truth.npy", "--ignore", "0", "--mapping", folder / "merge.yaml"]
    run(folder, *given, "--mask", tmp_path / "mask.npy", "--out", out)
    assert names(out) == EVERYTHING
    printed = capsys.readouterr().out
    assert "3 clusters against 2 classes" in printed
    assert "classes 4, 5 were merged into 'both' before matching" in printed
    assert "only the 540 pixels of the mask count" in printed
    for name in EVERYTHING:
        assert f"wrote {out / name}" in printed
    numbers = json.loads((out / "evaluation.json").read_text())
    assert numbers["agreement"]["pixels"] == 18 * 27
    assert numbers["reference"]["classes"] == ["both", "6"]
    assert [path.name for path in out.parent.iterdir()] == ["ev"]
    report = (out / "report.html").read_text()
    assert "<h2>Agreement with the reference</h2>" in report
    assert "classes 4, 5 were merged into &#x27;both&#x27;" in report
    assert report.count("<img src=") == 5


def test_a_picture_agrees_with_its_bands(folder, tmp_path):
    run(folder, "--reference", folder / "picture.png", "--out", tmp_path / "ev")
    numbers = json.loads((tmp_path / "ev" / "evaluation.json").read_text())
    assert numbers["agreement"]["ari"] == 1.0
    assert numbers["reference"]["kind"] == "image"


def test_two_segmentations_of_one_object(folder, tmp_path):
    other = np.roll(bands(), 2, axis=1)
    segmentation(other).save(tmp_path / "second.h5")
    run(folder, "--reference", tmp_path / "second.h5", "--out", tmp_path / "ev")
    numbers = json.loads((tmp_path / "ev" / "evaluation.json").read_text())
    assert numbers["agreement"]["overall_accuracy"] == pytest.approx((bands() == other).mean())


def test_without_a_reference_in_the_default_folder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(folder)
    assert names(tmp_path / "scan-evaluation") == WITHOUT_REFERENCE
    assert "--overwrite true replaces it" in error_of(capsys, lambda: run(folder))
    run(folder, "--overwrite", "--reference", folder / "truth.npy")
    assert names(tmp_path / "scan-evaluation") == EVERYTHING


def test_mistakes_are_one_line_and_leave_nothing(folder, tmp_path, capsys):
    out = tmp_path / "ev"
    small = tmp_path / "small.npy"
    np.save(small, np.ones((10, 15), int))
    for args, message in {
        ("--reference", str(small)): "small.npy has 10 x 15 pixels, the segmentation 20 x 30: --resample true",
        ("--reference", "none.png"): "none.png",
        ("--refits", "1"): "expected 0 or at least 2",
        ("--refernce", "x"): "did you mean 'reference'?",
        ("--out", str(folder)): "holds something else than an evaluation",
    }.items():
        assert message in error_of(capsys, lambda args=args: run(folder, "--out", out, *args))
        assert not out.exists()
    assert "no such segmentation" in error_of(capsys, lambda: verb.main([str(tmp_path), "--out", str(out)]))
    run(folder, "--reference", small, "--resample", "--out", out)
    assert "(nearest)" in capsys.readouterr().out


def test_help_does_not_wait_for_torch():
    code = "import sys, deepspec.evaluate; assert not {'torch', 'lightning', 'matplotlib'} & set(sys.modules)"
    root = os.path.dirname(os.path.dirname(os.path.abspath(verb.__file__)))
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
