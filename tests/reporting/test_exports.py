import csv
import dataclasses

import numpy as np
import pytest
import tifffile
import torch
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from deepspec.axis import SpectralAxis
from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from deepspec.models import NetworkConfig
from deepspec.reporting import label_clusters
from deepspec.reporting.exports import (
    celestial_header,
    save_borders,
    save_disagreement,
    save_fits,
    save_masks,
    save_memberships_fits,
    save_memberships_tiff,
    save_msa,
    save_peaks,
    save_spectra,
    save_tiff,
)
from deepspec.reporting.map_figures import disagreement_map
from deepspec.reporting.outputs import EXPORTS, Export, output_names, parse_exports, write_outputs
from deepspec.reporting.report_data import borders_of
from deepspec.segmentation import ClusteringRecord
from deepspec.training.module import DeepClustering
from tests.reporting.segmentations import segmentation


def test_tiff_has_the_labels_in_16_bits(tmp_path):
    found = segmentation(3)
    save_tiff(found, tmp_path / "labels.tif")
    with Image.open(tmp_path / "labels.tif") as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image).astype(int), found.labels.astype(int) + 1)
        assert "0 = no label, n + 1 = cluster n, 3 clusters" in image.tag_v2[270]


def test_tiff_is_read_by_tifffile_alone(tmp_path):
    """Without imagecodecs, which LZW would need."""
    found = segmentation()
    save_tiff(found, tmp_path / "labels.tif")
    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        assert file.pages[0].compression.name == "ADOBE_DEFLATE"
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), found.labels + 1)


def test_masks_are_those_of_the_clusters(tmp_path):
    found = segmentation(3)
    paths = save_masks(found, tmp_path)
    assert [path.name for path in paths] == ["cluster-0.png", "cluster-1.png", "cluster-2.png"]
    for cluster, path in enumerate(paths):
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), 255 * (found.labels == cluster))


def with_memberships(found):
    rng = np.random.default_rng(1)
    memberships = rng.dirichlet(np.ones(found.k), found.labels.shape).astype(np.float32)
    memberships[found.labels < 0] = 0
    return dataclasses.replace(found, memberships=memberships)


@pytest.mark.parametrize("k", [1, 3])
def test_memberships_as_tiff_are_pages_of_float32_that_other_readers_read(tmp_path, k):
    found = with_memberships(segmentation(k))
    save_memberships_tiff(found, tmp_path / "memberships.tif")
    with tifffile.TiffFile(tmp_path / "memberships.tif") as file:
        assert len(file.pages) == k
        for cluster, page in enumerate(file.pages):
            assert page.asarray().dtype == np.float32
            np.testing.assert_array_equal(page.asarray(), found.memberships[..., cluster])
            assert page.description == f"deepspec probability of cluster {cluster} of {k}"


def test_memberships_as_fits_have_the_world_coordinates_of_the_cube(tmp_path):
    found = with_memberships(segmentation(3))
    sky = sky_cube(tmp_path / "cube.fits")
    header = celestial_header(tmp_path / "cube.fits", found.labels.shape)
    save_memberships_fits(found, tmp_path / "memberships.fits", header)
    with fits.open(tmp_path / "memberships.fits") as units:
        assert units[0].data.dtype == np.dtype(">f4")
        np.testing.assert_array_equal(units[0].data, np.moveaxis(found.memberships, -1, 0))
        ours = WCS(units[0].header)
        assert ours.naxis == 3
        right_ascension, declination, cluster = ours.wcs_pix2world(3, 7, 2, 0)
        np.testing.assert_allclose((right_ascension, declination), sky.pixel_to_world_values(3, 7), rtol=1e-12)
        assert cluster == 2
    save_memberships_fits(found, tmp_path / "plain.fits")
    with fits.open(tmp_path / "plain.fits") as units:
        assert units[0].data.shape == (3, 12, 20)


def test_memberships_that_there_are_not_are_said_to_be_missing(tmp_path, caplog):
    write_outputs(segmentation(2), tmp_path, exports=frozenset({"memberships", "fits"}))
    assert "no memberships: the segmentation has none" in caplog.text
    assert not list(tmp_path.glob("memberships*"))


