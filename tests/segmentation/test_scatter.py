"""How much of a border is scatter of the tube's lines, from the arithmetic to the files and the report."""

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import deepspec.reporting
from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube
from deepspec.lines import LineOptions, scattered_channels, tube_limit
from deepspec.reporting.segmentation_folder import save_segmentation_folder
from deepspec.segmentation import Segmentation, segment_cube
from deepspec.segmentation.scatter import scatter_note, scatter_share
from tests.lines.test_xray import drawn, scattered
from tests.support.planted import LinearModel

AXIS = SpectralAxis.linear(0.0, 0.04, 640, "keV")


def three_materials(seed=0):
    """A cube: materials 0 and 1 differ in elements, 1 and 2 in scatter alone; and labels."""
    lines = [
        drawn({("Fe", "K"): area, ("Ca", "K"): 8e5 - area}, background=60.0, axis=AXIS) for area in (7e5, 1e5, 1e5)
    ]
    more = scattered("Rh", axis=AXIS)
    means = np.stack([line + amount * more for line, amount in zip(lines, (2, 2, 6), strict=True)])
    labels = np.repeat([0, 0, 0, 1, 1, 2], 5)[None].repeat(20, 0)
    counts = np.random.default_rng(seed).poisson(3000 * (means / means.sum(1, keepdims=True))[labels])
    return SpectralCube.from_array(counts.astype(np.uint16), AXIS), labels


@pytest.fixture(scope="module")
def found():
    cube, labels = three_materials()
    result = segment_cube(cube, LinearModel(cube), clusters="refit", clusterer="valleys")
    assert result.k == 3
    assert (result.labels == labels).mean() > 0.99
    return result


def test_the_share_is_that_of_the_divergence_without_noise():
    p, q = np.array([0.5, 0.2, 0.2, 0.1]), np.array([0.3, 0.2, 0.1, 0.4])
    size = 10**9  # so many counts that the half added to each and noise are nothing
    share = scatter_share(np.stack([400 * p, 100 * q]), np.array([size, size]), np.array([False, False, True, True]))
    # What is left of the log likelihood ratios when channels 2 and 3 are left out; brightness does not enter.
    p_e, q_e = p[:2] / 0.7, q[:2] / 0.5
    elements = 0.7 * (p_e * np.log(p_e / q_e)).sum() + 0.5 * (q_e * np.log(q_e / p_e)).sum()
    assert share[0, 1] == share[1, 0] == pytest.approx(1 - elements / ((p - q) * np.log(p / q)).sum(), rel=1e-6)
    assert np.isnan(share[0, 0])


def test_more_scatter_alone_is_all_scatter_though_the_shares_of_all_elements_fall():
    p, q = np.array([50.0, 20, 30]), np.array([50.0, 20, 90])
    share = scatter_share(np.stack([p, q]), np.array([10**9, 10**9]), np.array([False, False, True]))
    assert share[0, 1] == pytest.approx(1, abs=1e-6)


def test_noise_is_no_difference():
    """An element differs a little, and 350 channels of scatter in nothing but noise."""
    rng = np.random.default_rng(3)
    p = np.ones(400) / 400
    q = p.copy()
    q[7] *= 1.5
    q[8] /= 2
    q /= q.sum()
    sizes, apart = np.array([40, 40]), np.arange(400) >= 50
    drawn_KC = np.stack([rng.poisson(40 * 2000 * spectrum) / 40 for spectrum in (p, q)])
    share = scatter_share(drawn_KC, sizes, apart)[0, 1]
    raw = np.log(drawn_KC[0] / drawn_KC[1]) * (drawn_KC[0] - drawn_KC[1])
    assert raw[50:].sum() / raw.sum() > 0.7  # so it looks before noise is taken away
    assert share < 0.3


def test_empty_clusters_have_no_share():
    mean = np.array([[3.0, 1.0], [np.nan, np.nan], [1.0, 3.0]])
    share = scatter_share(mean, np.array([100, 0, 100]), np.array([False, True]))
    assert np.isnan(share[1]).all()
    assert share[0, 2] == 1  # one channel is left, whose share of itself tells nothing
    assert scatter_note(share, "Rh").startswith("scatter drives the border between clusters 0 and 2 (100%): ")
    assert scatter_note(np.where(share == 1, 0.5, share), "Rh") == ""
    assert scatter_note(None, "Rh") == ""


