import base64
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepspec.axis import SpectralAxis
from deepspec.clustering import Merge, Tree
from deepspec.clustering.structure import judged_by_borders
from deepspec.functional import SilhouetteEstimate
from deepspec.pages import figure_html, table_html
from deepspec.reporting import label_clusters, report_data, save_figures
from deepspec.reporting.report import Section, write_report
from deepspec.segmentation import ClusteringRecord, Leaves
from deepspec.synthetic import load_pigments
from tests.reporting.segmentations import segmentation

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SCRIPT = Path(__file__).with_name("use_controls.js")


def painted():
    """Three clusters with the spectra of pigments: there are peaks to name."""
    table = load_pigments()
    rng = np.random.default_rng(0)
    rates = np.stack([table.spectra[table.names.index(n)] for n in ("azurite", "lead white", "ultramarine")])
    found = segmentation(3, shape=(24, 30), axis=table.axis)
    labels = np.repeat(np.arange(3), 8)[:, None] * np.ones(30, int)
    labels[0, :2] = -1
    latents = labels[..., None] + rng.normal(0, 0.1, (24, 30, 3))
    return dataclasses.replace(
        found,
        labels=labels.astype(np.int16),
        sizes=np.bincount(labels[labels >= 0]),
        total_raw=np.where(labels < 0, np.nan, labels + rng.random(labels.shape)).astype(np.float32),
        total_reconstructed=np.where(labels < 0, np.nan, 2.0 - labels + rng.random(labels.shape)).astype(np.float32),
        mean_raw=rng.poisson(rates * 1e6) / 1000,
        mean_input=rates * 900,
        mean_reconstructed=rates * 950 + 0.3,
        decoded_centre=rates * 800 + 1,
        latents=np.where(labels[..., None] < 0, np.nan, latents).astype(np.float32),
    )


def divided():
    """The painted one with borders, memberships and a merge tree: its last cluster has two leaves, and the second two.

    Leaf 4 has no pixels.
    """
    found = painted()
    rng = np.random.default_rng(1)
    parents = (0, 1, 1, 2, 2)
    leaves = np.select([found.labels == 0, found.labels == 1, found.labels == 2], [0, 1, 3], -1)
    leaves[8:16, 12:] = 2
    sizes = np.bincount(leaves[leaves >= 0], minlength=5)
    tree = Tree(5, (Merge(3, 4, 0.9), Merge(1, 2, 0.8), Merge(0, 6, 0.7), Merge(7, 5, 0.2)))
    spread = {name: getattr(found, name)[list(parents)] * rng.uniform(0.5, 1.5, (5, 1)) for name in
              ("mean_raw", "mean_input", "mean_reconstructed", "decoded_centre")}  # fmt: skip
    memberships = rng.dirichlet([0.4] * 3, found.labels.shape).astype(np.float32)
    memberships[found.labels < 0] = 0
    return dataclasses.replace(
        found,
        borders=np.array([[1, 0.7, 0.2], [0.7, 1, 0.31], [0.2, 0.31, 1]]),
        memberships=memberships,
        leaves=Leaves(tree=tree, parents=parents, labels=leaves.astype(np.int16), sizes=sizes,
                      cluster_centers=rng.normal(size=(5, 3)).astype(np.float32), **spread),
        clustering=ClusteringRecord("counts", "valleys of the counts", 0.5, 0.01, 0),
        scores={},
    )  # fmt: skip


