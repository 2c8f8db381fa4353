"""evaluate_segmentation, its files and its summary."""

import csv
import dataclasses
import json

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score

from deepspec.errors import UserError
from deepspec.evaluation import Reference, evaluate_segmentation
from deepspec.evaluation.files import as_dict, table_of_clusters, write_files
from deepspec.evaluation.result import NO_CLASS, summary
from deepspec.functional import score_agreement
from tests.evaluation.made import bands, segmentation


def shifted_reference():
    """The bands with other numbers, one and a half columns too far left, and no class in the first row."""
    labels = np.roll(bands(), -2, axis=1).astype(np.int64)
    labels[:10] = bands()[:10]
    labels = np.array([2, 0, 1])[labels]
    labels[0] = -1
    return Reference(labels, ("red", "green", "blue"), "truth.npy", "labels", notes=("a note",))


def test_agreement_is_that_of_the_pixels_with_both():
    reference = shifted_reference()
    found = evaluate_segmentation(segmentation(), reference, k=(2, 5), refits=3)
    kept = reference.labels >= 0
    assert found.agreement.points == kept.sum() == 570
    assert found.agreement.match_P.tolist() == [2, 0, 1]
    assert found.agreement.ari == pytest.approx(adjusted_rand_score(bands()[kept], reference.labels[kept]))
    wrong = (found.matched != reference.labels) & kept
    assert found.agreement.overall_accuracy == pytest.approx(1 - wrong.sum() / 570)
    assert found.notes == ("a note",)
    np.testing.assert_array_equal(found.compared, kept)


def test_options_of_the_tversky_index():
    found = evaluate_segmentation(segmentation(), shifted_reference(), refits=0, alpha=1.0, beta=0.0)
    torch.testing.assert_close(found.agreement.per_class["tversky"], found.agreement.per_class["recall"])


def test_a_mask_leaves_pixels_out():
    mask = np.zeros((20, 30), bool)
    mask[5:, :15] = True
    found = evaluate_segmentation(segmentation(), shifted_reference(), mask=mask, k=(2, 4), refits=2)
    assert found.agreement.points == 15 * 15
    assert (found.labels[~mask] == -1).all()
    assert np.isnan(found.changed[~mask]).all()
    assert not np.isnan(found.changed[mask]).any()
    assert "refits look for the 2 clusters that have pixels" in found.notes
    with pytest.raises(UserError, match="no pixel of the segmentation has a label"):
        evaluate_segmentation(segmentation(), mask=np.zeros((20, 30), bool))


def test_without_a_reference():
    made = segmentation()
    found = evaluate_segmentation(made, k=(2, 6), refits=4)
    assert found.agreement is found.reference is found.matched is None
    assert found.criteria.k == 3
    assert found.stability.ari == 1.0
    points, labels = made.latents.reshape(-1, 3), made.labels.ravel()
    assert found.internal.davies_bouldin == pytest.approx(davies_bouldin_score(points, labels), rel=0.05)
    assert found.internal.silhouette_samples.score > 0.85


def test_clusters_that_have_no_class():
    reference = dataclasses.replace(shifted_reference(), labels=np.where(bands() == 2, 1, 0).astype(np.int64))
    found = evaluate_segmentation(segmentation(), reference, refits=0)
    assert sorted(found.agreement.match_P.tolist()) == [-1, 0, 1]
    left = found.agreement.columns[-1]
    assert (found.matched[bands() == int(left)] == NO_CLASS).all()
    assert found.agreement.unmatched_share == pytest.approx(1 / 3)
    assert any("without a class: cluster" in line for line in summary(found))


def test_a_segmentation_without_latent_points_is_compared_all_the_same():
    found = evaluate_segmentation(segmentation(latents=False), shifted_reference())
    assert found.agreement is not None
    assert found.criteria is found.stability is found.internal is None
    assert "segment again" in found.notes[-1]


def test_one_cluster_and_few_pixels():
    made = segmentation(np.zeros((2, 3), np.int16))
    found = evaluate_segmentation(made, k=(3, 10))
    assert found.internal is found.criteria is found.stability is None
    assert "6 pixels cannot be divided into 10 clusters" in found.notes[0]
    assert "no stability" in found.notes[1]
    same = dataclasses.replace(segmentation(), latents=np.ones((20, 30, 3), np.float32))
    assert "fewer than 3 different latent points" in evaluate_segmentation(same, refits=0).notes[0]


