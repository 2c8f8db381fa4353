"""Figures of an evaluation: drawn for every kind, and showing what they should."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from deepspec.drawing import cluster_colours
from deepspec.evaluation import Reference, compare_segmentations, evaluate_segmentation
from deepspec.evaluation.series import Noise
from deepspec.reporting.agreement_figures import _ERRORS, MOST_ROWS, class_confusion, class_errors, compared_maps
from deepspec.reporting.curve_figures import criteria_curves, stability_map
from deepspec.reporting.evaluation import save_evaluation_figures, save_series_figures
from deepspec.segmentation import BaselineRecord
from tests.evaluation.made import bands, segmentation


def evaluation(labels=None, names=("red", "green", "blue"), refits=2):
    labels = np.array([1, 2, 0])[bands()] if labels is None else labels
    return evaluate_segmentation(
        segmentation(), Reference(labels.astype(np.int64), names, "truth.npy", "labels"), k=(2, 4), refits=refits
    )


def drawn(axes):
    """(H, W, 3) colours of the image of some axes."""
    image = axes.get_images()[0]
    return image.cmap(image.norm(image.get_array()))[..., :3]


def test_all_figures_are_written(tmp_path):
    paths = save_evaluation_figures(evaluation(), tmp_path)
    assert [path.name for path in paths] == [
        "comparison.png", "confusion.png", "errors.png", "criteria.png", "stability.png",
    ]  # fmt: skip
    for path in paths:
        image = imread(path)[..., :3]
        assert image.std() > 0.05
    without = evaluate_segmentation(segmentation(latents=False))
    (tmp_path / "none").mkdir()
    assert save_evaluation_figures(without, tmp_path / "none") == []


def test_maps_share_colours_and_show_errors():
    labels = np.array([1, 2, 0])[bands()]
    labels[4, 4], labels[5, 5] = 2, -1
    found = evaluation(labels)
    theirs, ours, errors = (drawn(axes) for axes in compared_maps(found).axes)
    colours = [to_rgb(colour) for colour in cluster_colours(3)]
    np.testing.assert_allclose(theirs[0, 0], colours[1])
    np.testing.assert_allclose(ours[0, 0], colours[1])
    same = np.isclose(theirs, ours).all(2)
    assert same.sum() == same.size - 2
    assert errors[4, 4].tolist() == [0, 0, 0]
    assert errors[0, 0].tolist() == [1, 1, 1]
    np.testing.assert_allclose(errors[5, 5], to_rgb(_ERRORS["not compared"]))


def test_a_row_per_class_shows_misses_and_intruders():
    labels = np.array([1, 2, 0])[bands()]
    labels[4, 4] = 2
    figure = class_errors(evaluation(labels))
    rows = np.array(figure.axes).reshape(3, 4)
    state = list(_ERRORS)
    missed = drawn(rows[2, 2])
    np.testing.assert_allclose(missed[4, 4], to_rgb(_ERRORS[state[3]]))  # class blue misses it
    np.testing.assert_allclose(drawn(rows[1, 2])[4, 4], to_rgb(_ERRORS[state[4]]))  # the cluster of green has it
    texts = [text.get_text() for text in rows[1, 3].texts]
    assert texts == ["TP\n199", "FP\n1", "FN\n0", "TN\n400"]
    assert rows[1, 3].get_title() == f"Tversky index {199 / (199 + 0.3):.3f}"
    assert rows[0, 0].get_title() == "cluster 2"


def test_classes_without_a_cluster_and_many_classes():
    labels = np.arange(600).reshape(20, 30) % 25
    found = evaluation(labels, tuple(f"class {i}" for i in range(25)), refits=0)
    figure = class_errors(found)
    assert len(figure.axes) == 4 * MOST_ROWS
    assert "the 9 smallest classes are not shown" in figure.get_suptitle()
    assert figure.get_suptitle().startswith("no checkpoint against truth.npy")
    assert any(axes.get_title() == "no cluster" for axes in figure.axes)
    compared_maps(found)
    labels = [text.get_text() for text in class_confusion(found).axes[0].get_xticklabels()]
    assert labels.count("no cluster") == 22


def test_figures_a1_to_a4_name_the_method():
    """They are figures 6, 7, 13 and 14 of a segmentation by UMAP against the colours of a picture."""
    found = dataclasses.replace(segmentation(), baseline=BaselineRecord("umap", "[]", 100))
    reference = Reference(bands().astype(np.int64), ("colour 0", "colour 1", "colour 2"), "in/scan.png", "image")
    drawn = evaluate_segmentation(found, reference, k=None, refits=0)
    assert class_errors(drawn).get_suptitle().startswith("umap against the colours of scan.png\n")
    assert class_confusion(drawn).axes[0].get_title().startswith("umap against the colours of scan.png\n")


def test_masks_of_different_sizes_are_not_drawn_together(tmp_path):
    small = segmentation(bands(10, 15))
    reference = Reference(bands().astype(np.int64), ("a", "b", "c"), "truth.npy", "labels")
    entries, _ = compare_segmentations([("a", segmentation()), ("b", small)], reference, resample=True)
    entries = [
        dataclasses.replace(entry, noise=Noise(level, 40.0, 48.0, 1.0))
        for entry, level in zip(entries, (0.0, 0.2), strict=True)
    ]
    assert save_series_figures(entries, tmp_path) == ["no figure of the masks: the segmentations differ in size"]
    assert [path.name for path in tmp_path.iterdir()] == ["degradation.png"]


def test_clusters_without_a_class_have_a_colour_and_a_column():
    found = evaluation(np.zeros((20, 30)), ("all",), refits=0)
    legend = [text.get_text() for text in compared_maps(found).legends[0].get_texts()]
    assert sum("no class" in text for text in legend) == 2
    assert len(class_confusion(found).axes[0].get_xticklabels()) == 3


def test_curves_mark_what_each_criterion_picks():
    found = evaluation()
    figure = criteria_curves(found)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == [
        "silhouette: K = 3", "gap statistic: K = 3", "elbow: K = 3", "Davies-Bouldin: K = 3",
        "Calinski-Harabasz: K = 3", "BIC: K = 3",
    ]  # fmt: skip
    assert "they agree" in figure.get_suptitle().replace("\n", " ")


def test_pixels_that_change_are_bright():
    found = evaluation()
    changed = np.zeros((20, 30), np.float32)
    changed[3, 3], changed[0] = 1, np.nan
    image = stability_map(dataclasses.replace(found, changed=changed)).axes[0].get_images()[0].get_array()
    assert (image[3, 3], image[5, 5]) == (100, 0)
    assert np.ma.getmaskarray(np.ma.masked_invalid(image))[0].all()


def test_what_was_not_worked_out_is_not_drawn():
    bare = evaluate_segmentation(segmentation(latents=False))
    for draw, match in (
        (compared_maps, "against a reference"), (class_errors, "against a reference"),
        (class_confusion, "against a reference"), (criteria_curves, "criteria for K"), (stability_map, "stability"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            draw(bare)
