"""The verb: what it writes, prints and refuses."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import davies_bouldin_score, silhouette_score

from deepspec import evaluate as verb
from deepspec.axis import SpectralAxis
from deepspec.baselines import BaselineOptions, segment_by_baseline
from deepspec.data.cube import read_cube
from deepspec.synthetic import degrade
from deepspec.synthetic.cube_files import write_degraded
from tests.evaluation.made import bands, segmentation
from tests.support.errors import error_of
from tests.support.planted import planted_cube

pytestmark = pytest.mark.usefixtures("few_clouds")

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
    run(folder, "--reference", folder / "picture.png", "--export", "svg", "--out", tmp_path / "ev")
    drawn = [name for name in EVERYTHING if name.endswith(".png")] + ["masked.png", "picture.png"]
    vectors = [name.replace(".png", ".svg") for name in drawn]
    assert names(tmp_path / "ev") == sorted({*EVERYTHING, *drawn, *vectors})
    assert "The clustered picture behind the mask of each cluster" in (tmp_path / "ev/report.html").read_text()
    numbers = json.loads((tmp_path / "ev" / "evaluation.json").read_text())
    assert numbers["agreement"]["ari"] == 1.0
    assert numbers["reference"]["kind"] == "image"


def test_a_picture_of_another_size_is_resampled_with_its_colours(folder, tmp_path):
    Image.open(folder / "picture.png").resize((60, 40), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    run(folder, "--reference", tmp_path / "large.png", "--resample", "--out", tmp_path / "ev")
    assert (tmp_path / "ev" / "masked.png").is_file()


def test_scores_of_the_spectra_or_why_not(folder, tmp_path, capsys):
    run(folder, "--out", tmp_path / "ev")
    assert "note: no scores in the input space: the segmentation is that of a cube in memory" in capsys.readouterr().out
    assert json.loads((tmp_path / "ev" / "evaluation.json").read_text())["internal_input_space"] is None
    run(folder, "--out", tmp_path / "ev2", "--cube", "none")
    assert "no scores in the input space" not in capsys.readouterr().out
    cube, _ = planted_cube()
    cube.save(tmp_path / "scan.h5")
    with read_cube(tmp_path / "scan.h5") as opened:
        found = segment_by_baseline(opened, "pca", BaselineOptions(preprocess=["sqrt"], components=3), k=(3, 5))
    found.save(tmp_path / "pca.h5")
    (tmp_path / "scan.h5").rename(tmp_path / "moved.h5")
    arguments = [str(tmp_path / "pca.h5"), "--refits", "0", "--k", "2", "4", "--cube", str(tmp_path / "moved.h5")]
    verb.main([*arguments, "--out", str(tmp_path / "ev3")])
    assert "in the input space: silhouette" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "ev3" / "evaluation.json").read_text())
    y = np.sqrt(cube.read_rows(0, 24).reshape(720, 60).astype(float))
    labels = found.labels.ravel()
    given = numbers["internal_input_space"]
    assert given["silhouette_samples"]["score"] == pytest.approx(silhouette_score(y, labels), abs=1e-5)
    assert given["silhouette_samples"]["standard_error"] == 0
    assert given["davies_bouldin"] == pytest.approx(davies_bouldin_score(y, labels), rel=1e-4)
    assert numbers["method"] == "pca"
    assert "input: preprocessed spectra" in (tmp_path / "ev3" / "report.html").read_text()
    assert "pca against" not in (tmp_path / "ev3" / "report.html").read_text()


def test_several_segmentations_with_noise(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    clean = rng.uniform(0, 100, (20, 30, 8)).astype(np.float32)
    observed = clean + rng.normal(0, 1, clean.shape).astype(np.float32)
    given = []
    for level, columns in ((0.0, 0), (0.3, 4)):
        cube = tmp_path / f"scan-{level:g}.h5"
        write_degraded(cube, degrade(observed, clean, level), SpectralAxis.linear(0, 1, 8, "keV"), None, {})
        found = segmentation(np.roll(bands(), columns, axis=1))
        provenance = dataclasses.replace(found.provenance, cube=cube.name)
        dataclasses.replace(found, provenance=provenance).save(tmp_path / f"s{level:g}.h5")
        given.append(f"s{level:g}.h5")
    verb.main([*given, "--reference", str(folder / "truth.npy"), "--ignore", "0", "--export", "svg"])
    printed = capsys.readouterr().out
    figures = ["degradation.png", "degradation.svg", "degraded.png", "degraded.svg"]
    assert names(tmp_path / "evaluation") == sorted([*figures, "evaluation.json", "scores.csv"])
    assert "no checkpoint, s0.3.h5" in printed
    assert f"wrote {Path('evaluation') / 'degraded.png'}" in printed
    verb.main(["s0.h5", "s0.h5", "--reference", str(folder / "truth.npy"), "--overwrite"])
    assert "note: no figures of degradation: they take two levels of noise" in capsys.readouterr().out
    assert names(tmp_path / "evaluation") == ["evaluation.json", "scores.csv"]
    verb.main([*given, "--k", "2", "3", "--refits", "0", "--out", "each"])  # nothing to compare them with
    assert names(tmp_path / "each") == ["s0-evaluation", "s0.3-evaluation", "scores.csv"]


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
        ("--export", "jpg"): "export 'jpg': expected svg, pdf",
        ("--cube", "none.h5"): "none.h5: no such file; expected the cube",
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