def test_no_structure_is_said_whatever_the_criteria_say():
    found = evaluate_segmentation(segmentation(verdict="none"), k=(2, 5), refits=0)
    assert "any number of clusters divides noise here" in found.k_sentence
    assert "they agree. No evidence for more than one material" in found.k_sentence
    assert "divides noise" not in evaluate_segmentation(segmentation(), k=(2, 5), refits=0).k_sentence


def test_weak_structure_that_is_not_found_again_is_taken_for_one_material():
    cloud = np.random.default_rng(1).normal(size=(20, 30, 3)).astype(np.float32)
    noise = dataclasses.replace(segmentation(verdict="weak"), latents=cloud)
    assert "so take it for one material" in evaluate_segmentation(noise, k=(2, 5), refits=5).k_sentence
    stable = segmentation(verdict="weak")
    assert "take it for" not in evaluate_segmentation(stable, k=(2, 5), refits=5).k_sentence


def test_the_same_seed_gives_the_same_numbers():
    made = segmentation(spread=4.0)
    results = [as_dict(evaluate_segmentation(made, k=(2, 4), refits=3, seed=s), "s.h5") for s in (1, 1, 2)]
    assert results[0] == results[1]
    assert results[0]["stability"] != results[2]["stability"]


def test_wrong_sizes_are_refused():
    small = dataclasses.replace(shifted_reference(), labels=np.zeros((3, 3), np.int64))
    with pytest.raises(UserError, match=r"truth.npy has shape \(3, 3\), the segmentation \(20, 30\)"):
        evaluate_segmentation(segmentation(), small)
    nothing = dataclasses.replace(shifted_reference(), labels=np.full((20, 30), -1, np.int64))
    with pytest.raises(UserError, match="no pixel has both a cluster and a class"):
        evaluate_segmentation(segmentation(), nothing)


def test_files_hold_every_number(tmp_path):
    reference = dataclasses.replace(shifted_reference(), names=("red", "green", "blue", "absent"))
    found = evaluate_segmentation(segmentation(), reference, k=(2, 5), refits=3)
    write_files(found, tmp_path, "s/segmentation.h5")
    numbers = json.loads((tmp_path / "evaluation.json").read_text())
    agreement = found.agreement
    assert {name: numbers["agreement"][name] for name in agreement.scalars()} == pytest.approx(agreement.scalars())
    assert numbers["agreement"]["contingency"] == agreement.table_PR.tolist()
    again = score_agreement(torch.tensor(numbers["agreement"]["contingency"]))
    assert again.scalars() == pytest.approx(agreement.scalars())
    assert numbers["agreement"]["per_class"]["absent"]["f1"] is None
    assert numbers["agreement"]["per_class"]["red"]["cluster"] == 1
    assert numbers["number_of_clusters"]["picks"]["silhouette"] == 3
    assert set(numbers["number_of_clusters"]["curves"]["gap"]) == {"1", "2", "3", "4", "5"}
    assert len(numbers["stability"]["jaccard"]) == 3
    with (tmp_path / "clusters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["red", "green", "blue", "absent"]
    assert float(rows[0]["f1"]) == pytest.approx(float(agreement.per_class["f1"][0]), abs=1e-6)
    assert [rows[3][key] for key in ("cluster", "f1", "class_pixels")] == ["", "", "0"]
    with h5py.File(tmp_path / "maps.h5") as file:
        np.testing.assert_array_equal(file["matched"], found.matched)
        np.testing.assert_array_equal(file["reference"], reference.labels)
        np.testing.assert_array_equal(file["changed"], found.changed)


def test_the_table_lists_clusters_without_a_class():
    reference = dataclasses.replace(shifted_reference(), labels=np.zeros((20, 30), np.int64), names=("all",))
    found = evaluate_segmentation(segmentation(), reference, refits=0)
    table = table_of_clusters(found)
    assert len({len(row) for row in table}) == 1
    assert [row[0] for row in table[1:]] == ["all", "", ""]
    assert sum(row[3] for row in table[1:]) == 600


def test_the_summary_is_in_words():
    lines = summary(evaluate_segmentation(segmentation(), shifted_reference(), k=(2, 5), refits=3))
    assert lines[0] == "3 clusters against 3 classes of truth.npy, 570 pixels that have both"
    assert "of the pixels are in the cluster of their class" in lines[1]
    assert any(line.startswith("  class red, ") and "is in cluster 1" in line for line in lines)
    assert any("silhouette picks K = 3" in line for line in lines)
    assert any(line.startswith("stable under resampling alone: 3 refits") for line in lines)
    assert lines[-1] == "note: a note"