def test_borders_as_csv(tmp_path):
    borders = np.array([[1, 0.7, 0.2], [0.7, 1, 0.649], [0.2, 0.649, 1]])
    save_borders(borders_of(dataclasses.replace(segmentation(3), borders=borders)), tmp_path / "borders.csv")
    with (tmp_path / "borders.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["cluster", "other", "r", "border", "scatter"],
        ["0", "1", "0.7", "graded", ""],
        ["1", "2", "0.649", "firm", ""],
        ["0", "2", "0.2", "firm", ""],
    ]


def sky_cube(path, shape=(6, 12, 20), name=""):
    """A FITS cube with world coordinates of the sky."""
    wcs = WCS(naxis=3)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN", "AWAV"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.1, 2.2, 4750e-10], [10.5, 6.5, 1]
    wcs.wcs.cdelt, wcs.wcs.cunit = [-5.5e-5, 5.5e-5, 1.25e-10], ["deg", "deg", "m"]
    data = np.ones(shape, np.float32)
    units = [fits.PrimaryHDU(), fits.ImageHDU(data, wcs.to_header(), name=name)] if name else [
        fits.PrimaryHDU(data, wcs.to_header())]  # fmt: skip
    fits.HDUList(units).writeto(path)
    return wcs.celestial


@pytest.mark.parametrize("name", ["", "DATA"])
def test_fits_has_labels_and_the_world_coordinates_of_the_cube(tmp_path, name):
    found = segmentation(3)
    sky = sky_cube(tmp_path / "cube.fits", name=name)
    header = celestial_header(tmp_path / "cube.fits", found.labels.shape)
    save_fits(found, tmp_path / "labels.fits", header)
    with fits.open(tmp_path / "labels.fits") as units:
        np.testing.assert_array_equal(units[0].data, found.labels)
        assert units[0].data.dtype.itemsize == 2
        assert units[0].header["NCLUST"] == 3
        ours = WCS(units[0].header)
        np.testing.assert_allclose(ours.pixel_to_world_values(3, 7), sky.pixel_to_world_values(3, 7), rtol=1e-12)
        table = units["CLUSTERS"].data
        np.testing.assert_array_equal(table["PIXELS"], found.sizes)
        np.testing.assert_allclose(table["SHARE"], found.shares)


def test_world_coordinates_of_other_files(tmp_path, shared_data):
    found = segmentation(3)
    np.save(tmp_path / "cube.npy", np.ones((12, 20, 6)))
    assert celestial_header(tmp_path / "cube.npy", (12, 20)) is None
    sky_cube(tmp_path / "cube.fits")
    assert celestial_header(tmp_path / "cube.fits", (20, 12)) is None  # not that image
    fits.PrimaryHDU(np.ones((6, 12, 20))).writeto(tmp_path / "plain.fits")
    save_fits(found, tmp_path / "a.fits", celestial_header(tmp_path / "plain.fits", (12, 20)))
    measured = celestial_header(shared_data / "muse_udf" / "subcub_mosaic.fits", (30, 30))
    assert measured is not None
    assert measured["CTYPE1"] == "RA---TAN"


def test_spectra_as_csv(tmp_path):
    found = segmentation(2)
    measured, decoded = save_spectra(found, tmp_path)
    with measured.open() as file:
        head, *rows = csv.reader(file)
    assert head == ["energy (keV)", "measured 0", "measured 1"]
    values = np.array(rows, dtype=float)
    np.testing.assert_allclose(values[:, 0], found.axis.values)
    np.testing.assert_allclose(values[:, 1:].T, found.mean_raw, rtol=1e-7)
    with decoded.open() as file:
        head, *rows = csv.reader(file)
    assert head[1:] == [f"{kind} {c}" for kind in ("input", "decoded", "decoded mean latent") for c in (0, 1)]
    expected = [*found.mean_input, *found.mean_reconstructed, *found.decoded_centre]
    np.testing.assert_allclose(np.array(rows, dtype=float)[:, 1:].T, expected, rtol=1e-7)


