"""Scores after matching against scikit-learn, with rectangular tables, empty classes and left-over clusters."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics

from deepspec.functional import (
    contingency_table,
    match_labels,
    purity,
    score_agreement,
    shared_information,
    tversky_index,
)
from deepspec.functional.agreement import count_pairs
from deepspec.functional.agreement_scores import SCORES


def two_labellings(p, r, n=500, seed=0):
    """Labels that agree but for a third of the points, with their numbers shuffled."""
    rng = np.random.default_rng(seed)
    reference = rng.choice(r, n, p=rng.dirichlet(np.full(r, 3.0)))
    predicted = np.where(rng.random(n) < 0.33, rng.integers(0, p, n), rng.permutation(max(p, r))[reference] % p)
    return torch.from_numpy(predicted), torch.from_numpy(reference)


def matched_by_hand(predicted, reference, match):
    """Each cluster's class; clusters without one get numbers beyond the classes."""
    r = int(reference.max()) + 1
    return np.array([match[c] if match[c] >= 0 else r + c for c in predicted.tolist()])


@pytest.mark.parametrize(("p", "r"), [(4, 4), (6, 3), (3, 6), (1, 4), (4, 1)])
def test_scores_equal_scikit_learn(p, r):
    predicted, reference = two_labellings(p, r)
    found = score_agreement(contingency_table(predicted, reference))
    mapped = matched_by_hand(predicted, reference, found.match_P.tolist())
    present = sorted(set(reference.tolist()))
    expected = metrics.precision_recall_fscore_support(reference, mapped, labels=present, zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(found.per_class[name][present], values, atol=1e-12)
    for average, means in (("macro", found.macro), ("weighted", found.weighted)):
        expected = metrics.precision_recall_fscore_support(
            reference, mapped, labels=present, average=average, zero_division=0
        )
        assert (means["precision"], means["recall"], means["f1"]) == pytest.approx(expected[:3], abs=1e-12)
        iou = metrics.jaccard_score(reference, mapped, labels=present, average=average, zero_division=0)
        assert means["iou"] == pytest.approx(iou, abs=1e-12)
        assert means["dice"] == means["f1"]
    assert found.overall_accuracy == pytest.approx(metrics.accuracy_score(reference, mapped))
    assert found.weighted["recall"] == pytest.approx(found.overall_accuracy)
    each = [metrics.accuracy_score(reference == c, mapped == c) for c in present]
    np.testing.assert_allclose(found.per_class["accuracy"][present], each)
    numbers = [*range(r), *(r + c for c, m in enumerate(found.match_P.tolist()) if m < 0)]
    confusion = metrics.confusion_matrix(reference, mapped, labels=numbers)[:r]
    np.testing.assert_array_equal(found.confusion, confusion)
    assert float(found.normalised_confusion.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(("p", "r"), [(4, 4), (6, 3), (1, 4), (4, 1), (1, 1)])
def test_information_equals_scikit_learn(p, r):
    predicted, reference = two_labellings(p, r, seed=3)
    found = shared_information(contingency_table(predicted, reference))
    expected = metrics.homogeneity_completeness_v_measure(reference, predicted)
    assert (found.homogeneity, found.completeness, found.v_measure) == pytest.approx(expected, abs=1e-12)
    assert found.nmi == pytest.approx(metrics.normalized_mutual_info_score(reference, predicted), abs=1e-12)


def test_purity_by_hand():
    predicted, reference = two_labellings(7, 3)
    table = contingency_table(predicted, reference)
    best = sum(np.bincount(reference[predicted == c]).max() for c in range(7))
    assert purity(table) == pytest.approx(best / 500)


def test_tversky_index_by_hand_and_its_special_cases():
    tp, fp, fn = torch.tensor([6, 0, 0, 3]), torch.tensor([2, 4, 0, 0]), torch.tensor([4, 5, 0, 0])
    found = tversky_index(tp, fp, fn)
    assert found[:2].tolist() == pytest.approx([6 / (6 + 0.7 * 4 + 0.3 * 2), 0])
    assert math.isnan(found[2])
    assert found[3] == 1
    assert tversky_index(tp, fp, fn, alpha=1, beta=0)[0] == pytest.approx(6 / 10)
    assert tversky_index(torch.tensor(0), torch.tensor(0), torch.tensor(5), alpha=0, beta=1) == 0
    with pytest.raises(ValueError, match="alpha >= 0"):
        tversky_index(tp, fp, fn, alpha=-1)


def test_options_of_the_tversky_index_reach_it():
    table = torch.tensor([[6, 2], [4, 8]])
    assert score_agreement(table, alpha=0.5, beta=0.5).macro["tversky"] == score_agreement(table).macro["f1"]
    assert score_agreement(table, alpha=0.0, beta=1.0).macro["tversky"] == score_agreement(table).macro["precision"]


def test_empty_classes_are_in_no_mean_and_left_over_clusters_are_counted():
    table = torch.tensor([[90, 0, 0], [0, 0, 5], [0, 0, 3], [2, 0, 0]])
    found = score_agreement(table)
    assert found.match_P.tolist() == [0, 2, -1, -1]
    for name in SCORES:
        assert math.isnan(found.per_class[name][1])
    assert found.macro["recall"] == pytest.approx((90 / 92 + 5 / 8) / 2)
    assert found.unmatched_share == pytest.approx(5 / 100)
    assert found.unfound_share == 0
    assert found.columns.tolist() == [0, -1, 1, 2, 3]
    assert found.confusion.tolist() == [[90, 0, 0, 0, 2], [0, 0, 0, 0, 0], [0, 0, 5, 3, 0]]
    turned = score_agreement(table.T.contiguous())
    assert turned.unfound_share == pytest.approx(5 / 100)
    assert turned.per_class["recall"].tolist() == [1, 1, 0, 0]
    assert turned.per_class["precision"][2:].tolist() == [0, 0]


def test_clusters_that_share_no_point_are_not_matched():
    table = torch.tensor([[5, 0], [3, 0]])
    assert (match_labels(table) >= 0).all()
    assert score_agreement(table).match_P.tolist() == [0, -1]


def test_perfect_agreement_is_one_everywhere():
    _, reference = two_labellings(4, 4)
    scalars = score_agreement(contingency_table((reference + 1) % 4, reference)).scalars()
    assert {scalars.pop("unmatched_share"), scalars.pop("unfound_share")} == {0.0}
    assert scalars == pytest.approx(dict.fromkeys(scalars, 1.0))


def test_tables_of_parts_add_up():
    predicted, reference = two_labellings(4, 5)
    parts = [count_pairs(predicted[rows], reference[rows], 4, 5) for rows in (slice(0, 10), slice(10, None))]
    assert torch.equal(parts[0] + parts[1], contingency_table(predicted, reference))
    assert count_pairs(torch.tensor([-1]), torch.tensor([0]), 2, 2).sum() == 0
    with pytest.raises(ValueError, match="reference: expected labels below 4, got 4"):
        count_pairs(predicted, reference, 4, 4)


def test_a_table_without_points_is_refused():
    with pytest.raises(ValueError, match="0 points"):
        score_agreement(torch.zeros(2, 2, dtype=torch.int64))
