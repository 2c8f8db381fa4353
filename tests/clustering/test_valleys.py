"""How many materials are there? Made counts and clouds whose answer is known."""

import numpy as np
import pytest
import torch
from scipy.stats import multinomial
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from deepspec.clustering import CountSpectra, Gaussians, Valleys
from deepspec.clustering.counts import CountEvidence
from deepspec.errors import UserError
from tests.clustering.counts import drawn, spectra


def latents(x_NC):
    """Points that are no better than what a network would give: three principal components of the roots."""
    return torch.from_numpy(PCA(3, random_state=0).fit_transform(np.sqrt(x_NC))).float()


def found_in(x_NC, k=None, seed=0, **options):
    z_NL = latents(x_NC)
    partition = Valleys(**options).fit(z_NL, k, torch.Generator().manual_seed(seed), torch.from_numpy(x_NC))
    return partition, partition.assign(z_NL, torch.from_numpy(x_NC)).numpy()


@pytest.mark.parametrize("materials", [2, 5, 8])
def test_materials_are_counted_and_told_apart_as_well_as_their_spectra_allow(materials):
    rng = np.random.default_rng(materials)
    truth_N = rng.integers(0, materials, 3000)
    known_KC = spectra(materials, seed=materials)
    x_NC = drawn(known_KC, truth_N, 400)
    partition, labels_N = found_in(x_NC)
    limit = adjusted_rand_score(truth_N, (x_NC @ np.log(known_KC).T).argmax(1))
    assert isinstance(partition, CountSpectra)
    assert partition.k == materials
    assert adjusted_rand_score(truth_N, labels_N) >= limit - 0.005
    assert np.bincount(labels_N).tolist() == sorted(np.bincount(labels_N).tolist(), reverse=True)
    assert partition.dispersion == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(partition.log_spectra.exp().sum(1), 1, rtol=1e-5)


def brightness(n, rng):
    return 400 * rng.normal(1, 0.3, n).clip(0.1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("counts", [400, 20_000, brightness], ids=["400", "20000", "varying"])
def test_one_material_is_one_cluster(seed, counts):
    rng = np.random.default_rng(seed)
    counts_N = counts(2000, rng) if callable(counts) else counts
    x_NC = drawn(spectra(1), np.zeros(2000, dtype=int), counts_N, seed=seed)
    partition, labels_N = found_in(x_NC, seed=seed)
    assert partition.k == 1
    assert (labels_N == 0).all()
    assert partition.search.borders == ((1.0,),)


@pytest.mark.parametrize("counts", [400, 4000])
def test_a_gradient_has_no_border(counts):
    rng = np.random.default_rng(0)
    share_N1, ends_2C = rng.random((3000, 1)), spectra(2)
    x_NC = rng.poisson(counts * (share_N1 * ends_2C[0] + (1 - share_N1) * ends_2C[1])).astype(np.float32)
    assert found_in(x_NC)[0].k == 1


def test_exposure_does_not_change_a_label():
    truth_N = np.random.default_rng(0).integers(0, 4, 2000)
    known_KC = spectra(4)
    partition, labels_N = found_in(drawn(known_KC, truth_N, 2000))
    z_NL = torch.zeros(2000, 3)  # which have no say
    for factor in (0.25, 0.5, 2):
        other = partition.assign(z_NL, torch.from_numpy(drawn(known_KC, truth_N, 2000 * factor, seed=7))).numpy()
        assert adjusted_rand_score(labels_N, other) > 0.99
    exact = torch.from_numpy(drawn(known_KC, truth_N, 2000))
    assert torch.equal(partition.assign(z_NL, exact), partition.assign(z_NL, 2 * exact))


@pytest.mark.parametrize("k", [1, 3, 6])
def test_as_many_as_asked_for(k):
    truth_N = np.random.default_rng(0).integers(0, 4, 2000)
    partition, labels_N = found_in(drawn(spectra(4), truth_N, 400), k)
    assert partition.k == k == len(np.unique(labels_N))


def test_the_tree_joins_what_is_least_divided_first():
    truth_N = np.random.default_rng(0).integers(0, 4, 3000)
    known_KC = spectra(4)
    known_KC[1] = 0.8 * known_KC[0] + 0.2 * known_KC[1]  # two alike
    x_NC = drawn(known_KC, truth_N, 1500)
    partition, labels_N = found_in(x_NC)
    search = partition.search
    assert partition.k == 4
    ratios = [merge.r for merge in search.tree.merges]
    assert ratios == sorted(ratios, reverse=True)
    assert search.tree.count(0.85) == 4
    z_NL, spectra_NC = latents(x_NC), torch.from_numpy(x_NC)
    own_NK = partition.leaves(z_NL, spectra_NC)
    leaf_N = own_NK.gather(1, torch.from_numpy(labels_N)[:, None])[:, 0]
    assert (np.array(search.parents)[leaf_N.numpy()] == labels_N).all()
    parts = np.empty(search.tree.leaves, dtype=int)
    for cluster, leaves in enumerate(search.tree.clusters(3)):
        parts[leaves] = cluster
    alike = np.where(truth_N == 1, 0, truth_N)
    assert adjusted_rand_score(alike, parts[leaf_N.numpy()]) > 0.99


def test_the_same_seed_gives_the_same_clusters_and_a_state_comes_back():
    x_NC = drawn(spectra(3), np.random.default_rng(0).integers(0, 3, 1500), 400)
    first, labels_N = found_in(x_NC)
    again, labels_again_N = found_in(x_NC)
    assert torch.equal(first.log_spectra, again.log_spectra)
    assert (labels_N == labels_again_N).all()
    back = CountSpectra.from_state(first.state())
    assert back.search == first.search
    assert torch.equal(back.log_scores(latents(x_NC), torch.from_numpy(x_NC)),
                       first.log_scores(latents(x_NC), torch.from_numpy(x_NC)))  # fmt: skip
    if first.finer is not None:
        assert torch.equal(back.finer.log_spectra, first.finer.log_spectra)


def test_what_no_cluster_explains():
    rng = np.random.default_rng(0)
    known_KC = spectra(4)
    x_NC = drawn(known_KC[:3], rng.integers(0, 3, 3000), 2000)
    partition, labels_N = found_in(x_NC)
    z_NL = torch.zeros(3000, 3)
    own_N = partition.unexplained(z_NL, torch.from_numpy(labels_N), torch.from_numpy(x_NC))
    assert float(own_N.float().mean()) < 0.002
    strange = torch.from_numpy(drawn(known_KC[3:], np.zeros(100, dtype=int), 2000))
    labels_n = partition.assign(z_NL[:100], strange)
    assert partition.unexplained(z_NL[:100], labels_n, strange).all()


def test_valleys_of_latent_points():
    rng = np.random.default_rng(0)
    truth_N = rng.choice(4, 2000, p=[0.5, 0.3, 0.15, 0.05])
    centres = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [5, 5, 5]])
    z_NL = torch.from_numpy(centres[truth_N] + rng.normal(0, 1, (2000, 3))).float()
    partition = Valleys().fit(z_NL, None, torch.Generator().manual_seed(0))
    assert isinstance(partition, Gaussians)
    assert partition.k == 4
    assert adjusted_rand_score(truth_N, partition.assign(z_NL)) > 0.98
    one = Valleys().fit(torch.randn(2000, 3, generator=torch.Generator().manual_seed(1)), None, torch.Generator())
    assert one.k == 1


