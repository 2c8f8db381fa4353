"""What a notebook shows of a segmentation, against its fields."""

import base64
import dataclasses
import io
import re
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from deepspec.axis import SpectralAxis
from deepspec.drawing import NO_CLUSTER, cluster_colours
from deepspec.errors import UserError
from deepspec.segmentation import ClusteringRecord
from tests.reporting.segmentations import segmentation


def made(found, **more):
    return dataclasses.replace(found, provenance=dataclasses.replace(found.provenance, **more))


def test_printed_in_a_few_lines():
    found = made(segmentation(), cube="/scans/a.h5", checkpoint="runs/xrf/model.ckpt")
    found = dataclasses.replace(found, clustering=ClusteringRecord("gaussians", "valleys of density", 0.5, 0.1, 3))
    assert repr(found).splitlines() == [
        "Segmentation of 12 x 20 pixels, 40 channels, 1 to 20.5 keV",
        "K = 3, silhouette of the latents 0.812 ± 0.005",
        "  cluster 0: 33.3 %, 60 pixels",
        "  cluster 1: 33.3 %, 60 pixels",
        "  cluster 2: 33.3 %, 60 pixels",
        "  no cluster: 60 pixels",
        "clusters: refit, partition gaussians, K decided by: valleys of density",
        "cube: /scans/a.h5",
        "model: runs/xrf/model.ckpt",
        "made: 2026-11-22T18:26:00+00:00 by deepspec 1",
    ]
    many = repr(segmentation(40, shape=(30, 41))).splitlines()
    assert "  and 28 more" in many
    assert len(many) < 22
    assert "model: in memory" in many


def test_a_page_of_a_notebook_shows_the_map_and_escapes_names():
    found = made(segmentation(), cube="<b>.h5")
    html = found._repr_html_()
    assert "<b>" not in html
    assert '<td class="wide">&lt;b&gt;.h5</td>' in html
    picture = imread(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])))[..., :3]
    shown = {tuple(colour) for colour in (255 * picture.reshape(-1, 3)).round().astype(int).tolist()}
    for colour in [NO_CLUSTER, *cluster_colours(3)]:
        assert tuple(round(255 * part) for part in to_rgb(colour)) in shown


def test_the_map_is_that_of_the_labels():
    found = segmentation()
    (axes,) = found.plot().axes
    np.testing.assert_array_equal(axes.images[0].get_array(), found.labels + 1)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [*found.cluster_names, "none (60 px)"]
    assert axes.get_title() == found.headline


def test_spectra_as_a_table():
    pytest.importorskip("pandas")
    found = segmentation()
    table = found.spectra
    assert table.index.name == "energy (keV)"
    assert table.columns.names == ["kind", "cluster"]
    assert table.shape == (40, 12)
    np.testing.assert_array_equal(table.index, found.axis.values)
    kinds = {"measured": "mean_raw", "input": "mean_input", "decoded": "mean_reconstructed"}
    for kind, field in {**kinds, "decoded mean latent": "decoded_centre"}.items():
        np.testing.assert_array_equal(table[kind].to_numpy().T, getattr(found, field))
    assert table["measured"][2].idxmax() == found.axis.values[found.mean_raw[2].argmax()]


def test_spectra_of_a_decoder_with_another_axis_stand_between_those_of_the_cube():
    pytest.importorskip("pandas")
    falling = SpectralAxis(np.linspace(700, 400, 7), "nm")
    base = segmentation(axis=SpectralAxis(np.linspace(690, 410, 40), "nm"))
    small = {name: getattr(base, name)[:, :7] for name in ("mean_input", "mean_reconstructed", "decoded_centre")}
    found = dataclasses.replace(base, decoded_axis=falling, **small)
    table = found.spectra
    assert table.shape == (47, 12)
    assert (np.diff(table.index) < 0).all()
    np.testing.assert_array_equal(table["measured"].dropna().to_numpy().T, found.mean_raw)
    np.testing.assert_array_equal(table["decoded"].dropna().index, falling.values)
    np.testing.assert_array_equal(table["decoded"].dropna().to_numpy().T, found.mean_reconstructed)


def test_maps_and_spectra_as_a_dataset():
    pytest.importorskip("xarray")
    found = made(dataclasses.replace(segmentation(), notes=("one", "two")), cube="a.h5")
    data = found.to_xarray()
    for name in ("labels", "total_raw", "latents", "sizes", "mean_raw", "decoded_centre"):
        np.testing.assert_array_equal(data[name], getattr(found, name))
    assert data["labels"].dims == ("y", "x")
    assert data["mean_raw"].dims == data["decoded_centre"].dims == ("cluster", "channel")
    assert data["channel"].attrs == {"long_name": "energy (keV)", "units": "keV"}
    assert float(data["mean_raw"].sel(cluster=1).sel(channel=3.6, method="nearest")) == found.mean_raw[1, 5]
    assert "memberships" not in data
    assert (data.attrs["k"], data.attrs["notes"], data.attrs["cube"]) == (3, "one\ntwo", "a.h5")
    other = SpectralAxis.linear(1.0, 0.25, 40, "keV")
    assert dataclasses.replace(found, decoded_axis=other).to_xarray()["mean_input"].dims == (
        "cluster", "decoded_channel",
    )  # fmt: skip


def test_what_is_not_installed_is_said_in_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UserError, match=r"^Segmentation.spectra needs pandas, which is not installed: pip install"):
        segmentation().spectra  # noqa: B018
    with pytest.raises(UserError, match=r"^Segmentation.to_xarray needs xarray, which is not installed: pip install"):
        segmentation().to_xarray()