class Page(HTMLParser):
    """What stands where in a page."""

    void = frozenset({"meta", "img", "input", "br", "hr", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.scripts, self.texts = [], {}, [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes:
            assert attributes["id"] not in self.ids, f"two elements with id {attributes['id']}"
            self.ids[attributes["id"]] = ""
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag not in self.void:
            self.open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag):
        if tag in self.void:
            return
        expected, _ = self.open.pop()
        assert tag == expected, f"</{tag}> closes <{expected}>"

    def handle_data(self, data):
        tag, identity = self.open[-1] if self.open else ("", None)
        if identity is not None:
            self.ids[identity] += data
        elif tag == "script":
            self.scripts.append(data)
        elif tag != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def written(found, tmp_path, **more):
    path = tmp_path / "report.html"
    write_report(found, path, **more)
    return path, Page(path.read_text(encoding="utf-8"))


def pixels_of(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def floats(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_the_embedded_data_are_the_segmentation(tmp_path):
    found = painted()
    _, page = written(found, tmp_path)
    data = json.loads(page.ids["data"])
    labels = np.frombuffer(zlib.decompress(base64.b64decode(data["labels"])), "<i2")
    np.testing.assert_array_equal(labels.reshape(data["rows"], data["columns"]), found.labels)
    for name, spectra in (
        ("raw", found.mean_raw),
        ("input", found.mean_input),
        ("reconstructed", found.mean_reconstructed),
        ("centre", found.decoded_centre),
    ):
        np.testing.assert_allclose(floats(data["spectra"][name]["values"]), spectra.ravel(), rtol=1e-6)
        axis = data["axes"][data["spectra"][name]["axis"]]
        np.testing.assert_allclose(floats(axis["values"]), found.axis.values, rtol=1e-6)
        assert axis["label"] == "energy (keV)"
    inside = found.labels >= 0
    np.testing.assert_array_equal(floats(data["latents"]["points"]), found.latents[inside].ravel())
    latent_labels = np.frombuffer(base64.b64decode(data["latents"]["labels"]), "<i2")
    np.testing.assert_array_equal(latent_labels, found.labels[inside])
    grey = np.frombuffer(zlib.decompress(base64.b64decode(data["images"]["measured"])), "u1").reshape(24, 30)
    order = np.argsort(found.total_raw[inside])
    assert (np.diff(grey[inside][order].astype(int)) >= 0).all()
    assert (grey.min(), grey.max()) == (0, 255)


def test_the_embedded_peaks_are_the_labelled_ones(tmp_path):
    found = painted()
    _, page = written(found, tmp_path)
    peaks = json.loads(page.ids["data"])["peaks"]
    expected = label_clusters(found.mean_raw, found.axis)
    assert [[peak["text"] for peak in cluster] for cluster in peaks] == [[p.text for p in c] for c in expected]
    assert "Cu Kα" in [peak["text"] for peak in peaks[0]]
    assert "Pb Lα" in [peak["text"] for peak in peaks[1]]
    first = expected[1][0].candidates[0]
    assert peaks[1][0]["candidates"][0] == {
        "label": first.label, "kind": "line", "score": round(first.score, 3), "family": round(first.family, 3)
    }  # fmt: skip


def test_the_page_says_what_was_found_and_from_what(tmp_path):
    found = dataclasses.replace(
        painted(),
        notes=("left out 2 masked and 0 dead of 720 pixels",),
        provenance=dataclasses.replace(painted().provenance, cube="scans/flower.h5", cube_sha256="ab12" * 16),
    )
    _, page = written(found, tmp_path, options={"k": (3, 10), "seed": 7}, run_config="trainer:\n  max_epochs: 5\n")
    for text in (
        "Segmentation of flower.h5",
        "K = 3, silhouette of the latents 0.812 ± 0.005",
        "Clear evidence for more than one material: with fresh noise 1000 spectra reach a silhouette of 0.80",
        "Left out 2 masked and 0 dead of 720 pixels.",
        "ab12" * 16,
        "(3, 10)",
        "max_epochs: 5",
        "3 (chosen)",
        "24, 30, 1024",
    ):
        assert text in page.text


def test_nothing_is_loaded_from_outside(tmp_path):
    found = painted()
    figures = save_figures(found, tmp_path)
    path, page = written(found, tmp_path, figures=figures)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    text = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    for outside in ("http://", "https://", "@import", "url(", "fetch(", "XMLHttpRequest", "import("):
        assert outside not in text
    assert path.stat().st_size < 4e6


def test_figures_and_sections_are_included(tmp_path):
    found = painted()
    figures = save_figures(found, tmp_path)
    agreement = Section("Agreement with <the reference>", table_html(("score", "value"), [("F1", 0.91234), ("K", 4)]))
    path, page = written(found, tmp_path, figures=[*figures, Path("ignored.svg")], sections=[agreement])
    assert len(page.links) == len(figures)
    contents = [base64.b64decode(link.partition(",")[2]) for link in page.links]
    assert sum(map(len, contents)) < 0.5 * sum(figure.stat().st_size for figure in figures)
    shown = [pixels_of(content).astype(int) for content in contents]
    for figure in figures:
        drawn = pixels_of(figure.read_bytes())
        difference = min(np.abs(drawn - picture).mean() for picture in shown if picture.shape == drawn.shape)
        assert difference < 2, f"{figure.name} looks otherwise in the page"
    assert "Agreement with <the reference>" in page.text
    assert '<td class="number">0.9123</td>' in path.read_text()
    assert '<td class="number">4</td>' in path.read_text()


def test_what_comes_from_outside_cannot_break_the_page(tmp_path):
    evil = "</script><script>alert(1)</script>{{data}}<b>"
    found = dataclasses.replace(painted(), quantity=evil, notes=(evil,))
    found = dataclasses.replace(found, provenance=dataclasses.replace(found.provenance, cube=f"a{evil}"))
    path, page = written(found, tmp_path, options={evil: evil}, run_config=evil)
    assert json.loads(page.ids["data"])["spectra"]["input"]["quantity"] == evil
    assert len(page.scripts) == 1
    assert "alert(1)" not in page.scripts[0]
    assert "<b>" not in path.read_text().replace("&lt;b&gt;", "")
    assert 'alt="&lt;i&gt;"' in figure_html(b"", "<i>")


def test_segmentations_with_little_in_them(tmp_path):
    bare = dataclasses.replace(segmentation(1), scores={}, inertias={}, sample=None, latents=None)
    _, page = written(bare, tmp_path)
    assert "Segmentation of cube" in page.text
    assert "there was nothing to choose" in page.text
    assert json.loads(page.ids["data"])["latents"] is None
    empty = segmentation(2)
    empty.mean_raw[1] = np.nan
    _, page = written(empty, tmp_path)
    data = json.loads(page.ids["data"])
    assert data["peaks"][1] == []
    assert np.isnan(floats(data["spectra"]["raw"]["values"])[40:]).all()


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    written(segmentation(), tmp_path)
    before = (tmp_path / "report.html").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(painted(), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_bytes() == before


def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser found: one of {', '.join(BROWSERS)} must be on the path")
    return found


def use(path, pixels):
    """Open a report without a window, use every control, and say what came of it."""
    script = SCRIPT.read_text(encoding="utf-8").replace("PIXELS", json.dumps(pixels))
    page = path.read_text(encoding="utf-8").replace("</body>", f"<script>\n{script}\n</script>\n</body>")
    used = path.with_name("used.html")
    used.write_text(page, encoding="utf-8")
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
               f"--user-data-dir={path.parent / 'profile'}", "--window-size=1200,1600", "--virtual-time-budget=12000",
               "--dump-dom", used.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(Page(done.stdout).ids["outcome"])


def test_every_control_does_what_it_says(tmp_path):
    browser()
    found = painted()
    path, _ = written(found, tmp_path)
    outcome = use(path, [[0, 0], [3, 4], [11, 29], [23, 12]])
    assert outcome.pop("errors") == []
    outside, *inside = outcome.pop("pixels")
    assert outside["hovered"] == "row 0, column 0: no cluster"
    assert outside["selected"] == 0
    peaks = label_clusters(found.mean_raw, found.axis)
    for cluster, ((row, column), pixel) in enumerate(zip([(3, 4), (11, 29), (23, 12)], inside, strict=True)):
        share = 100 * found.shares[cluster]
        assert pixel["hovered"] == f"row {row}, column {column}: cluster {cluster}: {share:.1f} %"
        assert pixel["selected"] == cluster
        assert pixel["title"] == f"Peaks of cluster {cluster}"
        assert pixel["peaks"] == len(peaks[cluster])
    assert outcome.pop("legend") == [f"Peaks of cluster {cluster}" for cluster in range(3)]
    assert [name.split(":")[0] for name in outcome.pop("names")] == ["cluster 0", "cluster 1", "cluster 2"]
    assert "in cluster 0" in outcome.pop("spectrum status")
    table = outcome.pop("table")
    assert any(row[2].startswith("Cu Kα (") for row in table)
    assert any("Mo Kα Compton (" in row[2] and "scatter peak)" in row[2] for row in table)
    assert outcome.pop("chosen peak") is True
    assert outcome.pop("map drag")["changed"]
    assert outcome.pop("cuts") == []
    assert len(outcome) == 21
    for name, result in outcome.items():
        assert result == {"changed": True, "back": True}, name


def test_a_page_with_little_in_it_works(tmp_path):
    browser()
    axis = SpectralAxis(np.linspace(2500, 400, 40), "nm")
    bare = dataclasses.replace(segmentation(2, axis=axis), scores={}, inertias={}, sample=None, latents=None)
    bare.mean_raw[1] = np.nan
    path, _ = written(bare, tmp_path)
    outcome = use(path, [[0, 1], [0, 2]])
    assert outcome["errors"] == []
    assert [pixel["selected"] for pixel in outcome["pixels"]] == [0, 1]
    assert outcome["pixels"][1]["title"] == "Cluster 1: no peaks stand out"
    assert outcome["spectrum zoom"] == {"changed": True, "back": True}


def deflated(text, kind):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


def test_borders_are_listed_the_most_graded_first(tmp_path):
    path, page = written(divided(), tmp_path)
    rows = re.findall(
        r'<tr data-pair="(.*?)"><td>(.*?)</td><td class="number">(.*?)</td><td class="(.*?)">', path.read_text()
    )
    assert rows == [
        ("0,1", "0 and 1", "0.70", "graded"),
        ("1,2", "1 and 2", "0.31", "firm"),
        ("0,2", "0 and 2", "0.20", "firm"),
    ]
    assert "K = 3, decided by: valleys of the counts." in page.text
    _, page = written(painted(), tmp_path)
    assert "What found these clusters did not look at their borders" in page.text


def test_the_embedded_tree_and_memberships_are_those_of_the_segmentation(tmp_path):
    found = divided()
    _, page = written(found, tmp_path)
    data = json.loads(page.ids["data"])
    tree = data["tree"]
    assert tree["merges"] == [list(merge) for merge in found.leaves.tree.merges]
    np.testing.assert_array_equal(deflated(tree["labels"], "<i2").reshape(24, 30), found.leaves.labels)
    np.testing.assert_allclose(deflated(tree["spectra"]["raw"], "<f4"), found.leaves.mean_raw.ravel(), rtol=1e-6)
    np.testing.assert_array_equal(deflated(tree["sample"], "<i2"), found.leaves.labels[found.labels >= 0])
    shown = deflated(data["memberships"], "u1").reshape(3, 24, 30)
    assert np.abs(np.moveaxis(found.memberships, -1, 0) - shown / 255).max() <= 0.5 / 255 + 1e-6
    assert tree["colours"][0] == data["colours"][0]
    assert len(set(tree["colours"])) == 5
    whole = dataclasses.replace(found, leaves=dataclasses.replace(
        found.leaves, tree=Tree(3, found.leaves.tree.merges[2:]), parents=(0, 1, 2)))  # fmt: skip
    _, page = written(whole, tmp_path)
    tree = json.loads(page.ids["data"])["tree"]
    assert tree["labels"] is tree["spectra"] is tree["centres"] is tree["sample"] is None  # those of the clusters


def test_memberships_that_are_too_many_are_left_out_with_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr(report_data, "MOST_MEMBERSHIPS", 900)
    _, page = written(divided(), tmp_path)
    assert json.loads(page.ids["data"])["memberships"] is None
    assert "--export memberships writes them as images" in page.ids["memberships-note"]


def test_a_large_map_makes_no_large_page(tmp_path):
    """200 x 200 pixels, eight clusters, sixteen leaves, 1,024 channels, and all figures: under 3 MB."""
    rng = np.random.default_rng(0)
    found = segmentation(8, shape=(200, 200), axis=SpectralAxis.linear(0, 0.02, 1024, "keV"))
    tree = Tree(16, tuple(Merge(0 if i == 0 else 15 + i, i + 1, 0.5) for i in range(15)))
    spectra = [rng.poisson(50, (16, 1024)).astype(float) for _ in range(4)]
    found = dataclasses.replace(
        found,
        borders=np.full((8, 8), 0.3),
        memberships=rng.dirichlet([0.1] * 8, (200, 200)).astype(np.float32),
        leaves=Leaves(tree=tree, parents=tuple(np.repeat(np.arange(8), 2).tolist()),
                      labels=(2 * found.labels).astype(np.int16), sizes=np.full(16, 10),
                      cluster_centers=rng.normal(size=(16, 3)).astype(np.float32), mean_raw=spectra[0],
                      mean_input=spectra[1], mean_reconstructed=spectra[2], decoded_centre=spectra[3]),
    )  # fmt: skip
    path, page = written(found, tmp_path, figures=save_figures(found, tmp_path))
    assert json.loads(page.ids["data"])["memberships"] is not None
    assert path.stat().st_size < 3e6


def with_disagreement(found):
    """As an ensemble has it."""
    rng = np.random.default_rng(3)
    shares = np.where(found.labels < 0, np.nan, rng.integers(0, 4, found.labels.shape) / 3)
    object.__setattr__(found, "disagreement", shares.astype(np.float32))
    return found


def test_the_slider_cuts_the_merge_tree_as_the_segmentation_does(tmp_path):
    browser()
    found = with_disagreement(divided())
    path, _ = written(found, tmp_path)
    outcome = use(path, [[3, 4], [11, 29]])
    assert outcome["errors"] == []
    assert outcome["scale"] == ["1", "2", "[3]", "4", "5"]
    cuts = outcome["cuts"]
    assert [cut["k"] for cut in cuts] == [1, 2, 3, 4, 5]
    for cut in cuts:
        expected = found.cut(cut["k"])
        assert [name.split(": ")[1] for name in cut["names"]] == [
            f"{100 * share:.1f} %" if share else "empty" for share in expected.shares
        ]
        np.testing.assert_array_equal(cut["labels"], expected.labels.ravel())
        assert cut["sizes"] == expected.sizes.tolist()
        np.testing.assert_allclose(cut["borders"], expected.borders, atol=1e-6)
        for kind, spectra in (("raw", expected.mean_raw), ("centre", expected.decoded_centre)):
            np.testing.assert_allclose(cut["spectra"][kind], spectra[:, ::100].ravel(), rtol=1e-5)
        np.testing.assert_allclose(cut["centres"], expected.cluster_centers.ravel(), rtol=1e-5)
        if cut["k"] > 1:
            for cluster, shown in enumerate(cut["probabilities"]):
                np.testing.assert_allclose(
                    np.array(shown) / 255, expected.memberships[..., cluster].ravel(), atol=2 / 255
                )
            np.testing.assert_allclose(
                np.array(cut["highest"]) / 255, expected.memberships.max(-1).ravel(), atol=2 / 255
            )
    texts = [cut["status"] for cut in cuts]
    assert texts[0] == "One material: no border is kept; the firmest has r = 0.20."
    assert texts[1] == "Borders up to r = 0.20 are kept; those from r = 0.70 on are given up."
    assert texts[2] == ("Borders up to r = 0.70 are kept; those from r = 0.80 on are given up. "
                        "This is the segmentation as it was written.")  # fmt: skip
    assert texts[4] == "Borders up to r = 0.90 are kept: this is the finest cut."
    assert cuts[1]["rows"] == ["0 and 1|0.20|firm"]
    assert cuts[4]["rows"][0] == "0 and 4|0.90|graded"
    for name in (
        "cut map",
        "cut spectra",
        "cut latents",
        "border spectra",
        "view probability",
        "view highest",
        "view disagreement",
    ):
        assert outcome[name] == {"changed": True, "back": True}, name
    share = found.disagreement[3, 4]
    assert outcome["hovered"]["disagreement"].endswith(f"; {share:.2f}")
    assert outcome["hovered"]["highest"].endswith(f"; {found.memberships[3, 4].max():.2f}")


def test_a_page_about_one_material(tmp_path):
    browser()
    axis = SpectralAxis.linear(1.0, 0.02, 400, "keV")
    one = segmentation(1, axis=axis)
    nan = SilhouetteEstimate(np.nan, np.nan, 0)
    leaves = Leaves(tree=Tree(1, ()), parents=(0,), labels=one.labels, sizes=one.sizes,
                    cluster_centers=one.cluster_centers,
                    mean_raw=one.mean_raw, mean_input=one.mean_input, mean_reconstructed=one.mean_reconstructed,
                    decoded_centre=one.decoded_centre)  # fmt: skip
    one = dataclasses.replace(
        one, silhouette=nan, scores={}, inertias={}, leaves=leaves, borders=np.ones((1, 1)),
        memberships=(one.labels >= 0)[..., None].astype(np.float32), structure=judged_by_borders(((1.0,),), 200),
        clustering=ClusteringRecord("counts", "valleys of the counts", 0.5, 0, 0),
    )  # fmt: skip
    path, page = written(one, tmp_path, figures=save_figures(one, tmp_path))
    assert "K = 1, one material" in page.text
    assert "No evidence for more than one material: no valley divides the spectra." in page.text
    assert "One material: there is no border." in page.text
    assert "nan" not in page.text.lower().split()
    assert "±" not in page.text
    outcome = use(path, [[0, 1], [0, 2]])
    assert outcome["errors"] == []
    assert outcome["cuts"] == []
    assert [pixel["selected"] for pixel in outcome["pixels"]] == [0, 0]
