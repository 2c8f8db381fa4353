"""Cubes of 40 to 500 spectra through the real commands with the shipped experiments: nothing is refused."""

import csv

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from deepspec import DeepClustering, Segmentation
from deepspec.baseline import main as baseline
from deepspec.evaluate import main as evaluate
from deepspec.fit import main as fit
from deepspec.ingest import main as ingest
from deepspec.segment import main as segment
from tests.conftest import planted_spectra
from tests.training.test_fit import EXPERIMENTS


def run(tmp_path, cube, experiment, *fit_options, ingest_options=()):
    """Ingest, fit, segment with new clusters; the folder has shards, run and segmentation."""
    ingest([str(cube), "--out", str(tmp_path / "shards"), *map(str, ingest_options)])
    fit(
        ["--config", str(EXPERIMENTS / f"{experiment}.yaml"), "--data.root", str(tmp_path / "shards"),
         "--run_dir", str(tmp_path / "run"), "--trainer.accelerator", "cpu", *fit_options]
    )  # fmt: skip
    segment(
        [str(cube), "--checkpoint", str(tmp_path / "run" / "model.ckpt"), "--clusters", "refit", "--export", "none",
         "--out", str(tmp_path / "segmentation")]
    )  # fmt: skip
    found = Segmentation.load(tmp_path / "segmentation" / "segmentation.h5")
    assert (found.labels >= 0).any()
    return found


@pytest.mark.parametrize(("spectra", "shape", "channels"), [(41, (1, 41), 64), (60, (6, 10), 1024)])
def test_planted_materials_in_a_small_cube(tmp_path, capsys, spectra, shape, channels):
    x, materials = planted_spectra(spectra, channels=channels, materials=5, counts=4000.0, seed=spectra)
    np.save(tmp_path / "cube.npy", x.reshape(*shape, channels))
    few = [
        "--clusterer.kind",
        "ikmeans",
        "--ikmeans.k_min",
        "4",
        "--ikmeans.k_max",
        "16",
        "--model.network.spectra_per_node",
        "1",
    ]  # valleys need 20 of each
    found = run(tmp_path, tmp_path / "cube.npy", "xrf", *few)
    said, errors = capsys.readouterr()
    train = round(0.8 * spectra)
    assert f"train {train} " in said
    assert f"{train} training spectra: batches of {train} instead of 256, an epoch goes over them 10 times" in errors
    assert f"(hidden widths [{train}] for so few spectra, by model.network.spectra_per_node)" in said
    most = (train + round(0.1 * spectra)) // 4
    assert f"K from 4 to {most} instead of 4 to 16" in errors
    assert f"K from 4 to {spectra // 4} instead of 4 to 16: {spectra} pixels are few" in found.notes
    assert adjusted_rand_score(materials, found.labels.ravel()) > 0.9
    model = DeepClustering.load(tmp_path / "run" / "model.ckpt")
    assert model.network_config.encoder == [train]
    assert sum(p.numel() for p in model.network.parameters()) < 6 * spectra * channels
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 80


@pytest.mark.parametrize("spectra", [5, 13, 41])
def test_baseline_and_evaluation_of_a_small_cube(tmp_path, spectra):
    x, materials = planted_spectra(spectra, materials=2, counts=4000.0, seed=spectra)
    np.save(tmp_path / "cube.npy", x[None])
    np.save(tmp_path / "labels.npy", materials[None])
    baseline(["pca", str(tmp_path / "cube.npy"), "--out", str(tmp_path / "pca"), "--export", "none"])
    found = Segmentation.load(tmp_path / "pca" / "segmentation.h5")
    assert found.k <= max(spectra // 4, 2)
    evaluate(
        [str(tmp_path / "pca"), "--reference", str(tmp_path / "labels.npy"), "--out", str(tmp_path / "evaluation")]
    )
    assert (tmp_path / "evaluation" / "evaluation.json").is_file()


def film(data, tmp_path):
    with np.load(data / "aps_xrf" / "aps_axo_std_counts.npz") as file:
        np.save(tmp_path / "film.npy", file["counts"].sum(2).astype(np.uint16))
    return tmp_path / "film.npy"


def micro(data, tmp_path):
    counts = np.load(data / "xfm_micro_xrf" / "ts2_01_sub_export_data.npy").reshape(10, 20, 2, 4096)
    np.save(tmp_path / "micro.npy", counts.sum(2).astype(np.uint16))
    return tmp_path / "micro.npy"


def fly_scan(data, tmp_path):
    return data / "aps_xrf" / "2xfm_0011_2xfm3__0.h5"


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["xrf", "hyperspectral"])
@pytest.mark.parametrize("scan", [film, micro, fly_scan])
def test_real_small_scans(shared_data, tmp_path, scan, experiment):
    found = run(tmp_path, scan(shared_data, tmp_path), experiment)
    if scan is film:
        assert found.structure.verdict != "clear", "it is one material"


@pytest.mark.slow
@pytest.mark.parametrize("channels", [200, 1024, 3681])
def test_nebulae_yaml_takes_any_number_of_channels(tmp_path, capsys, channels):
    x, materials = planted_spectra(400, channels=channels, materials=4, counts=20.0 * channels, seed=channels)
    order = materials.argsort(kind="stable")  # in bands: a pixel is like its neighbours
    x, materials = x[order], materials[order]
    np.save(tmp_path / "cube.npy", x.reshape(20, 20, channels).astype(np.float32))
    found = run(tmp_path, tmp_path / "cube.npy", "nebulae")
    assert found.k == 4
    assert f"spectra of {channels} channels, 32 after preprocessing" in capsys.readouterr().out
    assert adjusted_rand_score(materials, found.labels.ravel()) > 0.9


@pytest.mark.slow
def test_nebulae_yaml_takes_a_real_muse_cube(shared_data, tmp_path, capsys):
    run(tmp_path, shared_data / "muse_udf" / "subcub_mosaic.fits", "nebulae", "--trainer.max_epochs", "3")
    assert "spectra of 500 channels, 32 after preprocessing" in capsys.readouterr().out