def test_channels_of_scatter():
    total = three_materials()[0].read_rows(0, 20).sum((0, 1)).astype(float)
    anode, channels = scattered_channels(AXIS, total)
    assert anode == "Rh"
    np.testing.assert_array_equal(channels, np.arange(640) >= tube_limit(AXIS, total))
    assert scattered_channels(AXIS, total, "none") is None
    anode, channels = scattered_channels(AXIS, total, "W")
    where = AXIS.values[channels]
    assert where.min() > 6.9  # L l, 7.39 keV, scattered backwards is at 7.18
    assert where.max() < 12.0  # L gamma is at 11.29
    for line in (8.398, 9.672):
        assert channels[np.abs(AXIS.values - line).argmin()]
    anode, channels = scattered_channels(AXIS, total, "Cr")
    assert 5.1 < AXIS.values[channels].min() < 5.41 < AXIS.values[channels].max() < 6.3
    assert scattered_channels(SpectralAxis.linear(1.0, 0.01, 200, "keV"), total[:200], "Cr") is None


def saved(found, folder, lines=None, export="report,csv"):
    save_segmentation_folder(
        found, folder, exports=frozenset(export.split(",")), scale="linear",
        redshift=(0.0, 0.0), dataset=None, options={}, lines=lines,
    )  # fmt: skip
    return Segmentation.load(folder / "segmentation.h5")


def test_a_border_of_scatter_is_told_everywhere(found, tmp_path):
    written = saved(found, tmp_path / "out")
    share = written.border_scatter
    assert share[1, 2] > 0.9 > 0.1 > share[0, 1]
    note = next(note for note in written.notes if note.startswith("scatter drives"))
    assert f"between clusters 1 and 2 ({share[1, 2]:.0%}): most of what tells them apart goes" in note
    assert "the tube's Rh lines" in note
    with h5py.File(tmp_path / "out" / "segmentation.h5") as file:
        np.testing.assert_array_equal(file["border_scatter"], share)
        np.testing.assert_array_equal(file["scattered"], np.arange(640) >= np.flatnonzero(written.scattered)[0])
    with (tmp_path / "out" / "borders.csv").open(newline="") as file:
        rows = {(row["cluster"], row["other"]): row for row in csv.DictReader(file)}
    assert float(rows["1", "2"]["scatter"]) == pytest.approx(share[1, 2], rel=1e-3)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "scatter drives" in page.lower()
    assert re.search(r'data-pair="1,2">.*?<td>\d+ %, drives the border</td></tr>', page)
    assert re.search(r'data-pair="0,1">(?:(?!</tr>).)*<td>\d+ %</td></tr>', page)
    cut = written.cut(2)
    assert cut.border_scatter.shape == (2, 2)


def test_nothing_is_said_where_there_is_no_tube(found, tmp_path):
    written = saved(found, tmp_path / "out", LineOptions(tube="none"))
    assert written.scattered is None
    assert written.border_scatter is None
    assert not any("scatter drives" in note for note in written.notes)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<th>scatter</th>" not in page


@pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page's arithmetic")
def test_the_page_computes_the_same_share(found, tmp_path):
    written = saved(found, tmp_path / "out")
    data = {
        "scattered": np.flatnonzero(written.scattered).tolist(),
        "sizes": written.sizes.tolist(),
        "mostly": 0.5,
        "spectra": {"raw": {"values": written.mean_raw.ravel().tolist()}},
        "n": 640,
    }
    script = (Path(deepspec.reporting.__file__).parent / "page" / "borders.js").read_text()
    run = f"""{script}
const data = {json.dumps(data)};
data.spectra.raw.values = new Float32Array(data.spectra.raw.values);
data.axes = {{ measured: {{ values: {{ length: data.n }} }} }};
console.log(JSON.stringify([[0, 1], [0, 2], [1, 2]].map(([i, j]) => scatterShare(data, i, j))));
console.log(scatterText(data, 1, 2));"""
    lines = subprocess.run(["node", "-e", run], capture_output=True, text=True, check=True).stdout.splitlines()
    share = written.border_scatter
    np.testing.assert_allclose(json.loads(lines[0]), [share[0, 1], share[0, 2], share[1, 2]], rtol=1e-4, atol=1e-6)
    assert lines[1] == f"{100 * share[1, 2]:.0f} %, drives the border"


def test_a_damaged_record_of_channels_is_refused(found, tmp_path):
    from deepspec.errors import UserError
    from deepspec.segmentation.result import check_sound

    with pytest.raises(UserError, match=r"scattered is bool \(3,\), expected bool \(640,\)"):
        check_sound(replace(found, scattered=np.ones(3, bool)))
