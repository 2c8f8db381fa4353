import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from deepspec import baseline as verb
from deepspec.baselines import METHODS
from deepspec.evaluate import main as evaluate
from deepspec.segmentation import Segmentation
from tests.support.errors import error_of
from tests.support.planted import planted_cube

pytestmark = pytest.mark.usefixtures("few_clouds")


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """A planted cube on disk with its labels, in the current directory."""
    monkeypatch.chdir(tmp_path)
    cube, truth = planted_cube()
    np.save("scan.npy", cube.read_rows(0, 24))
    np.save("truth.npy", truth)
    return truth


def test_the_result_is_what_evaluate_takes(scan, capsys):
    verb.main(["pca", "scan.npy", "--axis", "1:15.75:keV", "--k", "2", "6", "--components", "3"])
    found = Segmentation.load("scan-pca/segmentation.h5")
    assert adjusted_rand_score(scan.ravel(), found.labels.ravel()) == 1
    assert list(found.scores) == [2, 3, 4, 5, 6]
    printed = capsys.readouterr().out
    assert "baseline pca: 3 components" in printed
    assert "[sqrt, {step: standard, scale: global}], taken for counts" in printed
    for name in ("labels.png", "silhouette.png", "report.html", "spectra.csv"):
        assert f"wrote {Path('scan-pca') / name}" in printed
    evaluate(["scan-pca", "--reference", "truth.npy", "--refits", "2"])
    assert "ARI 1.000" in capsys.readouterr().out


def test_preprocessing_is_given_as_in_an_experiment(scan, capsys):
    verb.main(["raw", "scan.npy", "--preprocess", "[{step: rebin, bins: 12}, sqrt, max]", "--export", "none"])
    found = Segmentation.load("scan-raw/segmentation.h5")
    assert found.latents.shape == (24, 30, 12)
    assert found.quantity == "relative intensity"
    assert "preprocessing [{step: rebin, bins: 12}, sqrt, max]" in found.notes[0]
    assert not (Path("scan-raw") / "report.html").exists()


def refused(capsys, *args):
    return error_of(capsys, lambda: verb.main([*args]))


def test_mistakes_are_one_line(scan, capsys):
    assert "expected one of pca, nmf, umap, raw, rgb, got 'scan.npy'" in error_of(
        capsys, lambda: verb.main(["scan.npy"])
    )
    assert "none.npy: no such file" in refused(capsys, "pca", "none.npy")
    assert "did you mean 'components'" in refused(capsys, "pca", "scan.npy", "--componets", "3")
    assert "rgb needs --image" in refused(capsys, "rgb", "scan.npy")
    Path("scan-nmf").mkdir()
    Path("scan-nmf/notes.txt").write_text("mine")
    assert "something else than a segmentation (notes.txt)" in refused(capsys, "nmf", "scan.npy")
    assert "'training' needs metrics.csv" in error_of(
        capsys, lambda: verb.main(["pca", "scan.npy", "--export", "training"])
    )
    assert sorted(path.name for path in Path().iterdir()) == ["scan-nmf", "scan.npy", "truth.npy"]


def test_methods_are_those_of_the_package():
    assert verb.METHODS == METHODS


def test_help_does_not_wait_for_torch():
    code = "import sys, deepspec.baseline; assert not {'torch', 'sklearn', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(verb.__file__).parents[1])


def test_a_picture_inside_another_file_gives_the_same_colours(scan, capsys):
    colours = np.array([[200, 30, 30], [20, 180, 40], [10, 20, 240], [250, 240, 10]], np.uint8)[scan % 4]
    Image.fromarray(colours).save("picture.png")
    np.savez("picture.npz", rgb=colours / 255.0, other=scan)
    with h5py.File("picture.h5", "w") as file:
        file["images/rgb"] = np.concatenate([colours, np.full((*scan.shape, 1), 255, np.uint8)], 2)
    found = {}
    for source in ("picture.png", "picture.npz:rgb", "picture.h5:images/rgb"):
        verb.main(["rgb", "scan.npy", "--image", source, "--export", "none", "--out", f"out{len(found)}"])
        found[source] = Segmentation.load(Path(f"out{len(found)}") / "segmentation.h5")
    for segmentation in found.values():
        np.testing.assert_array_equal(segmentation.labels, found["picture.png"].labels)
    capsys.readouterr()
    assert "expected a picture (H, W, 3), got an array of shape (24, 30)" in refused(
        capsys, "rgb", "scan.npy", "--image", "picture.npz:other", "--out", "a"
    )
    assert "picture.npz" in refused(capsys, "rgb", "scan.npy", "--image", "picture.npz:nothing", "--out", "a")
    assert "none.png: cannot be read as an image" in refused(
        capsys, "rgb", "scan.npy", "--image", "none.png", "--out", "a"
    )
