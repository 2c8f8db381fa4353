import sys
import threading
import time
import types

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.decomposition import NMF, PCA

from deepspec.baselines.embeddings import (
    NeighbourDecoder,
    NonNegativeComponents,
    PrincipalComponents,
    colours_of,
    non_negative_weights,
)
from deepspec.baselines.umap import ManifoldEmbedding
from deepspec.errors import UserError


@pytest.fixture
def mixtures():
    """(300, 20) float32 non-negative mixtures of four spectra, with a little noise."""
    rng = np.random.default_rng(0)
    spectra = rng.gamma(0.5, 1.0, (4, 20))
    return (rng.dirichlet(np.ones(4), 300) @ spectra + 0.01 * rng.random((300, 20))).astype(np.float32)


def test_pca_is_that_of_scikit_learn(mixtures):
    pca = PCA(3, random_state=0).fit(mixtures)
    ours = PrincipalComponents(mixtures, 3, seed=0)
    z = ours.encode(torch.from_numpy(mixtures)).mean_NL
    np.testing.assert_allclose(z, pca.transform(mixtures), atol=1e-5)
    np.testing.assert_allclose(ours.decode(z), pca.inverse_transform(pca.transform(mixtures)), atol=1e-5)
    assert ours.explained == pytest.approx(pca.explained_variance_ratio_.sum())
    assert ours.latent == 3


def test_nmf_reproduces_as_much_as_that_of_scikit_learn(mixtures):
    nmf = NMF(4, init="nndsvda", max_iter=2000, random_state=0)
    theirs = np.linalg.norm(mixtures - nmf.fit_transform(mixtures) @ nmf.components_)
    ours = NonNegativeComponents(mixtures, 4, seed=0)
    z = ours.encode(torch.from_numpy(mixtures)).mean_NL
    assert (z >= 0).all()
    assert np.linalg.norm(mixtures - ours.decode(z).numpy()) < 1.05 * theirs
    np.testing.assert_allclose(ours.components_LD.norm(dim=1), 1, rtol=1e-5)


def test_weights_are_the_non_negative_least_squares(mixtures):
    rng = np.random.default_rng(1)
    components = rng.random((5, 20)).astype(np.float32)
    components /= np.linalg.norm(components, axis=1, keepdims=True)
    components[3] = 0  # one that fell to nothing
    found = non_negative_weights(torch.from_numpy(mixtures), torch.from_numpy(components)).numpy()
    kept = components[[0, 1, 2, 4]].astype(np.float64)
    exact = np.stack([nnls(kept.T, spectrum.astype(np.float64))[0] for spectrum in mixtures])
    np.testing.assert_allclose(found[:, [0, 1, 2, 4]], exact, atol=2e-4 * exact.max())
    assert (exact == 0).any(), "bounds that never hold test nothing"
    assert (found[:, 3] == 0).all()
    # What a spectrum gets does not depend on the others.
    alone = non_negative_weights(torch.from_numpy(mixtures[7:8]), torch.from_numpy(components)).numpy()
    np.testing.assert_allclose(alone, found[7:8], atol=2e-4 * exact.max())


def test_negative_values_count_as_zero_where_weights_are_sought(mixtures):
    ours = NonNegativeComponents(mixtures, 4, seed=0)
    x = torch.from_numpy(mixtures) - 0.05
    torch.testing.assert_close(ours.encode(x).mean_NL, ours.encode(x.clamp_min(0)).mean_NL)


def test_decoding_by_neighbours_is_the_mean_of_the_ten_nearest():
    rng = np.random.default_rng(0)
    z, y = rng.random((50, 3)).astype(np.float32), rng.random((50, 7)).astype(np.float32)
    points = rng.random((4, 3)).astype(np.float32)
    distances = np.linalg.norm(points[:, None] - z, axis=2)
    expected = np.stack([y[np.argsort(row)[:10]].mean(0) for row in distances])
    np.testing.assert_allclose(NeighbourDecoder(z, y)(torch.from_numpy(points)), expected, rtol=1e-5)
    few = NeighbourDecoder(z[:2], y[:2])(torch.from_numpy(points))
    np.testing.assert_allclose(few, np.broadcast_to(y[:2].mean(0), (4, 7)), rtol=1e-5)


class FakeUmap:
    """Takes the first columns for the embedding, and notices when it is called twice at once."""

    def __init__(self, n_components, **_):
        self.n, self.busy = n_components, threading.Lock()

    def fit_transform(self, x):
        return x[:, : self.n]

    def transform(self, x):
        assert self.busy.acquire(blocking=False), "two threads at once"
        time.sleep(0.02)
        self.busy.release()
        return x[:, : self.n].astype(np.float64)


def test_umap_is_called_by_one_thread_at_a_time(monkeypatch, mixtures):
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=FakeUmap, __spec__=object()))
    embedding = ManifoldEmbedding(mixtures, 2, neighbours=5, min_dist=0.1, seed=0)
    x, found = torch.from_numpy(mixtures), []
    threads = [threading.Thread(target=lambda: found.append(embedding.encode(x).mean_NL)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [z.dtype for z in found] == [torch.float32] * 4
    np.testing.assert_array_equal(found[0], mixtures[:, :2])


def test_without_umap_learn_the_extra_is_named(monkeypatch, mixtures):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=r"pip install 'deepspec\[umap\]'"):
        ManifoldEmbedding(mixtures, 2, neighbours=5, min_dist=0.1, seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ImportWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_umap_keeps_materials_apart():
    pytest.importorskip("umap", reason="needs the extra umap")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    y = (5 * np.eye(3, 12)[labels] + 0.3 * rng.normal(size=(240, 12))).astype(np.float32)
    embedding = ManifoldEmbedding(y[:200], 2, neighbours=10, min_dist=0.1, seed=0)
    z = embedding.encode(torch.from_numpy(y[200:])).mean_NL
    fitted = embedding.encode(torch.from_numpy(y[:200])).mean_NL
    centres = torch.stack([fitted[labels[:200] == c].mean(0) for c in range(3)])
    np.testing.assert_array_equal(torch.cdist(z, centres).argmin(1), labels[200:])
    nearest = torch.from_numpy(y[:200]).numpy()
    expected = np.stack([nearest[labels[:200] == c].mean(0) for c in range(3)])[labels[200:]]
    assert np.abs(embedding.decode(z).numpy() - expected).max() < 0.6


def test_a_picture_of_another_size_is_resampled_only_when_told(tmp_path):
    from PIL import Image

    rgb = np.zeros((4, 6, 3), np.uint8)
    rgb[:2, :3], rgb[2:, 3:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(rgb).save(tmp_path / "p.png")
    file = str(tmp_path / "p.png")
    with pytest.raises(UserError, match=r"p\.png has 4 x 6 pixels, the cube 2 x 2: --resample"):
        colours_of(file, (2, 2), resample=False)
    with pytest.raises(UserError, match="turn it by 90 degrees"):
        colours_of(file, (6, 4), resample=False)
    colours, notes = colours_of(file, (2, 2), resample=True)
    np.testing.assert_array_equal(colours, [[[1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]]])
    assert "nearest pixels" in notes[0]
    same, notes = colours_of(file, (4, 6), resample=False)
    np.testing.assert_array_equal(same, rgb / np.float32(255))
    assert notes == ()
