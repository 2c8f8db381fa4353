import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from deepspec.data.cube import SpectralCube
from deepspec.segmentation import segment_cube
from deepspec.segmentation.structure import find_structure
from tests.planted import AXIS, LinearModel, planted_cube, planted_rates, train_by_heart


def one_material(n, channels=60, counts=300.0, seed=0):
    return np.random.default_rng(seed).poisson(planted_rates(1, channels, counts), (n, channels)).astype(np.float32)


def test_structure_is_clear_in_a_planted_cube_and_absent_from_one_material():
    cube, _ = planted_cube(k=3)
    found = segment_cube(cube, LinearModel(cube), clusters="refit").structure
    assert found.verdict == "clear"
    assert found.p == pytest.approx(1 / 21)
    assert found.refreshed == pytest.approx(found.observed, abs=0.05)
    assert "clear evidence" in found.sentence
    plain = SpectralCube.from_array(one_material(720).reshape(24, 30, 60), AXIS)
    nothing = segment_cube(plain, LinearModel(plain), clusters="refit").structure
    assert nothing.verdict == "none"
    assert "no evidence for more than one material" in nothing.sentence


def test_two_materials_are_clear_though_k_starts_at_three():
    cube, _ = planted_cube(k=2)
    assert segment_cube(cube, LinearModel(cube), clusters="refit", k=(3, 6)).structure.verdict == "clear"


def test_a_continuous_mixture_is_not_clear():
    share = np.random.default_rng(0).uniform(size=(24, 30, 1))
    rates = planted_rates(2)
    counts = np.random.default_rng(1).poisson(share * rates[0] + (1 - share) * rates[1])
    cube = SpectralCube.from_array(counts.astype(np.uint16), AXIS)
    assert segment_cube(cube, LinearModel(cube), clusters="refit").structure.verdict in ("weak", "none")


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
