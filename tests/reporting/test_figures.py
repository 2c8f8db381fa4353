import dataclasses

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from deepspec.axis import SpectralAxis
from deepspec.drawing import cluster_colours, save_figure
from deepspec.functional import SilhouetteEstimate
from deepspec.reporting import (
    averages_over_difference,
    cluster_rows,
    cluster_spectra,
    integrated,
    label_map,
    latent_matrix,
    masks,
    save_figures,
    silhouette_curve,
)
from tests.reporting.segmentations import segmentation

ALWAYS = ["labels", "masks", "spectra", "clusters", "integrated", "silhouette", "difference", "latents"]
"""Figures that need no ensemble, no training and no variational model."""

PNG = b"\x89PNG\r\n\x1a\n"


def with_an_empty_cluster():
    base = segmentation()
    sizes, labels = base.sizes.copy(), base.labels.copy()
    sizes[1], labels[labels == 1] = 0, 0
    spectra = {}
    for name in ("mean_raw", "mean_input", "mean_reconstructed"):
        spectra[name] = getattr(base, name).copy()
        spectra[name][1] = np.nan
    return dataclasses.replace(base, sizes=sizes, labels=labels, scores={}, inertias={}, **spectra)


def texts(figure):
    return [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")]


def test_every_figure_is_written_as_a_picture(tmp_path):
    paths = save_figures(segmentation(), tmp_path)
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}
    assert [path.stem for path in paths] == ALWAYS
    for path in paths:
        assert path.read_bytes().startswith(PNG)
        picture = imread(path)
        assert min(picture.shape[:2]) > 200
        assert picture[..., :3].std() > 0.02


def test_figures_are_written_as_vector_graphics(tmp_path):
    paths = save_figures(segmentation(), tmp_path, formats=("svg", "pdf"))
    assert len(paths) == 2 * len(ALWAYS)
    for path in paths:
        start = path.read_bytes()[:200]
        assert (b"<?xml" in start) if path.suffix == ".svg" else start.startswith(b"%PDF")
    with pytest.raises(ValueError, match=r"a.jpg: expected a figure's name to end in one of png, svg, pdf"):
        save_figure(label_map(segmentation()), tmp_path / "a.jpg")


def test_segmentations_without_a_sample_are_drawn_without_its_figures(tmp_path):
    old = dataclasses.replace(segmentation(), sample=None, latents=None)
    assert {path.stem for path in save_figures(old, tmp_path)} == set(ALWAYS) - {"difference", "latents"}
    for draw in (averages_over_difference, latent_matrix):
        with pytest.raises(ValueError, match="earlier version"):
            draw(old)


def test_frozen_clusters_have_no_silhouette_curve(tmp_path):
    assert "silhouette.png" not in [path.name for path in save_figures(with_an_empty_cluster(), tmp_path)]
    with pytest.raises(ValueError, match="frozen clusters: it has no scores"):
        silhouette_curve(with_an_empty_cluster())


@pytest.mark.parametrize("k", [1, 3, 5])
def test_one_panel_for_each_cluster(k):
    found = segmentation(k)
    assert len(masks(found).axes) == k
    assert len(cluster_spectra(found).axes) == k
    assert len(cluster_rows(found).axes) == 3 * k
    assert [len(axes.child_axes) for axes in integrated(found).axes] == [1, 1, 1]  # their colour bars
    assert len(label_map(found).axes) == 1
    for figure in (masks(found), cluster_spectra(found), cluster_rows(found)):
        assert isinstance(figure.canvas, FigureCanvasAgg)
        for cluster in range(k):
            assert any(f"cluster {cluster}: {100 * found.shares[cluster]:.1f} %" in text for text in texts(figure))


@pytest.mark.parametrize("draw", [cluster_spectra, averages_over_difference])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_legend_above_the_panels_fits_on_the_page(draw, k):
    figure = draw(segmentation(k))
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_the_headline_names_one_material_and_no_silhouette_that_there_is_not():
    nan = SilhouetteEstimate(np.nan, np.nan, 0)
    assert segmentation(3).headline == "K = 3, silhouette of the latents 0.812 ± 0.005"
    nothing = dataclasses.replace(segmentation().structure, verdict="none")
    one = dataclasses.replace(segmentation(1), silhouette=nan, structure=nothing)
    assert one.headline == "K = 1, one material"
    cut_down = dataclasses.replace(one, structure=segmentation().structure)  # on request, against clear evidence
    assert cut_down.headline == "K = 1, all pixels in one cluster"
    assert dataclasses.replace(segmentation(3), silhouette=nan).headline == "K = 3"  # as of a cut
    alone = dataclasses.replace(segmentation(3), silhouette=nan, sizes=np.array([0, 9, 0]))
    assert alone.headline == "K = 3, all pixels in one cluster"


def test_one_material_has_no_silhouette_curve(tmp_path):
    names = {path.name for path in save_figures(segmentation(1), tmp_path)}
    assert "silhouette.png" not in names


