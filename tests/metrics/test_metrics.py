"""The metrics against scikit-learn and the functional forms, in batches and on two ranks with uneven shares."""

import numpy as np
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score
from torchmetrics import MetricCollection

from deepspec.functional import contingency_table, score_agreement, silhouette_score
from deepspec.metrics import CalinskiHarabasz, ClusterAgreement, DaviesBouldin, Silhouette
from tests.metrics.two_ranks import on_two_ranks

K, L, N = 5, 3, 1700
SHARES = [slice(0, 1200), slice(1200, None)]  # of two ranks: 1200 and 500 points, in 4 batches and 1
BATCHES = [[slice(0, 7), slice(7, 300), slice(300, 301), slice(301, 1200)], [slice(0, 500)]]


def points():
    """Clouds on a grid of 1/64: sums of such numbers are exact, so that their order cannot matter."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.multinomial(torch.tensor([0.5, 0.3, 0.1, 0.08, 0.02]), N, replacement=True, generator=generator)
    centres = 5 * torch.randn(K, L, generator=generator)
    x = centres[labels] + torch.randn(N, L, generator=generator)
    reference = (labels + (torch.rand(N, generator=generator) < 0.2)) % 4
    reference[::50] = -1
    return (64 * x).round() / 64, labels, reference


def means(x, labels):
    return torch.stack([x[labels == k].double().mean(0) for k in range(K)])


def grid_centres(x, labels):
    return (64 * means(x, labels)).round() / 64


def all_metrics():
    x, labels, _ = points()
    centres = grid_centres(x, labels)
    return ClusterAgreement(K, 4), CalinskiHarabasz(centres), DaviesBouldin(centres), Silhouette(K, L, per_cluster=60)


def feed(metrics, rows):
    agreement, ch, db, silhouette = metrics
    x, labels, reference = points()
    index = torch.arange(N)
    mask = index % 7 != 0
    agreement.update(labels[rows], reference[rows], mask[rows])
    ch.update(x[rows], labels[rows])
    db.update(x[rows], labels[rows])
    silhouette.update(x[rows], labels[rows], index[rows])


def results(metrics):
    return [{k: v.item() for k, v in m.items()} if isinstance(m, dict) else m.item() for m in map(_compute, metrics)]


def _compute(metric):
    return metric.compute()


def _work(rank):
    metrics = all_metrics()
    start = SHARES[rank].start
    for batch in BATCHES[rank]:
        feed(metrics, slice(start + batch.start, start + batch.stop))
    return results(metrics), metrics[0].agreement().table_PR, metrics[0].table


@pytest.mark.ddp
def test_two_ranks_with_uneven_shares_are_one_process():
    whole = all_metrics()
    feed(whole, slice(0, N))
    expected = results(whole)
    (first, table, own), (second, _, _) = on_two_ranks(_work)
    assert first == second
    # Counts, sums on the grid and the sample: to the last bit. Distances are roots, whose sum depends on the order.
    assert [first[0], first[1], first[3]] == [expected[0], expected[1], expected[3]]
    assert first[2] == pytest.approx(expected[2], rel=1e-13)
    torch.testing.assert_close(table, whole[0].table)
    assert own.sum() < table.sum()  # the state of a rank is its own again after computing


def test_agreement_is_that_of_one_table():
    _, labels, reference = points()
    metric = ClusterAgreement(K + 3, 4)
    for rows in SHARES:
        metric.update(labels[rows], reference[rows])
    expected = score_agreement(contingency_table(labels, reference)).scalars()
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(expected)
    metric.reset()
    metric.update(labels, torch.full_like(labels, -1))
    with pytest.raises(ValueError, match="0 points"):
        metric.compute()


def test_agreement_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="one cluster and one class"):
        ClusterAgreement(0, 3)
    metric = ClusterAgreement(2, 2)
    with pytest.raises(ValueError, match="predicted: expected labels below 2, got 2"):
        metric.update(torch.tensor([2]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"one shape, got \(2,\), \(2,\) and \(3,\)"):
        metric.update(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.ones(3))
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.zeros(2, dtype=torch.bool))
    assert metric.table.sum() == 0


def test_centroid_indices_equal_scikit_learn():
    x, labels, _ = points()
    pair = MetricCollection(CalinskiHarabasz(means(x, labels)), DaviesBouldin(means(x, labels)))
    for rows in SHARES:
        pair.update(x[rows], labels[rows])
    found = pair.compute()
    assert found["CalinskiHarabasz"].item() == pytest.approx(calinski_harabasz_score(x.double(), labels), rel=1e-10)
    assert found["DaviesBouldin"].item() == pytest.approx(davies_bouldin_score(x.double(), labels), rel=1e-10)
    far = CalinskiHarabasz(torch.zeros(K, L))  # about any centres
    far.update(x, labels)
    assert far.compute().item() == pytest.approx(calinski_harabasz_score(x.double(), labels), rel=1e-9)
    lonely = DaviesBouldin(torch.zeros(2, 3))
    lonely.update(x, torch.zeros(N, dtype=torch.int64))
    assert lonely.compute().isnan()


@pytest.mark.parametrize("dimensions", [L, 40])  # latent points, spectra
def test_silhouette_is_exact_where_everything_is_kept(dimensions):
    x, labels, _ = points()
    x = torch.cat([x, torch.randn(N, dimensions - L)], 1)
    metric = Silhouette(K, dimensions, per_cluster=N)
    for rows in reversed(SHARES):
        metric.update(x[rows], labels[rows], torch.arange(N)[rows])
    found = metric.compute()
    for average in ("samples", "clusters"):
        exact = silhouette_score(x.double(), labels, average=average).item()
        assert found[f"silhouette_{average}"].item() == pytest.approx(exact, abs=1e-9)


def test_silhouette_sample_is_bounded_near_and_independent_of_order():
    x, labels, _ = points()
    generator = torch.Generator().manual_seed(1)
    found = []
    for order in (torch.arange(N), torch.randperm(N, generator=generator)):
        metric = Silhouette(K, L, per_cluster=60)
        for rows in torch.split(order, 111):
            metric.update(x[rows], labels[rows], rows)
        assert metric.reservoir.shape == (K, 60, 1 + L)
        found.append({name: value.item() for name, value in metric.compute().items()})
    assert found[0] == found[1]


def test_silhouette_samples_are_right_on_average():
    x, labels, _ = points()
    found = {"samples": [], "clusters": []}
    for first in range(0, 30 * N, N):  # other indices, other samples
        metric = Silhouette(K, L, per_cluster=60)
        metric.update(x, labels, torch.arange(first, first + N))
        for average, values in found.items():
            values.append(metric.compute()[f"silhouette_{average}"].item())
    for average, values in found.items():
        exact = silhouette_score(x, labels, average=average).item()
        assert np.std(values) < 0.05
        assert np.mean(values) == pytest.approx(exact, abs=0.015)


def test_silhouette_takes_a_point_once_and_samples_evenly():
    metric = Silhouette(2, 1, per_cluster=100)
    n = 20_000
    index = torch.arange(n).repeat(2)
    metric.update((index[:, None] / n).float(), index % 2, index)
    kept = metric.reservoir[..., 1].flatten().numpy()
    assert len(np.unique(kept)) == 200
    counts = np.histogram(kept, 4, (0, 1))[0]
    assert counts.min() > 30  # of 50 expected


def test_silhouette_of_one_cluster_and_of_wrong_shapes():
    metric = Silhouette(3, 2)
    metric.update(torch.randn(9, 2), torch.zeros(9, dtype=torch.int64), torch.arange(9))
    assert metric.compute()["silhouette_samples"].isnan()
    with pytest.raises(ValueError, match="values below 3, got 3"):
        metric.update(torch.randn(1, 2), torch.tensor([3]), torch.tensor([1]))
    with pytest.raises(ValueError, match=r"points \(N, 2\)"):
        metric.update(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64), torch.arange(4))
    with pytest.raises(ValueError, match="per_cluster >= 2"):
        Silhouette(3, 2, per_cluster=1)
