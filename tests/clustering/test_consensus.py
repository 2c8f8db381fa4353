"""The consensus of several networks against a brute-force reference, and what is asked of any partition."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score

from deepspec.clustering import Clusters, Consensus, ConsensusKMeans, NearestCentres, Valleys
from deepspec.errors import UserError


def planted(n=600, k=5, members=3, noise=0.5, seed=0):
    """Latents (n, 3 members) of k materials, of which every network has a picture of its own, and the material."""
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(n) % k
    parts = []
    for member in range(members):
        centres = 3 * torch.randn(k, 3, generator=generator)
        parts.append((10.0**member) * (centres[labels_N] + noise * torch.randn(n, 3, generator=generator)))
    return torch.cat(parts, 1), labels_N


def reference(z, members, ks):
    """K by scikit-learn's silhouettes averaged over the members, and K-means of the one-hot labels after PCA."""
    parts = np.split(z.double().numpy(), members, 1)

    def member_labels(k):
        return [KMeans(k, n_init=10, random_state=0).fit_predict(part) for part in parts]

    scores = {}
    for k in ks:
        scores[k] = np.mean([silhouette_score(part, own) for part, own in zip(parts, member_labels(k), strict=True)])
    k = max(scores, key=scores.get)
    labels = member_labels(k)
    votes = np.concatenate([np.eye(k)[own] for own in labels], 1)
    scored = PCA(min(24, votes.shape[1])).fit_transform(votes)
    return k, scores, labels, KMeans(k, n_init=20, random_state=0).fit_predict(scored)


@pytest.mark.parametrize("noise", [0.4, 1.2])
def test_against_brute_force(noise):
    z, truth = planted(noise=noise)
    found = ConsensusKMeans(3, n_init=10).fit(z, (3, 8), torch.Generator().manual_seed(1))
    k, scores, member_labels, labels = reference(z, 3, range(3, 9))
    assert found.k == k
    assert found.search.scores == pytest.approx(scores, abs=0.04)  # past the true K their local optima differ
    own = found.assign(z).numpy()
    assert adjusted_rand_score(own, labels) > 0.97
    for number, expected in enumerate(member_labels):
        assert adjusted_rand_score(found.member_labels(z)[:, number], expected) > 0.97
    single = [adjusted_rand_score(truth, expected) for expected in member_labels]
    assert adjusted_rand_score(truth, own) >= max(single) - 0.02  # a consensus is no worse than its best member here


def test_labels_are_the_nearest_centre_in_the_space_of_votes():
    z, _ = planted(noise=1.2)
    found = ConsensusKMeans(3).fit(z, 5, torch.Generator().manual_seed(1))
    assert found.centres.shape == (5, 9)
    one_hot = torch.nn.functional.one_hot(found.member_labels(z), 5).double()
    distances = (one_hot[:, None] - found.votes.double()).square().sum((2, 3))
    labels = found.assign(z)
    assert torch.equal(distances.argmin(1), labels)
    assert torch.equal(distances.gather(1, labels[:, None])[:, 0], distances.min(1).values)
    shares = torch.stack([one_hot[labels == cluster].mean(0) for cluster in range(5)])
    torch.testing.assert_close(found.votes.double(), shares, atol=0.02, rtol=0)
    means = torch.stack([z[labels == cluster].mean(0) for cluster in range(5)])
    torch.testing.assert_close(found.centres, means, atol=0.05 * float(means.abs().max()), rtol=0.05)
    sizes = labels.bincount().tolist()
    assert sizes == sorted(sizes, reverse=True)
    memberships = found.memberships(z)
    torch.testing.assert_close(memberships.sum(1), torch.ones(len(z)))
    assert torch.equal(memberships.argmax(1), labels)


def test_disagreement_is_the_share_of_the_members_that_say_otherwise():
    z, _ = planted(noise=1.2)
    found = ConsensusKMeans(3).fit(z, 5, torch.Generator().manual_seed(1))
    labels = found.assign(z)
    expected = []
    for point, label in zip(z, labels.tolist(), strict=True):
        votes = [
            int((found.member_centres[:, s] - point[3 * s : 3 * s + 3]).square().sum(1).argmin()) for s in range(3)
        ]
        expected.append(sum(vote != label for vote in votes) / 3)
    assert found.disagreement(z, labels).tolist() == pytest.approx(expected)
    assert 0.01 < np.mean(expected) < 0.4
    apart, _ = planted(noise=0.05)
    sure = ConsensusKMeans(3).fit(apart, 5, torch.Generator().manual_seed(1))
    assert not sure.disagreement(apart, sure.assign(apart)).any()
    assert NearestCentres(centres=found.centres).disagreement(z, labels) is None


def test_a_member_that_sees_nothing_is_outvoted():
    z, truth = planted(noise=0.3)
    z[:, 6:] = torch.randn(len(z), 3, generator=torch.Generator().manual_seed(9))
    found = ConsensusKMeans(3).fit(z, 5, torch.Generator().manual_seed(1))
    assert adjusted_rand_score(found.assign(z), truth) == 1
    assert 0.15 < float(found.disagreement(z, found.assign(z)).mean()) < 0.34


def test_other_order_and_checkpoint():
    z, _ = planted(noise=1.2)
    found = ConsensusKMeans(3).fit(z, 5, torch.Generator().manual_seed(1))
    order = torch.tensor([3, 1, 4, 0, 2])
    other = found.reordered(order)
    labels = other.assign(z)
    assert torch.equal(order[labels], found.assign(z))
    torch.testing.assert_close(other.disagreement(z, labels), found.disagreement(z, found.assign(z)))
    before, after = Clusters(9, 16), Clusters(9, 16)
    before.set(other)
    after.load_state_dict(before.state_dict())
    assert isinstance(after.partition, Consensus)
    assert torch.equal(after.assign(z), labels)
    assert torch.equal(after.partition.memberships(z), other.memberships(z))
    assert after.partition.search == other.search


def test_one_member_is_plain_iterative_k_means():
    z, truth = planted(members=1, noise=0.4)
    found = ConsensusKMeans(1).fit(z, (3, 8), torch.Generator().manual_seed(1))
    assert found.k == 5
    assert adjusted_rand_score(found.assign(z), truth) == 1
    assert not found.disagreement(z, found.assign(z)).any()


def test_bounds_and_latents_that_have_collapsed():
    z, _ = planted()
    assert ConsensusKMeans(3).fit(z, 1).k == 1
    with pytest.raises(UserError, match="4 usable pixels cannot be divided"):
        ConsensusKMeans(3).fit(z[:4], (3, 8))
    z[:, 3:6] = 0
    with pytest.raises(UserError, match="a network of the ensemble gives the spectra fewer than 3 different"):
        ConsensusKMeans(3).fit(z, (3, 8))


def test_valleys_give_each_member_the_same_say():
    z, truth = planted(n=1200, noise=0.3)  # the third has latents a hundred times as wide
    even = torch.cat([z[:, 3 * s : 3 * s + 3] / 10.0**s for s in range(3)], 1)
    found = Valleys("latents", members=3).fit(z, None, torch.Generator().manual_seed(1))
    same = Valleys("latents", members=3).fit(even, None, torch.Generator().manual_seed(1))
    assert found.k == same.k == 5
    assert adjusted_rand_score(found.assign(z), truth) > 0.99
    assert torch.equal(found.assign(z), same.assign(even))
