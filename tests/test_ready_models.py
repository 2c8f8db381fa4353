"""Ready models: found by name, whole, and of use on scans of instruments that they were not trained on."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from deepspec import DeepClustering, evaluate, pretrained, read_cube, segment
from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube
from deepspec.errors import UserError
from deepspec.models import NetworkConfig, SpectralModel
from deepspec.segmentation import Segmentation, segment_cube
from deepspec.segmentation.alignment import COVERED, align
from tests.conftest import load_experiment
from tests.support.errors import error_of

pytestmark = pytest.mark.usefixtures("few_clouds")

READY = "pretrained:xrf"
FINE = SpectralAxis.linear(0.0, 0.02, 1600, "keV")


def lines_of_elements(axis, *energies):
    """(C,) expected counts of narrow peaks on a falling background, 3,000 in all."""
    e = axis.values
    rate = 0.02 * np.exp(-e / 8) + sum(np.exp(-0.5 * ((e - energy) / 0.06) ** 2) for energy in energies)
    return 3000 * rate / rate.sum()


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A scan of an instrument with 20 eV a channel up to 32 keV, three materials in bands, and their map."""
    rates = np.array([lines_of_elements(FINE, *lines) for lines in ((3.69, 6.40), (3.69, 8.05), (10.55, 12.61))])
    labels = np.broadcast_to(np.repeat([0, 1, 2], [8, 10, 14]), (24, 32))
    counts = np.random.default_rng(0).poisson(rates[labels])
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    SpectralCube.from_array(counts.astype(np.uint16), axis=FINE).save(path)
    return path, labels


@pytest.fixture(scope="module")
def model():
    return SpectralModel.load(READY)


def test_a_scan_of_another_instrument_is_segmented_and_evaluated_from_the_command_line(scan, tmp_path, capsys):
    path, truth = scan
    out = tmp_path / "out"
    segment.main([str(path), "--checkpoint", READY, "--clusters", "refit", "--export", "none", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "for the ready model xrf, rebinned from 1600 channels, 0 to 31.98 keV to 207 channels" in printed
    found = Segmentation.load(out / "segmentation.h5")
    assert found.k == 3
    assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) == 1
    assert found.axis.matches(FINE)
    np.save(tmp_path / "truth.npy", truth)
    evaluate.main(
        [str(out), "--reference", str(tmp_path / "truth.npy"), "--checkpoint", READY, "--k", "2", "4", "--refits", "2",
         "--export", "none", "--out", str(tmp_path / "evaluation")]
    )  # fmt: skip
    assert "pretrained:xrf (refit)" in (tmp_path / "evaluation" / "evaluation.json").read_text()


def test_neither_dose_nor_channel_width_changes_the_map(scan, model):
    path, truth = scan
    with read_cube(path) as cube:
        x_HWC = cube.read_rows(0, 24)
    coarse = SpectralCube.from_array(x_HWC.reshape(24, 32, 320, 5).sum(-1), SpectralAxis.linear(0.04, 0.1, 320, "keV"))
    thinned = SpectralCube.from_array(np.random.default_rng(1).binomial(x_HWC, 0.1).astype(np.uint16), FINE)
    as_float = SpectralCube.from_array(x_HWC.astype(np.float32), FINE)
    for other in (coarse, thinned, as_float):
        found = segment_cube(other, model, clusters="refit")
        assert adjusted_rand_score(truth.ravel(), found.labels.ravel()) == 1


def test_a_uniform_object_is_one_cluster(model):
    counts = np.random.default_rng(2).poisson(np.broadcast_to(lines_of_elements(FINE, 3.69, 6.4), (20, 30, 1600)))
    assert segment_cube(SpectralCube.from_array(counts.astype(np.uint16), FINE), model, clusters="refit").k == 1


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_counts_stay_counts_on_the_axis_of_the_model(dtype, model):
    edges = model.axis.edges()
    fine = np.concatenate([np.linspace(*pair, 5)[:-1] for pair in itertools.pairwise(edges)])
    fine = np.append(fine, edges[-1])  # each channel of the model in four
    axis = SpectralAxis((fine[:-1] + fine[1:]) / 2, "keV")
    counts = np.random.default_rng(3).poisson(2.0, (4, 5, axis.channels)).astype(dtype)
    alignment = align(SpectralCube.from_array(counts, axis), model, allow_rebin=False)
    aligned_ND = alignment.to_model(torch.from_numpy(counts.reshape(20, -1).astype(np.float32))).numpy()
    np.testing.assert_allclose(aligned_ND, counts.reshape(20, -1, 4).sum(-1), atol=1e-3)


def test_its_clusters_are_refused_for_it_has_none(scan, tmp_path, capsys):
    said = error_of(capsys, lambda: segment.main([str(scan[0]), "--checkpoint", READY, "--out", str(tmp_path / "o")]))
    assert "the ready model xrf, trained on other objects, has no clusters" in said
    assert said.endswith("--clusters refit")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("verb", [segment, evaluate])
def test_an_unknown_name_is_refused(verb, scan, tmp_path, capsys):
    said = error_of(capsys, lambda: verb.main([str(scan[0]), "--checkpoint", "pretrained:xfr"]))
    assert "pretrained:xfr: no ready model of that name (did you mean 'xrf'?); ready models: xrf" in said


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (SpectralAxis.linear(2.0, 0.02, 300, "keV"), "needs 75% of its range, the cube covers 3[89]%: fit a model"),
        (SpectralAxis.linear(40.0, 0.02, 300, "keV"), "do not overlap"),
        (SpectralAxis.linear(400.0, 1.0, 300, "nm"), "measure different things"),
        (SpectralAxis.linear(0.0, 1.0, 207, "channel"), "give the cube's calibration with --axis FIRST:LAST:UNIT"),
    ],
)
def test_an_axis_that_it_cannot_take_is_refused(axis, message, model):
    cube = SpectralCube.from_array(np.ones((6, 7, axis.channels), np.uint16), axis)
    with pytest.raises(UserError, match=message) as error:
        segment_cube(cube, model, clusters="refit")
    assert "\n" not in str(error.value)