def test_mistakes():
    with pytest.raises(UserError, match=r"clusterer.firm: expected above 0 and at most 1, got 1.5"):
        Valleys(firm=1.5)
    with pytest.raises(UserError, match="needs the spectra"):
        Valleys("counts").fit(torch.randn(50, 2))
    with pytest.raises(UserError, match="8 usable pixels cannot be divided into 9 to 9 clusters"):
        Valleys().fit(torch.randn(8, 2), 9)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("evidence", ["counts", "latents"])
def test_of_borders_that_are_all_firm_the_one_whose_merge_loses_least_is_given_up(evidence, seed):
    """Two materials that resemble each other among five, all with an empty valley between them: they go together."""
    known_KC = spectra(5, seed=11)
    known_KC[3] = 0.5 * known_KC[1] + 0.5 * known_KC[3]
    truth_N = np.random.default_rng(seed).integers(0, 5, 2000)
    x_NC = drawn(known_KC, truth_N, 4000, seed=seed)
    whole, _ = found_in(x_NC, evidence=evidence, seed=seed)
    assert whole.k == 5
    _, labels_N = found_in(x_NC, 4, evidence=evidence, seed=seed)
    assert adjusted_rand_score(np.where(truth_N == 3, 1, truth_N), labels_N) == 1


def test_the_loss_of_a_merge_is_that_of_the_multinomial_likelihood():
    known_KC = spectra(2, seed=4)
    labels_N = np.arange(200) % 2
    x_NC = drawn(known_KC, labels_N, 300)
    evidence = CountEvidence(torch.from_numpy(x_NC), torch.Generator().manual_seed(0))
    sums_KC = np.stack([x_NC[labels_N == k].sum(0) for k in (0, 1)]).astype(float)
    each = [multinomial.logpmf(row, int(row.sum()), row / row.sum()) for row in sums_KC]
    both = sums_KC.sum(0) / sums_KC.sum()
    together = [multinomial.logpmf(row, int(row.sum()), both) for row in sums_KC]
    groups = [evidence.group(labels_N == k) for k in (0, 1)]
    assert evidence.loss(*groups) == pytest.approx(sum(each) - sum(together), rel=1e-6)
    assert evidence.loss(groups[0], groups[0]) == pytest.approx(0, abs=1e-6)
