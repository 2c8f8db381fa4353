"""Measured scenes: the ground truth of SalinasA, and a film of one material."""

import numpy as np

from deepspec.data.cube import SpectralCube
from deepspec.evaluation import evaluate_segmentation, read_reference
from deepspec.evaluation.result import summary
from deepspec.segmentation import segment_cube
from tests.support.planted import LinearModel


def test_salinas_ground_truth(shared_data):
    found = read_reference(f"{shared_data / 'salinas_a' / 'SalinasA_gt.mat'}:salinasA_gt", ignore=0)
    assert found.labels.shape == (83, 86)
    assert found.names == ("1", "10", "11", "12", "13", "14")
    assert (found.labels >= 0).sum() == 5348


def test_a_painting_is_divided_into_colours(shared_data):
    found = read_reference(shared_data / "paintings" / "wave.jpg")
    assert found.labels.shape == (514, 928)
    assert 3 <= len(found.names) <= 10


def test_a_uniform_film_has_no_clusters_whatever_the_criteria_say(shared_data):
    with np.load(shared_data / "aps_xrf" / "aps_axo_std_counts.npz") as file:
        cube = SpectralCube.from_array(file["counts"].sum(2, dtype=np.float32))
    model = LinearModel(cube, steps=({"step": "rebin", "bins": 250}, "max"))
    found = evaluate_segmentation(segment_cube(cube, model, clusters="refit", k=(3, 8)), k=(3, 8))
    assert found.structure.verdict != "clear"
    assert found.stability.level == "unstable"
    printed = "\n".join(summary(found))
    assert "divides noise here" in printed or "take it for one material" in printed