def test_how_much_of_the_axis_must_be_covered(model):
    for channels, refused in ((int(COVERED * 207) - 1, True), (int(COVERED * 207) + 1, False)):
        axis = model.axis.slice(0, channels)
        cube = SpectralCube.from_array(np.ones((3, 4, channels), np.uint16), axis)
        if refused:
            with pytest.raises(UserError, match="needs 75%"):
                align(cube, model, allow_rebin=True)
        else:
            assert f"{207 - channels} of the checkpoint's 207" in align(cube, model, allow_rebin=False).notes[1]


# The file


def test_the_file_is_small_and_holds_nothing_of_the_training_but_its_settings():
    path = pretrained.ready_model(READY)
    assert path.stat().st_size < 2**20
    loaded = DeepClustering.load(READY)
    assert (loaded.ready, int(loaded.clusters.count), loaded.reading) == ("xrf", 0, None)
    assert next(type(step).__name__ for step in loaded.preprocess.steps) == "Dose"
    assert loaded.run_config is not None
    assert not any(f"{word}: /" in loaded.run_config for word in ("root", "run_dir"))


@pytest.mark.parametrize("place", [1000, -1000])
def test_a_damaged_file_is_refused(place, tmp_path, monkeypatch, scan, capsys):
    content = bytearray(pretrained.ready_model(READY).read_bytes())
    content[place] ^= 1
    (tmp_path / "xrf.ckpt").write_bytes(content)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    said = error_of(capsys, lambda: segment.main([str(scan[0]), "--checkpoint", READY, "--clusters", "refit"]))
    assert "expected SHA-256" in said
    assert said.endswith("install deepspec again")
    (tmp_path / "xrf.ckpt").unlink()
    with pytest.raises(UserError, match="this copy of deepspec lacks"):
        DeepClustering.load(READY)


def test_the_card_speaks_of_this_file():
    for name, sha256 in pretrained.SHA256.items():
        path = pretrained.FOLDER / f"{name}.ckpt"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        assert sha256 in (pretrained.FOLDER / f"{name}.md").read_text()


def test_a_ready_model_is_made_of_a_run_and_is_the_same_file_each_time(tmp_path):
    script = load_experiment("ready_model")
    torch.manual_seed(0)
    trained = DeepClustering(FINE.to_dict(), NetworkConfig(encoder=[8], output="linear"), ["dose", "sqrt"])
    trained.preprocess.fit(torch.rand(9, 1600))
    trained.clusters.set(torch.rand(3, 3))
    trained.reading = {"masks": {"somewhere/secret.png": "mask"}}
    trained.save(tmp_path / "run" / "model.ckpt")
    made = [script.make(tmp_path / "run", "mine", tmp_path / name) for name in ("a.ckpt", "b.ckpt")]
    assert made[0] == made[1]
    assert b"secret" not in (tmp_path / "a.ckpt").read_bytes()
    loaded = DeepClustering.load(tmp_path / "a.ckpt")
    assert (loaded.ready, int(loaded.clusters.count)) == ("mine", 0)
    x_NC = torch.rand(5, 1600)
    assert torch.equal(loaded.encode(x_NC), trained.eval().encode(x_NC))


def test_comparison_with_training_prints_a_row(scan, capsys, tmp_path):
    path, truth = scan
    np.save(tmp_path / "truth.npy", truth)
    script = load_experiment("ready_against_training")
    script.main([str(path), "--labels", str(tmp_path / "truth.npy"), "--seeds", "0"])
    header, row = capsys.readouterr().out.splitlines()[-2:]
    assert header == script.HEADER
    assert row.startswith("scan.h5 | 3 | 3 | 1.000 | - | 1.000, 1.000 | ")
