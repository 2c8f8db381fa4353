"""Partitions against closed forms, and the clusterers of scikit-learn behind the seam."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, multinomial, multivariate_normal
from sklearn.metrics import adjusted_rand_score

from deepspec.clustering import (
    ClustererConfig,
    Clusters,
    CountSpectra,
    GaussianMixtures,
    Gaussians,
    Hdbscan,
    IKMeans,
    NearestCentres,
)
from deepspec.clustering.partitions import bins_of, chi_squares
from deepspec.errors import UserError


def clouds(sizes=(900, 500, 100), seed=0):
    rng = np.random.default_rng(seed)
    centres = 7 * np.eye(len(sizes), 3)
    shapes = rng.normal(0, 1, (len(sizes), 3, 3)) / 2 + np.eye(3)
    points = [
        rng.normal(0, 1, (n, 3)) @ shape + centre for n, shape, centre in zip(sizes, shapes, centres, strict=True)
    ]
    return torch.from_numpy(np.concatenate(points)).float(), np.repeat(np.arange(len(sizes)), sizes)


def test_gaussians_against_scipy():
    z_NL, truth_N = clouds()
    labels_N = torch.from_numpy(truth_N)
    found = Gaussians.of(z_NL, labels_N, 3)
    points = z_NL.double().numpy()
    jitter = 1e-3 * points.var(0).mean() * np.eye(3)
    expected = np.stack(
        [
            multivariate_normal(own.mean(0), np.cov(own.T, bias=True) + jitter).logpdf(points) + np.log(len(own) / 1500)
            for own in (points[truth_N == k] for k in range(3))
        ],
        1,
    )
    found_NK = found.log_scores(z_NL).double().numpy()
    # But for a number for each point, the same for all clusters.
    np.testing.assert_allclose(found_NK - found_NK[:, :1], expected - expected[:, :1], rtol=1e-4, atol=1e-2)
    memberships_NK = found.memberships(z_NL)
    torch.testing.assert_close(memberships_NK.sum(1), torch.ones(len(z_NL)))
    assert (memberships_NK.argmax(1) == labels_N).float().mean() > 0.99
    assert found.unexplained(torch.full((1, 3), 60.0), torch.zeros(1, dtype=torch.int64)).all()
    assert not found.unexplained(z_NL, labels_N).any()


def test_counts_against_scipy():
    rng = np.random.default_rng(0)
    known_KC = rng.dirichlet(np.ones(20), 3)
    x_NC = rng.poisson(50 * known_KC[rng.integers(0, 3, 40)])
    found = CountSpectra(
        centres=torch.zeros(3, 2),
        log_spectra=torch.from_numpy(np.log(known_KC)).float(),
        log_shares=torch.tensor([0.5, 0.3, 0.2]).log(),
        misfit=torch.ones(3),
        dispersion=2.0,
    )
    known = zip(known_KC, [0.5, 0.3, 0.2], strict=True)
    expected = np.stack([multinomial(x_NC.sum(1), p_C).logpmf(x_NC) + np.log(share) for p_C, share in known], 1)
    scores_NK = 2 * found.log_scores(torch.zeros(40, 2), torch.from_numpy(x_NC)).double().numpy()
    np.testing.assert_allclose(scores_NK - scores_NK[:, :1], expected - expected[:, :1], atol=1e-3)
    with pytest.raises(ValueError, match="need the spectra"):
        found.log_scores(torch.zeros(40, 2))


def test_chi_squares_against_scipy():
    rng = np.random.default_rng(0)
    known_KC = rng.dirichlet(np.full(200, 0.5), 2)
    labels_N = rng.integers(0, 2, 30)
    x_NC = rng.poisson(3000 * known_KC[labels_N])
    chi_N, counts_N = chi_squares(
        torch.from_numpy(x_NC).float(), torch.from_numpy(labels_N), torch.from_numpy(np.log(known_KC)).float()
    )
    assert counts_N.tolist() == x_NC.sum(1).tolist()
    for x_C, label, chi in zip(x_NC, labels_N, chi_N.tolist(), strict=True):
        p_C = known_KC[label]
        ends = np.minimum(np.searchsorted(np.cumsum(p_C), np.arange(1, bins_of(200)) / bins_of(200)), 199)
        bins = np.split(np.arange(200), ends + 1)
        kept = [own for own in bins if len(own)]
        observed = [x_C[own].sum() for own in kept]
        expected = np.array([p_C[own].sum() for own in kept]) * x_C.sum()
        assert chi == pytest.approx(chisquare(observed, expected * sum(observed) / expected.sum()).statistic, rel=1e-3)


def test_nearest_centres_have_memberships():
    z_NL, _ = clouds()
    found = IKMeans().fit(z_NL, (2, 5), torch.Generator().manual_seed(0))
    assert found.k == 3
    memberships_NK = found.memberships(z_NL)
    squares_NK = torch.cdist(z_NL, found.centres).square()
    expected_NK = (-squares_NK / (2 * found.variance)).softmax(1)
    torch.testing.assert_close(memberships_NK, expected_NK, atol=1e-4, rtol=1e-3)
    unknown = NearestCentres(centres=found.centres)
    torch.testing.assert_close(unknown.memberships(z_NL), torch.nn.functional.one_hot(found.assign(z_NL)).float())


@pytest.mark.parametrize("clusterer", [GaussianMixtures(), Hdbscan(), IKMeans()])
def test_clouds_are_found(clusterer):
    z_NL, truth_N = clouds()
    found = clusterer.fit(z_NL, None, torch.Generator().manual_seed(0))
    labels_N = found.assign(z_NL)
    assert found.k == 3
    assert adjusted_rand_score(truth_N, labels_N) > 0.97
    sizes = torch.bincount(labels_N).tolist()
    assert sizes == sorted(sizes, reverse=True)


def test_a_single_cloud_is_one_gaussian():
    z_NL = torch.randn(1500, 3, generator=torch.Generator().manual_seed(0))
    assert GaussianMixtures().fit(z_NL, None, torch.Generator().manual_seed(0)).k == 1
    with pytest.raises(UserError, match="hdbscan finds the number of clusters"):
        Hdbscan().fit(z_NL, 3)


def test_a_checkpoint_keeps_any_partition(tmp_path):
    z_NL, truth_N = clouds()
    clusters = Clusters(3, 16)
    clusters.set(Gaussians.of(z_NL, torch.from_numpy(truth_N), 3))
    torch.save(clusters.state_dict(), tmp_path / "state.pt")
    other = Clusters(3, 16)
    other.set(torch.zeros(5, 3))
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other.assign(z_NL), clusters.assign(z_NL))
    plain = Clusters(3, 16)
    plain.set(torch.eye(3))
    other.load_state_dict(plain.state_dict())
    assert isinstance(other.partition, NearestCentres)


def test_what_a_configuration_refuses():
    with pytest.raises(UserError, match=r"no clusterer 'kmeans' .did you mean 'ikmeans'"):
        ClustererConfig(kind="kmeans")
    with pytest.raises(UserError, match=r"clusterer.spatial: expected 0 to 1, got 2"):
        ClustererConfig(spatial=2)
    with pytest.raises(UserError, match=r"clusterer.evidence"):
        ClustererConfig(evidence="noise")
