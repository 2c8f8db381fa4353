import pytest
import torch
from scipy.spatial.distance import cdist

from deepspec.clustering import Clusters
from deepspec.clustering import clusters as clusters_module


@pytest.fixture
def fitted():
    clusters = Clusters(latent=3, k_max=8)
    clusters.set(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    return clusters


def test_distances_and_labels_against_scipy(fitted):
    z_NL = torch.randn(1000, 3, generator=torch.Generator().manual_seed(1))
    reference = cdist(z_NL.double().numpy(), fitted.used.double().numpy())
    torch.testing.assert_close(fitted.distances(z_NL).double(), torch.from_numpy(reference), atol=1e-5, rtol=1e-5)
    labels = fitted.assign(z_NL)
    assert labels.dtype == torch.int64
    assert labels.tolist() == reference.argmin(1).tolist()


def test_nearest_far_from_the_origin():
    # the expansion |z|^2 - 2 z.c + |c|^2 in float32 cannot tell these centres apart
    clusters = Clusters(1, 2)
    clusters.set(torch.tensor([[10000.0], [10000.0625]]))
    assert clusters.assign(torch.tensor([[10000.0], [10000.0625]])).tolist() == [0, 1]


def test_exact_ties_go_to_the_lowest_label():
    clusters = Clusters(2, 4)
    clusters.set(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    z_NL = torch.tensor([[0.0, 0.0], [-0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
    assert clusters.assign(z_NL).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("n", [0, 1, 5, 12, 13])
def test_blocks_do_not_change_labels(fitted, monkeypatch, n):
    z_NL = torch.randn(n, 3)
    expected = fitted.distances(z_NL).argmin(1)
    monkeypatch.setattr(clusters_module, "BLOCK_DISTANCES", 20)  # four rows at a time
    assert torch.equal(fitted.assign(z_NL), expected)


def test_a_point_with_nan_gets_no_label(fitted):
    z_NL = torch.zeros(3, 3)
    z_NL[1, 2] = torch.nan
    labels = fitted.assign(z_NL)
    assert labels[1] == -1
    assert (labels[[0, 2]] >= 0).all()


def test_fewer_clusters_replace_more(fitted):
    fitted.set(torch.ones(2, 3))
    assert fitted.count == 2
    assert torch.equal(fitted.centres, torch.cat([torch.ones(2, 3), torch.zeros(6, 3)]))
    # the padding at zero is never a centre
    assert set(fitted.assign(torch.zeros(4, 3)).tolist()) == {0}


def test_state_dict_round_trip_whatever_k(fitted):
    other = Clusters(3, 8)
    other.set(torch.zeros(8, 3))
    other.load_state_dict(fitted.state_dict())
    assert torch.equal(other.used, fitted.used)
    assert {name: tuple(t.shape) for name, t in other.state_dict().items()} == {"centres": (8, 3), "count": ()}


def test_accepts_other_float_types_and_no_gradient_is_kept(fitted):
    z_NL = torch.randn(10, 3, requires_grad=True)
    assert torch.equal(fitted.assign(z_NL.bfloat16().float()), fitted.assign(z_NL.bfloat16()))
    centres = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    fitted.set(centres)
    assert not fitted.used.requires_grad
    assert fitted.used.dtype == torch.float32


@pytest.mark.parametrize("use", [lambda c: c.used, lambda c: c.assign(torch.zeros(1, 3)), lambda c: c.distances(1)])
def test_use_before_set(use):
    with pytest.raises(RuntimeError, match="no clusters yet: fit the model"):
        use(Clusters(3, 8))


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        (torch.zeros(9, 3), "1 to k_max=8 centres; got 9"),
        (torch.zeros(0, 3), "1 to k_max=8 centres; got 0"),
        (torch.zeros(4, 2), r"shape \(K, 3\); got \(4, 2\)"),
        (torch.zeros(3), r"shape \(K, 3\); got \(3,\)"),
        (torch.full((2, 3), torch.nan), "must be finite"),
    ],
)
def test_bad_centres_leave_the_state_alone(fitted, centres, message):
    before = fitted.used.clone()
    with pytest.raises(ValueError, match=message):
        fitted.set(centres)
    assert torch.equal(fitted.used, before)


def test_bad_points(fitted):
    with pytest.raises(ValueError, match=r"shape \(N, 3\); got \(4, 2\)"):
        fitted.assign(torch.zeros(4, 2))


@pytest.mark.parametrize(("latent", "k_max"), [(0, 3), (3, 0)])
def test_bad_sizes(latent, k_max):
    with pytest.raises(ValueError, match=f"got latent={latent}, k_max={k_max}"):
        Clusters(latent, k_max)