def test_label_map_shows_each_label_in_the_colour_of_its_legend():
    found = segmentation()
    figure = label_map(found)
    (image,) = figure.axes[0].images
    shown = image.to_rgba(image.get_array())[..., :3]
    colours = {patch.get_label(): to_rgb(patch.get_facecolor()) for patch in figure.axes[0].get_legend().get_patches()}
    for cluster in range(3):
        expected = next(colour for label, colour in colours.items() if label.startswith(f"cluster {cluster}:"))
        np.testing.assert_allclose(shown[found.labels == cluster], [expected] * found.sizes[cluster], atol=0.01)
    assert f"none ({(found.labels < 0).sum()} px)" in colours
    assert texts(figure)[1] == "K = 3, silhouette of the latents 0.812 ± 0.005"


def test_masks_are_those_of_the_labels():
    found = segmentation()
    for cluster, axes in enumerate(masks(found).axes):
        state = np.asarray(axes.images[0].get_array())
        np.testing.assert_array_equal(state == 2, found.labels == cluster)
        np.testing.assert_array_equal(state == 0, found.labels < 0)


def test_spectra_are_drawn_over_the_axis_with_its_unit():
    found = segmentation()
    figure = cluster_spectra(found, scale="linear")
    for cluster, axes in enumerate(figure.axes):
        drawn = [line.get_ydata() for line in axes.lines]
        expected = (found.mean_input, found.mean_reconstructed, found.decoded_centre)
        for line, spectra in zip(drawn, expected, strict=True):
            np.testing.assert_array_equal(line, spectra[cluster])
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), found.decoded_axis.values)
    assert figure.get_supxlabel() == "energy (keV)"
    assert figure.get_supylabel() == "counts"
    rows = cluster_rows(found, scale="linear")
    np.testing.assert_array_equal(rows.axes[4].lines[0].get_ydata(), found.mean_reconstructed[1])
    np.testing.assert_array_equal(rows.axes[5].lines[0].get_ydata(), found.mean_input[1])
    assert rows.axes[4].get_ylim() == rows.axes[5].get_ylim()


def test_scale_follows_the_peaks_unless_it_is_chosen():
    flat = segmentation()
    peaked = dataclasses.replace(flat, mean_input=flat.mean_input**8 / 1e12)
    assert cluster_spectra(flat).axes[0].get_yscale() == "linear"
    spiky = peaked.mean_input.copy()
    spiky[0, 5] = 20 * spiky[0].sum() + 1e4
    assert cluster_spectra(dataclasses.replace(flat, mean_input=spiky)).axes[0].get_yscale() == "function"
    for scale, name in (("linear", "linear"), ("sqrt", "function"), ("log", "log")):
        assert cluster_spectra(flat, scale).axes[0].get_yscale() == name
        assert cluster_rows(flat, scale).axes[1].get_yscale() == name


def test_empty_clusters_falling_axes_and_odd_shapes_are_drawn(tmp_path):
    falling = SpectralAxis(np.linspace(2500, 400, 40), "nm")
    alone = dataclasses.replace(segmentation(1), silhouette=SilhouetteEstimate(np.nan, np.nan, 0), scores={})
    for number, (found, scale) in enumerate(
        [
            (with_an_empty_cluster(), "log"),
            (segmentation(2, shape=(1, 50), axis=falling), "sqrt"),
            (segmentation(5, shape=(90, 3)), "auto"),
            (alone, "log"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for path in save_figures(found, folder, scale):
            assert path.stat().st_size > 2000
    assert "cluster 1: empty" in texts(masks(with_an_empty_cluster()))


def test_many_clusters_are_drawn():
    for draw in (label_map, masks, cluster_spectra):
        figure = draw(segmentation(26))
        figure.canvas.draw()
        keys = (axes.get_legend() for axes in figure.axes)
        legends = [text.get_text() for key in keys if key is not None for text in key.get_texts()]
        assert any("cluster 25" in text for text in texts(figure) + legends)


def test_constant_images_are_drawn():
    found = segmentation()
    flat = np.ones_like(found.total_raw)
    figure = integrated(dataclasses.replace(found, total_raw=flat))
    figure.canvas.draw()
    assert figure.axes[0].images[0].get_clim() == (0.5, 1.5)


def test_the_chosen_k_is_marked_on_the_silhouette_curve():
    figure = silhouette_curve(segmentation())
    curve, chosen = figure.axes[0].lines
    np.testing.assert_array_equal(curve.get_xdata(), [2, 3, 4])
    np.testing.assert_array_equal(chosen.get_xydata(), [[3, 0.8]])


def test_colours_of_clusters_differ():
    for k in (1, 10, 11, 64):
        colours = cluster_colours(k)
        assert len(set(colours)) == k
        assert all(max(to_rgb(colour)) - min(to_rgb(colour)) > 0.1 for colour in colours)  # none is grey
