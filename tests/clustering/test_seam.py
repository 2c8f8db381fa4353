"""A clusterer from outside the package works wherever one is asked for."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, silhouette_score

from deepspec.clustering import Gaussians, Search, Valleys
from deepspec.clustering.refit import find_clusters
from deepspec.data.cube import SpectralCube
from deepspec.evaluation import evaluate_segmentation
from deepspec.reporting.report import write_report
from deepspec.segmentation import Segmentation, segment_cube
from tests.support.planted import LinearModel, planted_cube, spoilt_cube


@dataclass(frozen=True)
class Ward:
    """All that an own clusterer needs."""

    def fit(self, z_NL, k=None, generator=None, spectra=None):
        labels = torch.from_numpy(AgglomerativeClustering(k or 4).fit_predict(z_NL.numpy()))
        return Gaussians.of(z_NL, labels, k or 4, search=Search(evidence="Ward's criterion"))


def test_an_own_clusterer_segments_and_is_evaluated_and_reported(tmp_path):
    cube, truth = planted_cube()
    found = segment_cube(cube, LinearModel(cube), clusters="refit", clusterer=Ward())
    assert found.k == 4
    assert found.clustering.evidence == "Ward's criterion"
    assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) > 0.98
    found.save(tmp_path / "segmentation.h5")
    evaluation = evaluate_segmentation(Segmentation.load(tmp_path / "segmentation.h5"), refits=2)
    assert evaluation.stability.ari > 0.9
    write_report(found, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_clusters_of_counts_from_a_cube_to_a_file_and_frozen_on_another(tmp_path):
    cube, truth = planted_cube()
    model = LinearModel(cube)
    found = segment_cube(cube, model, clusters="refit", clusterer="valleys")
    assert found.k == 4
    assert found.clustering.partition == "counts"
    assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) > 0.99
    assert found.structure.verdict == "clear"
    used = found.labels >= 0
    np.testing.assert_allclose(found.memberships[used].sum(1), 1, atol=1e-5)
    x = cube.read_rows(0, 24)
    for k in range(4):
        np.testing.assert_allclose(found.mean_raw[k], x[found.labels == k].mean(0), rtol=1e-5)
    found.save(tmp_path / "a.h5")
    loaded = Segmentation.load(tmp_path / "a.h5")
    assert loaded.leaves.tree == found.leaves.tree
    for k in (1, 2, 3):
        cut = loaded.cut(k)
        assert cut.k == k == len(cut.sizes) == len(np.unique(cut.labels[cut.labels >= 0]))
        for cluster in range(k):
            np.testing.assert_allclose(cut.mean_raw[cluster], x[cut.labels == cluster].mean(0), rtol=1e-5)
        assert cut.borders.shape == (k, k)
        assert cut.structure.sentence == found.structure.sentence
        clusters = "1 cluster" if k == 1 else f"{k} clusters"
        assert cut.notes[-1].startswith(f"merge tree cut into {clusters} instead of the 4 found; the evidence for")
        if k > 1:
            expected = silhouette_score(found.latents[used], cut.labels[used])
            assert cut.silhouette.score == pytest.approx(expected, abs=4 * cut.silhouette.standard_error + 1e-4)
        else:
            assert np.isnan(cut.silhouette.score)
        np.testing.assert_allclose(cut.memberships[used].sum(1), 1, atol=1e-5)
    assert loaded.cut(firm=0.85).k == 4

    z_PL = torch.from_numpy(found.latents.reshape(-1, 3))
    counts = torch.from_numpy(x.reshape(-1, 60).astype(np.float32))
    generator = torch.Generator().manual_seed(0)
    model.clusters.set(find_clusters(Valleys(), z_PL, None, (z_PL, counts), generator, sample=1000))
    weaker, _ = planted_cube(counts=300.0, seed=5)
    frozen = segment_cube(weaker, model)
    assert adjusted_rand_score(truth.ravel(), frozen.labels.ravel()) > 0.98
    assert segment_cube(weaker, model, k=2).k == 2


def test_dead_pixels_and_what_no_cluster_explains_have_no_label():
    cube, _, spoilt = spoilt_cube()
    x = cube.read_rows(0, 24).astype(np.float32)
    x[5, 5] = 0
    x[5, 5, ::7] = 100  # nothing else looks like this
    strange = SpectralCube.from_array(x, cube.axis, cube.mask)
    model = LinearModel(planted_cube()[0])
    found = segment_cube(strange, model, clusters="refit", clusterer="valleys")
    for place in [*spoilt, (5, 5)]:
        assert found.labels[place] == -1
        assert np.isnan(found.latents[place]).all()
        assert found.memberships[place].sum() == 0
    assert found.clustering.unassigned == 1
    assert any("1 pixels (0.1%) are like no cluster" in note for note in found.notes)
    all_in = segment_cube(strange, model, clusters="refit", clusterer="valleys", unassigned=False)
    assert all_in.labels[5, 5] >= 0


@pytest.mark.parametrize("spatial", [0.0, 0.5])
def test_memberships_of_what_no_cluster_explains_are_zero(spatial):
    """Also where a prior of neighbours has its say."""
    cube, _ = planted_cube(counts=4000.0)
    model = LinearModel(cube)
    x = cube.read_rows(0, 24)
    strange = x.copy()
    strange[5:8, 7:10] = x[5:8, 7:10, ::-1]
    counts = torch.from_numpy(x.reshape(-1, 60).astype(np.float32))
    generator = torch.Generator().manual_seed(0)
    model.eval()
    with torch.inference_mode():
        z_PL = model.network.encode(model.preprocess(torch.from_numpy(x.reshape(-1, 60)))).mean_NL.float()
    model.clusters.set(find_clusters(Valleys(), z_PL, None, (z_PL, counts), generator, sample=1000))
    found = segment_cube(SpectralCube.from_array(strange, cube.axis), model, spatial=spatial, unassigned=True)
    none = found.labels < 0
    assert none[5:8, 7:10].all()
    assert (found.memberships[none] == 0).all()
    np.testing.assert_allclose(found.memberships[~none].sum(1), 1, atol=1e-5)


def test_a_small_cube_is_read_once_and_a_large_one_in_every_pass(monkeypatch):
    cube, _ = planted_cube()
    model = LinearModel(cube)
    read = []
    rows_of = cube.read_rows
    monkeypatch.setattr(cube, "read_rows", lambda a, b: read.extend(range(a, b)) or rows_of(a, b))
    once = segment_cube(cube, model, clusters="refit", clusterer="valleys")
    assert sorted(read) == list(range(24))
    read.clear()
    monkeypatch.setattr("deepspec.segmentation.spectra.KEPT_BYTES", 0)
    again = segment_cube(cube, model, clusters="refit", clusterer="valleys")
    assert len(read) > 24
    np.testing.assert_array_equal(once.labels, again.labels)
    np.testing.assert_array_equal(once.mean_raw, again.mean_raw)
