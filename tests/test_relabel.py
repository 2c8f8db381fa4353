import csv
import webbrowser

import numpy as np
import pytest
import torch

from deepspec import evaluate as evaluate_verb
from deepspec import relabel as verb
from deepspec import segment as segment_verb
from deepspec import view as view_verb
from deepspec.models import NetworkConfig
from deepspec.segmentation import Segmentation
from deepspec.training.module import DeepClustering
from tests.support.errors import error_of
from tests.support.planted import AXIS, planted_cube, planted_rates
from tests.test_segment import save_checkpoint

pytestmark = pytest.mark.usefixtures("few_clouds")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two scans of the same materials, a checkpoint, and the first scan segmented with its frozen clusters."""
    folder = tmp_path_factory.mktemp("relabel")
    for name in ("one", "two"):
        cube, truth = planted_cube(counts=20_000)
        np.save(folder / f"{name}.npy", cube.read_rows(0, 24))
    np.save(folder / "truth.npy", truth)
    torch.manual_seed(0)
    model = DeepClustering(AXIS.to_dict(), NetworkConfig(encoder=[16], output="linear"), ["sqrt", "max"])
    model.clusters.set(model.eval().encode(torch.from_numpy(planted_rates(counts=20_000).astype(np.float32))))
    save_checkpoint(model, folder / "model.ckpt")
    segment(folder, "one", "--export", "none")
    return folder


def segment(folder, name, *words):
    segment_verb.main([str(folder / f"{name}.npy"), "--checkpoint", str(folder / "model.ckpt"), "--axis",
                       "1:15.75:keV", "--out", str(folder / f"{name}-segmentation"), *words])  # fmt: skip


def test_an_edit_is_written_carried_to_another_scan_and_evaluated(results, tmp_path, capsys):
    (tmp_path / "edits.yaml").write_text('name: {0: lead white}\nmerge: [[1, 2]]\ncolour: {0: "#102030"}\n')
    out = tmp_path / "edited"
    verb.main([str(results / "one-segmentation"), "--edits", str(tmp_path / "edits.yaml"), "--out", str(out)])
    printed = capsys.readouterr().out
    assert "K = 3" in printed
    assert "0 lead white: " in printed
    with (out / "spectra.csv").open() as file:
        assert next(csv.reader(file))[1:] == ["measured 0 lead white", "measured 1", "measured 2"]
    page = (out / "report.html").read_text()
    assert "0 lead white: " in page
    assert "#102030" in page

    segment(results, "two", "--names", str(out), "--export", "none")
    carried = Segmentation.load(results / "two-segmentation" / "segmentation.h5")
    assert carried.names == ("lead white", "", "")
    np.testing.assert_array_equal(carried.labels, Segmentation.load(out / "segmentation.h5").labels)

    capsys.readouterr()
    evaluate_verb.main([str(out / "segmentation.h5"), "--reference", str(results / "truth.npy"), "--out",
                        str(tmp_path / "evaluation")])  # fmt: skip
    assert "in cluster 0 (lead white), of which" in capsys.readouterr().out
    with (tmp_path / "evaluation" / "clusters.csv").open() as file:
        assert "lead white" in {row["cluster_name"] for row in csv.DictReader(file)}


def test_a_split_reads_the_cube_again(results, tmp_path):
    (tmp_path / "edits.yaml").write_text("split: {0: 2}\n")
    verb.main([str(results / "one-segmentation"), "--edits", str(tmp_path / "edits.yaml"), "--out",
               str(tmp_path / "out"), "--axis", "1:15.75:keV", "--export", "none"])  # fmt: skip
    found = Segmentation.load(tmp_path / "out" / "segmentation.h5")
    data = np.load(results / "one.npy").astype(float)
    assert found.k == 5
    for cluster in range(5):
        np.testing.assert_allclose(found.mean_raw[cluster], data[found.labels == cluster].mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [("drop: [9]\n", "edits: drop: no cluster 9: expected 0 to 3"), ("dropp: [1]\n", "no key 'dropp'"),
     ("{", "cannot be read as YAML")],
)  # fmt: skip
def test_mistakes_are_one_line(results, tmp_path, capsys, text, message):
    (tmp_path / "edits.yaml").write_text(text)
    words = [str(results / "one-segmentation"), "--edits", str(tmp_path / "edits.yaml"), "--out", str(tmp_path / "o")]
    assert message in error_of(capsys, lambda: verb.main(words))
    assert not (tmp_path / "o").exists()


def test_names_of_other_clusters_are_refused(results, tmp_path, capsys):
    assert "names: they go with the frozen clusters" in error_of(
        capsys, lambda: segment(results, "two", "--clusters", "refit", "--names", str(results / "one-segmentation"))
    )
    assert "no such segmentation; `relabel` writes one" in error_of(
        capsys, lambda: segment(results, "two", "--names", str(tmp_path))
    )


def test_view_opens_the_report(tmp_path, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    assert "there is no report" in error_of(capsys, lambda: view_verb.main([str(tmp_path)]))
    page = tmp_path / "report.html"
    page.write_text("page")
    view_verb.main([str(tmp_path)])
    assert opened == [page.as_uri()]
    view_verb.main([str(tmp_path), "--no_open"])
    assert len(opened) == 1
    assert capsys.readouterr().out.splitlines() == [str(page)] * 2
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert "no browser can be started here" in error_of(capsys, lambda: view_verb.main([str(page)]))
