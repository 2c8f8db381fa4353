"""A uniform film through the commands that segment and evaluate; and clusters of every kind evaluated."""

import csv
import json
import re

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from deepspec import evaluate, segment
from deepspec.drawing import cluster_colours
from deepspec.models import NetworkConfig
from deepspec.reporting import outputs
from deepspec.segmentation import Segmentation
from deepspec.training.module import DeepClustering
from tests.support.planted import AXIS, planted_cube

pytestmark = pytest.mark.usefixtures("few_clouds")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A uniform film and a cube of three materials as counts, a model without training, and the truth of both."""
    folder = tmp_path_factory.mktemp("scans")
    for name, k in (("film", 1), ("three", 3)):
        cube, truth = planted_cube(k=k, counts=4000)
        np.save(folder / f"{name}.npy", cube.read_rows(0, 24))
        np.save(folder / f"{name}-truth.npy", truth)
    torch.manual_seed(0)
    model = DeepClustering(AXIS.to_dict(), NetworkConfig(encoder=[16], output="linear"), ["sqrt", "max"])
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    torch.save(content, folder / "model.ckpt")
    return folder


def run_segment(scans, name, out, *args):
    segment.main(
        [str(scans / f"{name}.npy"), "--checkpoint", str(scans / "model.ckpt"), "--axis", "1:15.75:keV",
         "--clusters", "refit", "--out", str(out), *args]
    )  # fmt: skip


def run_evaluate(scans, folder, out):
    evaluate.main(
        [str(folder), "--reference", str(scans / "three-truth.npy"), "--k", "2", "4", "--refits", "2",
         "--out", str(out), "--axis", "1:15.75:keV"]
    )  # fmt: skip


def words(page):
    """Text of a page without its scripts, styles and data."""
    text = re.sub(r"<(script|style).*?</\1>", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_a_uniform_film_is_one_material_everywhere(scans, tmp_path, capsys):
    out = tmp_path / "film"
    exports = "report,tiff,fits,csv,msa,masks,memberships,svg"
    run_segment(scans, "film", out, "--clusterer", "valleys", "--export", exports)
    printed = capsys.readouterr().out
    assert printed.startswith("K = 1, one material\n  cluster 0: 100.0 %, 720 pixels\n")
    assert "no evidence for more than one material" in printed
    assert "nan" not in printed.lower()
    found = Segmentation.load(out / "segmentation.h5")
    assert (found.k, found.clustering.partition) == (1, "counts")
    assert (found.labels == 0).all()
    assert not (out / "silhouette.png").exists()
    with tifffile.TiffFile(out / "memberships.tif") as file:
        assert len(file.pages) == 1
        np.testing.assert_array_equal(file.pages[0].asarray(), np.ones((24, 30), np.float32))
    assert (out / "borders.csv").read_text() == "cluster,other,r,border,scatter\n"
    assert [path.name for path in (out / "masks").iterdir()] == ["cluster-0.png"]
    assert [path.name for path in (out / "msa").iterdir()] == ["cluster-0.msa"]
    with Image.open(out / "labels.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(2**20)}
    first, second = (tuple(int(text[i : i + 2], 16) for i in (1, 3, 5)) for text in cluster_colours(2))
    assert first in colours
    assert second not in colours
    text = words(out / "report.html")
    assert "K = 1, one material" in text
    assert "One material: there is no border." in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "±" not in text


def test_a_uniform_film_is_evaluated(scans, tmp_path, capsys):
    run_segment(scans, "film", tmp_path / "film", "--clusterer", "valleys", "--export", "none")
    capsys.readouterr()
    run_evaluate(scans, tmp_path / "film", tmp_path / "e")
    printed = capsys.readouterr().out
    assert "one cluster against 3 classes of" in printed
    assert (
        "No evidence for more than one material: no valley divides the spectra: any number of clusters divides noise"
        in printed
    )
    assert "note: no stability: one material has no division that could be found again" in printed
    assert not re.search(r"\bnan\b", printed, re.IGNORECASE)
    names = {path.name for path in (tmp_path / "e").iterdir()}
    assert {"comparison.png", "errors.png", "criteria.png", "report.html", "clusters.csv"} <= names
    assert not names & {"confusion.png", "stability.png"}
    content = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert content["k"] == 1
    assert content["agreement"]["ari"] == pytest.approx(0, abs=1e-9)
    assert content["stability"] is content["internal"] is None


@pytest.mark.parametrize(
    ("clusterer", "partition", "judged_by"),
    [
        (["ikmeans", "--k", "3"], "nearest", None),
        (["gmm", "--k", "3"], "gaussians", "Gaussian densities"),
        (["valleys"], "counts", "the likelihood of the counts"),
    ],
)
def test_partitions_of_every_kind_are_evaluated(scans, tmp_path, capsys, monkeypatch, clusterer, partition, judged_by):
    monkeypatch.setattr(outputs, "save_figures", lambda *_, **__: [])  # they are drawn in the tests above
    run_segment(scans, "three", tmp_path / "three", "--export", "csv", "--clusterer", *clusterer)
    found = Segmentation.load(tmp_path / "three" / "segmentation.h5")
    assert (found.k, found.clustering.partition) == (3, partition)
    if partition == "counts":
        with (tmp_path / "three" / "borders.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {(row["cluster"], row["other"]) for row in rows} == {("0", "1"), ("0", "2"), ("1", "2")}
        assert {row["border"] for row in rows} == {"firm"}
    else:
        assert not (tmp_path / "three" / "borders.csv").exists()
    capsys.readouterr()
    run_evaluate(scans, tmp_path / "three", tmp_path / "e")
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert content["partition"] == partition
    assert content["agreement"]["ari"] > 0.95
    sentence = content["stability"]["sentence"]
    assert sentence in printed
    if judged_by is None:
        assert "under resampling alone: 2 refits on resampled pixels agree" in sentence
    else:
        assert sentence.startswith(
            "stability under resampling alone: 2 refits on resampled pixels of K-means on the latent points agree"
        )
        assert f"the segmentation itself goes by {judged_by}" in sentence
    assert {"criteria.png", "stability.png", "confusion.png"} <= {path.name for path in (tmp_path / "e").iterdir()}
