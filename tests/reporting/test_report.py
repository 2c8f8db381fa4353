import base64
import dataclasses
import json
import os
import shutil
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from deepspec.data.axis import SpectralAxis
from deepspec.reporting import label_clusters, save_figures
from deepspec.reporting.report import Section, figure_html, table_html, write_report
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
    assert sorted(contents) == sorted(figure.read_bytes() for figure in figures)
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
    script = SCRIPT.read_text().replace("PIXELS", json.dumps(pixels))
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
    assert any("escape peak" in row[2] for row in table)
    assert outcome.pop("chosen peak") is True
    assert outcome.pop("map drag")["changed"]
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