def test_peaks_as_csv(tmp_path):
    axis = SpectralAxis.linear(1, 0.02, 800, "keV")
    spectrum = 5 + sum(h * np.exp(-0.5 * ((axis.values - e) / 0.065) ** 2) for e, h in ((6.4, 4000), (7.06, 600)))
    spectra = np.random.default_rng(0).poisson([spectrum, np.full(800, 5.0)]).astype(float)
    save_peaks(label_clusters(spectra, axis), tmp_path / "peaks.csv")
    with (tmp_path / "peaks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["cluster"], row["candidate"], row["kind"]) for row in rows if row["rank"] == "1"] == [
        ("0", "Fe Kα", "line"), ("0", "Fe Kβ", "line")
    ]  # fmt: skip
    assert float(rows[0]["position"]) == pytest.approx(6.4, abs=0.01)
    assert float(rows[0]["expected at"]) == pytest.approx(6.3995, abs=0.001)


@pytest.mark.parametrize(
    "axis",
    [
        SpectralAxis.linear(-0.1, 0.0375, 40, "keV"),
        SpectralAxis.linear(4750, 1.25, 40, "angstrom"),
        SpectralAxis(np.geomspace(400, 2500, 40), "nm"),  # not evenly spaced
        SpectralAxis(np.linspace(2500, 400, 40), "nm"),
        SpectralAxis.linear(0, 1, 40, "channel"),
    ],
    ids=["keV", "angstrom", "uneven", "falling", "channel"],
)
def test_msa_is_read_back(tmp_path, axis):
    found = segmentation(2, axis=axis)
    paths = save_msa(found, tmp_path)
    for cluster, path in enumerate(paths):
        cube = read_cube(path)
        assert cube.shape == (1, 1, 40)
        np.testing.assert_allclose(cube.read_rows(0, 1)[0, 0], found.mean_raw[cluster], rtol=1e-7)
        assert axis.matches(cube.axis, 1e-3)
        assert cube.metadata["TITLE"] == f"mean spectrum of cluster {cluster}, {found.sizes[cluster]} pixels"


def test_msa_leaves_empty_clusters_out(tmp_path):
    found = segmentation(3)
    found.sizes[1] = 0
    assert [path.name for path in save_msa(found, tmp_path)] == ["cluster-0.msa", "cluster-2.msa"]
    text = (tmp_path / "cluster-0.msa").read_text()
    assert "#DATE        : 22-NOV-2026" in text
    assert "#TIME        : 18:26" in text


def test_names_of_exports(tmp_path):
    plain, checkpoint = tmp_path / "a.h5", tmp_path / "run" / "model.ckpt"
    assert parse_exports("auto", plain, checkpoint) == {"report", "tiff", "csv"}
    assert parse_exports("auto", tmp_path / "a.FITS", checkpoint) == {"report", "tiff", "csv", "fits"}
    assert parse_exports("none", plain, checkpoint) == frozenset()
    assert parse_exports(" svg, masks ,", plain, checkpoint) == {"svg", "masks"}
    assert parse_exports("all", plain, checkpoint) == EXPORTS.keys() - {"training"}
    with pytest.raises(UserError, match="export 'jpg': expected auto, none, all, or some of report, tiff, fits"):
        parse_exports("svg,jpg", plain, checkpoint)
    with pytest.raises(UserError, match=r"needs metrics.csv of the run beside .*model.ckpt"):
        parse_exports("training", plain, checkpoint)
    checkpoint.parent.mkdir()
    (checkpoint.parent / "metrics.csv").write_text("epoch\n0\n")
    assert parse_exports("all", plain, checkpoint) == EXPORTS.keys()
    assert parse_exports("training", plain, checkpoint.parent / "checkpoints" / "last.ckpt") == {"training"}
    assert "generated" not in parse_exports("all", plain, None)
    with pytest.raises(UserError, match="'generated' needs a variational model"):
        parse_exports("generated", plain, None)


