from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from deepspec.clustering import structure
from deepspec.clustering.structure import find_structure
from deepspec.data.cube import SpectralCube
from deepspec.segmentation import segment_cube
from tests.support.planted import AXIS, LinearModel, planted_cube, planted_rates, train_by_heart


def one_material(n, channels=60, counts=300.0, seed=0):
    return np.random.default_rng(seed).poisson(planted_rates(1, channels, counts), (n, channels)).astype(np.float32)


def test_structure_is_clear_in_a_planted_cube_and_absent_from_one_material():
    cube, _ = planted_cube(k=3)
    found = segment_cube(cube, LinearModel(cube), clusters="refit").structure
    assert found.verdict == "clear"
    assert found.p == pytest.approx(1 / 21)
    assert found.refreshed == pytest.approx(found.observed, abs=0.05)
    assert "clear evidence" in found.sentence
    assert "(p <= 0.048: none of 20 clouds without clusters reaches it)" in found.sentence
    plain = SpectralCube.from_array(one_material(720).reshape(24, 30, 60), AXIS)
    nothing = segment_cube(plain, LinearModel(plain), clusters="refit").structure
    assert nothing.verdict == "none"
    assert "no evidence for more than one material" in nothing.sentence


def test_two_materials_are_clear_though_k_starts_at_three():
    cube, _ = planted_cube(k=2)
    assert segment_cube(cube, LinearModel(cube), clusters="refit", k=(3, 6)).structure.verdict == "clear"


def mixture(materials, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(materials), (24, 30))


def gradient(materials, seed):
    share = np.broadcast_to(np.linspace(0, 1, 24)[:, None], (24, 30))
    return np.stack([share, 1 - share], 2)


@pytest.mark.parametrize(
    ("shares", "materials", "counts", "seed"),
    [(mixture, 2, 900, 0), (mixture, 3, 3600, 3), (gradient, 2, 900, 1)],
)
def test_gradients_and_continuous_mixtures_are_named_as_such(shares, materials, counts, seed):
    """The second passed for clear evidence while 0.1 above the clouds was enough."""
    rates = planted_rates(materials, counts=counts)
    counts_HWC = np.random.default_rng(seed).poisson(shares(materials, seed) @ rates)
    cube = SpectralCube.from_array(counts_HWC.astype(np.uint16), AXIS)
    found = segment_cube(cube, LinearModel(cube), clusters="refit").structure
    assert found.verdict == "weak"
    assert "may as well be a gradient or a continuous mixture, which the clusters cut where it has no border" in (
        found.sentence
    )


class Scores:
    """Stands for IKMeans: silhouettes one after the other, of the spectra, three fresh draws, and the clouds."""

    def __init__(self, *clouds, others=0.4, swing=0.04):
        self.left = [0.5] * 4 + [others - swing, others + swing] * 10 + list(clouds)

    def __call__(self, *_, **__):
        return SimpleNamespace(score=self.left.pop(0))


@pytest.mark.parametrize(
    ("scores", "verdict", "p", "clouds", "said"),
    [
        (Scores(*[0.4] * 99), "weak", 1 / 120, 119, "p <= 0.0083: none of 119 clouds without clusters"),
        (Scores(*[0.4, 0.5] * 5, *[0.4] * 89), "weak", 6 / 120, 119, "p = 0.05 by 119 clouds"),
        (Scores(*[0.6] * 6), "none", 7 / 27, 26, "p = 0.26 by 26 clouds"),
        (Scores(*[0.4] * 60, *[0.6] * 6), "none", 7 / 87, 86, "p = 0.08 by 86 clouds"),
        (Scores(swing=0.01), "weak", 1 / 21, 20, "p <= 0.048: none of 20 clouds"),
        (Scores(others=0.2, swing=0.01), "clear", 1 / 21, 20, "none of 20 clouds without clusters reaches it"),
        (Scores(others=0.47), "none", 11 / 21, 20, "p = 0.52 by 20 clouds"),
    ],
)
def test_more_clouds_are_drawn_where_the_first_cannot_decide(monkeypatch, scores, verdict, p, clouds, said):
    """Near the clouds, and none of 20 reaches the spectra; not where they are far above, nor where one does."""
    monkeypatch.setattr(structure, "ikmeans", scores)
    found = find_structure(torch.rand(200, 5), lambda y: y[:, :2], (2, 10), torch.Generator())
    assert (found.verdict, found.clouds) == (verdict, clouds)
    assert found.p == pytest.approx(p)
    assert said in found.sentence
    assert scores.left == []


def test_few_spectra_are_not_tested():
    found = find_structure(torch.rand(11, 5), lambda y: y[:, :2], (2, 10), torch.Generator())
    assert found.verdict == "untested"
    assert "11 usable spectra are too few" in found.sentence


def test_a_collapsed_latent_space_has_no_structure():
    found = find_structure(torch.rand(100, 5), lambda y: torch.zeros(len(y), 2), (2, 10), torch.Generator())
    assert found.verdict == "none"


STEPS = [({"step": "rebin", "bins": 250}, "max"), ({"step": "rebin", "bins": 250}, "sqrt", {"step": "standard"})]


@pytest.mark.parametrize(("steps", "output"), list(zip(STEPS, ["sigmoid", "linear"], strict=True)))
def test_noise_learnt_by_heart_is_no_structure(shared_data, steps, output):
    """XRF map of a uniform film, 121 pixels: one material, whatever silhouette a network reaches on it."""
    with np.load(shared_data / "aps_xrf" / "aps_axo_std_counts.npz") as file:
        counts = file["counts"].sum(2, dtype=np.float32)
    cube = SpectralCube.from_array(counts)
    model = train_by_heart(torch.from_numpy(counts.reshape(121, -1)), steps, output, epochs=150)
    found = segment_cube(cube, model, clusters="refit")
    assert found.silhouette.score > 0.7
    assert found.structure.verdict != "clear"
    assert "learnt by heart" in found.structure.sentence


def test_materials_learnt_from_as_few_spectra_are_structure():
    cube, truth = planted_cube(11, 11, k=3, counts=300.0)
    x = torch.from_numpy(cube.read_rows(0, 11).reshape(121, -1).astype(np.float32))
    model = train_by_heart(x, ["sqrt", {"step": "standard"}], "linear", epochs=150)
    found = segment_cube(cube, model, clusters="refit")
    assert found.structure.verdict == "clear"
    assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) > 0.9
