"""What each network of an ensemble says by itself of clusters that were found in the latents of all."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from deepspec.clustering import ClustererConfig, Clusters, CountSpectra, Gaussians
from deepspec.clustering.base import Votes
from tests.clustering.counts import drawn, spectra

PLACES = torch.tensor([[-6.0, 0.0], [0.0, 6.0], [6.0, 0.0]])


def side_by_side(blind=None, n=900, seed=0):
    """Latents (n, 6) of three networks that see three materials; to the blind one the last two are the same."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    parts = []
    for network in range(3):
        seen = labels.clamp(max=1) if network == blind else labels
        parts.append(PLACES[seen] + torch.randn(n, 2, generator=generator))
    return torch.cat(parts, 1), labels


def fitted(kind, z, spectra=None):
    """Clusters of three networks."""
    return ClustererConfig(kind=kind).build(3).fit(z, None, torch.Generator().manual_seed(1), spectra)


@pytest.mark.parametrize("kind", ["valleys", "gmm"])
def test_a_network_that_sees_no_border_disagrees_on_one_side_of_it(kind):
    z, truth = side_by_side(blind=1)
    found = fitted(kind, z)
    labels = found.assign(z)
    assert adjusted_rand_score(labels, truth) > 0.98
    disagreement = found.disagreement(z, labels)
    lost = {0, 1, 2} - set(found.by_network.numbers[1].tolist())  # the cluster that it calls by its neighbour's number
    assert len(lost) == 1
    of_the_lost = labels == lost.pop()
    assert disagreement[of_the_lost].mean() == pytest.approx(1 / 3, abs=0.02)
    assert disagreement[~of_the_lost].mean() < 0.02


def test_networks_that_see_the_same_agree():
    z, _ = side_by_side()
    found = fitted("valleys", z)
    assert found.k == 3
    assert found.disagreement(z, found.assign(z)).mean() < 0.01


def test_a_network_that_divides_further_agrees():
    z, _ = side_by_side()
    found = fitted("valleys", z)
    finer = ClustererConfig(kind="gmm").build().fit(z[:, :2], 6, torch.Generator().manual_seed(2))
    table = np.zeros((finer.k, found.k))
    np.add.at(table, (finer.assign(z[:, :2]).numpy(), found.assign(z).numpy()), 1)
    partitions = (finer, *found.by_network.partitions[1:])
    numbers = (torch.from_numpy(table.argmax(1)), *found.by_network.numbers[1:])
    other = replace(found, by_network=Votes(partitions, numbers))
    assert other.disagreement(z, other.assign(z)).mean() < 0.02


@pytest.mark.parametrize("counted", [False, True], ids=["latents", "counts"])
def test_order_device_and_checkpoint_keep_the_votes(counted):
    z, truth = side_by_side(blind=2)
    x = torch.from_numpy(drawn(spectra(3), truth.numpy(), 500)) if counted else None
    found = fitted("valleys", z, x)
    assert isinstance(found, CountSpectra if counted else Gaussians)
    expected = found.disagreement(z, found.assign(z, x), x)
    order = torch.tensor([2, 0, 1])
    other = found.reordered(order).to("cpu")
    labels = other.assign(z, x)
    assert torch.equal(order[labels], found.assign(z, x))
    torch.testing.assert_close(other.disagreement(z, labels, x), expected)
    before, after = Clusters(6, 8), Clusters(6, 8)
    before.set(other)
    after.load_state_dict(before.state_dict())
    torch.testing.assert_close(after.partition.disagreement(z, labels, x), expected)


def test_clusters_of_counts_are_asked_as_another_detector_sees_them():
    z, truth = side_by_side()
    p = spectra(3)
    found = fitted("valleys", z, torch.from_numpy(drawn(p, truth.numpy(), 2000)))
    response = torch.linspace(1.5, -1.5, p.shape[1])
    bent = p * response.exp().numpy()
    x = torch.from_numpy(drawn(bent / bent.sum(1, keepdims=True), truth.numpy(), 2000, seed=9))
    seen = found.seen_by(response)
    assert adjusted_rand_score(seen.assign(z, x), truth) > 0.99
    assert seen.disagreement(z, seen.assign(z, x), x).mean() < 0.01


def test_a_single_network_has_no_vote():
    z, _ = side_by_side()
    found = ClustererConfig(kind="valleys").build().fit(z, None, torch.Generator().manual_seed(1))
    assert found.by_network is None
    assert found.disagreement(z, found.assign(z)) is None