def test_the_disagreement_of_an_ensemble_is_exported_as_floats_and_drawn(tmp_path):
    single = segmentation(3)
    with pytest.raises(ValueError, match="disagreement of an ensemble"):
        save_disagreement(single, tmp_path / "disagreement.tif")
    share = np.where(single.labels < 0, np.nan, np.arange(single.labels.size).reshape(single.labels.shape) % 4 / 3)
    clustering = ClusteringRecord("consensus", "the silhouette", 0.0, 0.0, 0, 3)
    found = dataclasses.replace(single, disagreement=share.astype(np.float32), clustering=clustering)
    write_outputs(found, tmp_path, exports=frozenset({"tiff", "report"}))
    assert {path.name for path in tmp_path.iterdir()} <= output_names()
    with Image.open(tmp_path / "disagreement.tif") as image:
        assert image.mode == "F"
        np.testing.assert_array_equal(np.asarray(image), share.astype(np.float32))
        assert "NaN = no label" in image.tag_v2[270]
    agree = 100 * (share[single.labels >= 0] == 0).mean()
    assert f"agree on the cluster of {agree:.1f} % of the pixels" in (tmp_path / "report.html").read_text()
    drawn = disagreement_map(found).axes[0].images[0].get_array()
    np.testing.assert_allclose(np.ma.filled(drawn, np.nan), 100 * share, rtol=1e-6)
    write_outputs(single, tmp_path, exports=frozenset({"tiff"}))


def test_everything_at_once_has_known_names(tmp_path):
    found = dataclasses.replace(with_memberships(segmentation(2)), borders=np.array([[1, 0.4], [0.4, 1]]))
    write_outputs(found, tmp_path, exports=frozenset(EXPORTS) - {"training", "generated"})
    names = {path.name for path in tmp_path.iterdir()}
    assert names <= output_names()
    assert {
        "report.html",
        "labels.tif",
        "labels.fits",
        "spectra.csv",
        "peaks.csv",
        "borders.csv",
        "memberships.tif",
        "memberships.fits",
        "msa",
        "masks",
        "spectra.pdf",
    } <= names


@pytest.mark.parametrize("variational", [True, False])
def test_generated_spectra_want_a_variational_checkpoint(tmp_path, caplog, variational):
    axis = SpectralAxis.linear(1.0, 0.5, 40, "keV")
    model = DeepClustering(axis.to_dict(), NetworkConfig(encoder=[16, 8], latent=3, variational=variational))
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    torch.save(content, tmp_path / "model.ckpt")
    found = segmentation(2, axis=axis)
    provenance = dataclasses.replace(found.provenance, checkpoint=str(tmp_path / "model.ckpt"))
    (tmp_path / "out").mkdir()
    exports = frozenset({"generated", "svg", "report"})
    write_outputs(dataclasses.replace(found, provenance=provenance), tmp_path / "out", exports=exports)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names <= output_names()
    assert ({"generated.png", "generated.svg"} <= names) == variational
    assert (
        "drawn from the prior of the variational model" in (tmp_path / "out/report.html").read_text()
    ) == variational
    assert [record.getMessage()[:21] for record in caplog.records] == ([] if variational else ["no generated spectra:"])


def test_nothing_half_written_is_left(tmp_path):
    broken = dataclasses.replace(segmentation(2), labels=np.full((4, 4), "a"))
    with pytest.raises(ValueError, match="invalid literal"):
        save_tiff(broken, tmp_path / "labels.tif")
    assert list(tmp_path.iterdir()) == []


def test_an_export_of_another_package_is_one_entry(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(EXPORTS, "_registered", {})
    EXPORTS.register(
        "npy",
        Export(
            "label map of NumPy", ("labels.npy",), lambda c, out: np.save(out / "labels.npy", c.segmentation.labels)
        ),
    )
    EXPORTS.register("broken", Export("", (), lambda context, out: context.nothing))
    assert "labels.npy" in output_names()
    exports = parse_exports("npy,broken,tiff", tmp_path / "a.h5", None)
    found = segmentation(2)
    write_outputs(found, tmp_path, exports=exports)
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), found.labels)
    assert (tmp_path / "labels.tif").is_file()
    assert caplog.messages == ["no export 'broken', of another package: it fails with AttributeError: "
                               "'ExportContext' object has no attribute 'nothing'"]  # fmt: skip
    with pytest.raises(TypeError, match=r"expected a deepspec.reporting.Export that writes, got a str"):
        EXPORTS.register("mine", "labels.npy")
    with pytest.raises(UserError, match="files without a folder"):
        EXPORTS.register("mine", Export("", ("../a",), lambda context, out: None))
