import itertools

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from deepspec.functional import kmeans, stability
from deepspec.functional.stability import _jaccard, _nearest


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clouds(k, n=1200, apart=10.0):
    labels = torch.arange(n) % k
    return apart * torch.eye(k)[labels] + torch.randn(n, k, generator=generator()), labels


def test_clear_clouds_are_found_again():
    x, labels = clouds(4)
    found = stability(x, labels, 4, refits=6, sample=500, generator=generator())
    assert found.ari == found.pairwise_ari == 1.0
    assert found.jaccard_K.tolist() == [1, 1, 1, 1]
    assert (found.changed_N == 0).all()
    assert found.sentence.startswith("stable under resampling alone: 6 refits")


def test_too_many_clusters_are_not():
    x = torch.randn(1200, 3, generator=generator())
    labels = kmeans(x, 6, generator=generator()).labels
    found = stability(x, labels, 6, refits=8, sample=600, generator=generator(1))
    assert found.ari < 0.75
    assert "unstable" in found.sentence
    assert "not to be trusted: cluster" in found.sentence
    assert 0.1 < float(found.changed_N.mean()) < 0.9
    assert found.changed_N.max() <= 1


def test_pixels_between_clusters_change_most():
    x = torch.linspace(0, 1, 2000)[:, None]
    labels = (x[:, 0] > 0.5).long()
    found = stability(x, labels, 2, refits=20, sample=200, generator=generator())
    inner, border = found.changed_N[(x[:, 0] - 0.5).abs() > 0.2], found.changed_N[(x[:, 0] - 0.5).abs() < 0.01]
    assert (inner == 0).all()
    assert border.mean() > 0.2
    assert found.ari_sd > 0


def test_numbers_of_the_partition_do_not_matter():
    x, _ = clouds(3, apart=3.0)
    labels = kmeans(x, 3, generator=generator()).labels
    plain = stability(x, labels, 3, refits=4, generator=generator(2))
    turned = stability(x, (labels + 1) % 3, 3, refits=4, generator=generator(2))
    assert plain.ari == pytest.approx(turned.ari)
    assert torch.equal(plain.changed_N, turned.changed_N)
    assert plain.jaccard_K.tolist() == pytest.approx(turned.jaccard_K[[1, 2, 0]].tolist())


def test_rand_index_and_jaccard_by_hand():
    x, _ = clouds(3, n=90, apart=2.0)
    labels = kmeans(x, 3, generator=generator()).labels
    found = stability(x, labels, 3, refits=3, sample=90, n_init=1, generator=generator(5))
    again = generator(5)
    refits = []
    for _ in range(3):
        drawn = torch.randint(90, (90,), generator=again)
        refits.append(torch.cdist(x, kmeans(x[drawn], 3, generator=again).cluster_centers).argmin(1))
    assert found.ari == pytest.approx(sum(adjusted_rand_score(labels, refit) for refit in refits) / 3)
    pairs = [adjusted_rand_score(a, b) for a, b in itertools.combinations(refits, 2)]
    assert found.pairwise_ari == pytest.approx(sum(pairs) / 3)
    table = torch.tensor([[0, 8], [5, 2]])
    assert _jaccard(table, torch.tensor([1, 0])).tolist() == pytest.approx([5 / 7, 8 / 10])


def test_nearest_far_from_the_origin():
    centres = torch.tensor([[1e4, 0.0], [1e4 + 1, 0.0]])
    points = torch.tensor([[1e4 + 0.4, 0.0], [1e4 + 0.6, 3.0]])
    assert _nearest(points, centres).tolist() == [0, 1]


def test_impossible_numbers_are_refused():
    x, labels = clouds(2, n=10)
    with pytest.raises(ValueError, match="k = 11, 10 points"):
        stability(x, labels, 11)
    with pytest.raises(ValueError, match="refits >= 2"):
        stability(x, labels, 2, refits=1)
    with pytest.raises(ValueError, match="labels below 2, got 2"):
        stability(x, labels + 1, 2)
