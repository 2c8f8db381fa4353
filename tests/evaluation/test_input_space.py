"""Indices in the space of the spectra against scikit-learn's, and the files that they are found by."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_samples

from deepspec.baselines import BaselineOptions, segment_by_baseline
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.data.cube_options import CubeOptions
from deepspec.errors import UserError
from deepspec.evaluation import input_space as module
from deepspec.evaluation import scores_in_input_space
from deepspec.evaluation.pipeline import method_of
from deepspec.models import NetworkConfig
from deepspec.segmentation import Segmentation, segment_cube
from deepspec.training.module import DeepClustering
from tests.support.planted import AXIS, LinearModel, planted_cube, spoilt_cube

pytestmark = pytest.mark.usefixtures("few_clouds")

input_space = module.input_space


def blurred(labels, seed=0):
    """Labels of which one in five is another, so that the scores are no extremes."""
    rng = np.random.default_rng(seed)
    return np.where(rng.uniform(size=labels.shape) < 0.2, rng.integers(0, 4, labels.shape), labels)


def reference(cube, model, labels):
    """scikit-learn's four numbers of the pixels with a label."""
    x = torch.from_numpy(cube.read_rows(0, cube.shape[0])[labels >= 0].astype(np.float32))
    y, own = model.preprocess(x).numpy(), labels[labels >= 0]
    values = silhouette_samples(y, own)
    means = np.mean([values[own == k].mean() for k in np.unique(own)])
    return values.mean(), means, davies_bouldin_score(y, own), calinski_harabasz_score(y, own)


def numbers(found):
    return (
        found.silhouette_samples.score,
        found.silhouette_clusters.score,
        found.davies_bouldin,
        found.calinski_harabasz,
    )


def test_few_pixels_give_the_exact_numbers_in_blocks_of_any_size():
    cube, labels, spoilt = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    labels = blurred(labels)
    for row, column in spoilt:
        labels[row, column] = -1
    labels[labels == 2] = 7  # numbers that are missing are no clusters
    expected = reference(cube, model, labels)
    for size in (30, 97, 8192):
        found = input_space(labels, cube, model, max_pixels_per_block=size)
        assert numbers(found) == pytest.approx(expected, abs=2e-5)
        assert found.silhouette_samples.standard_error == found.silhouette_clusters.standard_error == 0


