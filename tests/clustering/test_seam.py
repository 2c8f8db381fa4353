"""A clusterer from outside the package works wherever one is asked for."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from deepspec.clustering import Gaussians, Search, Valleys
from deepspec.data.cube import SpectralCube
from deepspec.evaluation import evaluate_segmentation
from deepspec.reporting.report import write_report
from deepspec.segmentation import LabelOptions, Segmentation, segment_cube
from deepspec.segmentation.latents import find_clusters
from tests.planted import LinearModel, planted_cube, spoilt_cube


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
        assert found.memberships[place].sum() == (1 if place == (5, 5) else 0)
    assert found.clustering.unassigned == 1
    assert any("1 pixels (0.1%) are like no cluster" in note for note in found.notes)
    all_in = segment_cube(
        strange, model, clusters="refit", clusterer="valleys", labelling=LabelOptions(unassigned=False)
    )
    assert all_in.labels[5, 5] >= 0