def test_a_sample_is_within_its_standard_error(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_VALUES", 200 * 60)
    monkeypatch.setattr(module, "FEWEST", 40)
    monkeypatch.setattr(module, "ANCHORS", 150)
    cube, labels = planted_cube(40, 50)
    model = LinearModel(cube)
    labels = blurred(labels)
    expected = reference(cube, model, labels)
    for seed in range(3):
        found = input_space(labels, cube, model, seed=seed)
        for estimate, exact in zip((found.silhouette_samples, found.silhouette_clusters), expected, strict=False):
            assert 0.001 < estimate.standard_error < 0.05
            assert abs(estimate.score - exact) < 4 * estimate.standard_error
            assert estimate.anchors < 160
        assert found.davies_bouldin == pytest.approx(expected[2], rel=0.1)
        assert found.calinski_harabasz == pytest.approx(expected[3], rel=1e-5)


def test_only_the_sample_is_kept(monkeypatch):
    """Memory does not grow with the cube: what is concatenated in the end is the sample and nothing else."""
    monkeypatch.setattr(module, "SAMPLE_VALUES", 100 * 60)
    monkeypatch.setattr(module, "FEWEST", 10)
    seen = []
    monkeypatch.setattr(module, "_indices", lambda found, generator: seen.append(found))
    cube, labels = planted_cube(60, 60)
    input_space(labels.astype(np.int64), cube, LinearModel(cube))
    (found,) = seen
    assert 90 <= len(found.y_ND) <= 130
    assert int(found.sums.count_K.sum()) == 3600


def test_one_cluster_and_other_cubes():
    cube, labels = planted_cube()
    model = LinearModel(cube)
    assert input_space(np.zeros_like(labels), cube, model) is None
    with pytest.raises(UserError, match=r"has shape \(24, 30\), the segmentation \(5, 30\)"):
        input_space(labels[:5], cube, model)
    x = cube.read_rows(0, 24).copy()
    x[0, 0] = 0
    with pytest.raises(UserError, match="a spectrum for 719 of the 720 pixels with a label"):
        input_space(labels, SpectralCube.from_array(x, AXIS), model)


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """A cube and a checkpoint in the current directory, and a segmentation of the one by the other."""
    monkeypatch.chdir(tmp_path)
    cube, _ = planted_cube()
    cube.save(tmp_path / "scan.h5")
    torch.manual_seed(0)
    model = DeepClustering(AXIS.to_dict(), NetworkConfig(encoder=[16, 8], latent=3), ["sqrt", {"step": "standard"}])
    model.preprocess.fit(torch.from_numpy(cube.read_rows(0, 24).reshape(-1, 60)))
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    torch.save(content, "run/checkpoints/last.ckpt")
    with read_cube("scan.h5") as opened:
        found = segment_cube(opened, model.eval(), clusters="refit", k=(2, 4), checkpoint="run/checkpoints/last.ckpt")
    found.save("segmentation.h5")
    return cube, model, Segmentation.load("segmentation.h5")


def scores(found, **options):
    return scores_in_input_space(found, found.labels.astype(np.int64), CubeOptions(), **options)


def test_the_recorded_files_are_found(scan):
    cube, model, found = scan
    assert method_of(found) == "run (refit)"
    internal, notes = scores(found)
    assert notes == ()
    assert numbers(internal) == pytest.approx(reference(cube, model, found.labels), abs=2e-4)


def test_files_that_are_gone_or_changed_are_left_out_in_one_line(scan, tmp_path):
    cube, model, found = scan
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "scan.h5").rename("elsewhere/scan.h5")
    internal, (note,) = scores(found)
    assert internal is None
    assert note == f"no scores in the input space: {tmp_path / 'scan.h5'}: no such file; --cube FILE says where it is"
    for place in ("elsewhere", "elsewhere/scan.h5"):
        assert scores(found, cube=place) == (scores(found, cube="elsewhere")[0], ())
    with pytest.raises(UserError, match=r"none.h5: no such file; expected the cube, recorded as .*scan.h5"):
        scores(found, cube="none.h5")
    cube.metadata["note"] = "copied"
    cube.save("scan.h5")
    internal, (note,) = scores(found)
    assert internal is None
    assert "scan.h5 is not the cube of the segmentation: its SHA-256 differs; --cube and --checkpoint take" in note
    internal, (note,) = scores(found, cube="scan.h5")
    assert numbers(internal) == pytest.approx(reference(cube, model, found.labels), abs=2e-4)
    assert note == "scan.h5 is not the cube of the segmentation: its SHA-256 differs"
    (tmp_path / "run/checkpoints/last.ckpt").rename("moved.ckpt")
    assert "last.ckpt: no such checkpoint; --checkpoint FILE says where" in scores(found)[1][0]
    assert scores(found, cube="elsewhere", checkpoint="moved.ckpt")[1] == ()


def test_a_cube_in_memory_or_on_another_axis(scan):
    _, _, found = scan
    unnamed = dataclasses.replace(found, provenance=dataclasses.replace(found.provenance, cube=""))
    assert "that of a cube in memory" in scores(unnamed)[1][0]
    no_model = dataclasses.replace(found, provenance=dataclasses.replace(found.provenance, checkpoint=""))
    assert "names no checkpoint" in scores(no_model)[1][0]
    labels = found.labels.astype(np.int64)
    _, (note,) = scores_in_input_space(found, labels, CubeOptions(channels="0:30"))
    assert "was segmented with" in note
    assert "give the same --axis" in note
    assert "two clusters with pixels" in scores_in_input_space(found, labels * 0, CubeOptions())[1][0]


@pytest.mark.parametrize("steps", [["sqrt", {"step": "standard", "scale": "channel"}], ["sqrt", "max"]])
def test_preprocessing_of_a_baseline_is_fitted_on_the_same_spectra(tmp_path, steps):
    cube, _ = planted_cube(40, 40)
    cube.mask[:3] = False
    cube.save(tmp_path / "scan.h5")
    with read_cube(tmp_path / "scan.h5") as opened:
        found = segment_by_baseline(opened, "pca", BaselineOptions(preprocess=steps, components=2, sample=300))
    found.save(tmp_path / "segmentation.h5")
    found = Segmentation.load(tmp_path / "segmentation.h5")
    assert method_of(found) == "pca"
    internal, notes = scores(found)
    assert notes == ()
    # PCA of all components keeps every distance: its latent points are the preprocessed spectra, turned.
    with read_cube(tmp_path / "scan.h5") as opened:
        whole = segment_by_baseline(opened, "pca", BaselineOptions(preprocess=steps, components=60, sample=300))
    kept = found.labels >= 0
    z, labels = whole.latents[kept], found.labels[kept]
    values = silhouette_samples(z, labels)
    assert internal.silhouette_samples.score == pytest.approx(values.mean(), abs=1e-3)
    assert internal.davies_bouldin == pytest.approx(davies_bouldin_score(z, labels), rel=1e-3)
    assert internal.calinski_harabasz == pytest.approx(calinski_harabasz_score(z, labels), rel=1e-3)
