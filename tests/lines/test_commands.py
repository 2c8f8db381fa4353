"""`segment`, `baseline` and `evaluate` on a cube whose energy axis is wrong by 60 eV."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from deepspec import baseline, evaluate, segment
from deepspec.axis import SpectralAxis
from deepspec.clustering import structure
from deepspec.data.cube_options import CubeOptions
from deepspec.data.fingerprint import sha256_of
from deepspec.errors import UserError
from deepspec.lines import LineOptions
from deepspec.lines.calibration_fit import family_shapes
from deepspec.lines.xray_lines import families
from deepspec.models import NetworkConfig
from deepspec.reporting import outputs
from deepspec.segmentation import Segmentation
from deepspec.segmentation.options import ResultOptions, SegmentOptions
from deepspec.training.module import DeepClustering
from deepspec.workers.segmenting import SegmentJob, SegmentRequest
from tests.undrawn import save_undrawn

TRUE = SpectralAxis.linear(0.5, 0.02, 700, "keV")
WRONG = "0.56:14.54:keV"  # 60 eV too high
MATERIALS = (
    {("Ca", "K"): 60.0, ("Fe", "K"): 200.0, ("Sr", "K"): 1.0},
    {("Cu", "K"): 150.0, ("Pb", "L"): 150.0, ("Ca", "K"): 40.0},
)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A cube of two materials, and a network without training on the wrong axis."""
    folder = tmp_path_factory.mktemp("lines")
    rates = []
    for areas in MATERIALS:
        chosen = [f for f in families() if (f.element, f.shell) in areas]
        amounts = np.array([areas[f.element, f.shell] for f in chosen])
        rates.append(0.5 + amounts @ family_shapes(chosen, TRUE.values, 145.0))
    truth = np.repeat([[0] * 6 + [1] * 6], 10, axis=0)
    cube = np.random.default_rng(0).poisson(np.array(rates)[truth]).astype(np.uint16)
    np.save(folder / "scan.npy", cube)
    torch.manual_seed(0)
    wrong = SpectralAxis.parse(WRONG, TRUE.channels)
    model = DeepClustering(wrong.to_dict(), NetworkConfig(encoder=[16], output="linear"), ["sqrt", "max"]).eval()
    model.clusters.set(torch.stack([model.encode(torch.from_numpy(r[None].astype(np.float32)))[0] for r in rates]))
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    torch.save(content, folder / "model.ckpt")
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Empty files for figures, and few clouds in the test of structure: both have tests of their own."""
    monkeypatch.setattr(outputs, "save_figures", save_undrawn)
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)


def segmented(scan, out, *more):
    words = [str(scan / "scan.npy"), "--checkpoint", str(scan / "model.ckpt"), "--axis", WRONG, "--device", "cpu"]
    segment.main([*words, "--out", str(out), "--export", "csv", *more])
    return Segmentation.load(out / "segmentation.h5")


def named(out):
    with open(out / "peaks.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["rank"] == "1"]


def test_names_are_right_and_the_axis_is_doubted(scan, tmp_path, capsys):
    found = segmented(scan, tmp_path / "out")
    said = capsys.readouterr().out
    assert "an offset of -60 ± " in said or "an offset of -59 ± " in said or "an offset of -61 ± " in said
    assert "warning: the energy axis is off by " in said
    call = said.partition("--calibrate ")[2].split(", or add")[0]
    assert any("--calibrate" in note for note in found.notes)
    assert found.measured_axis is None
    assert found.axis.values[0] == pytest.approx(0.56)
    rows = named(tmp_path / "out")
    iron = next(row for row in rows if row["candidate"] == "Fe Kα")
    assert float(iron["position"]) == pytest.approx(6.40 + 0.06, abs=0.02)
    assert float(iron["explained"]) == pytest.approx(1, abs=0.1)
    assert {"Ca Kα", "Cu Kα", "Pb Lα", "Pb Lβ"} <= {row["candidate"] for row in rows}
    # The line that was said puts the axis right: on it there is nothing to doubt.
    words = [str(scan / "scan.npy"), "--calibrate", call, "--k", "2", "3", "--device", "cpu", "--export", "none"]
    baseline.main(["pca", *words, "--out", str(tmp_path / "right")])
    again = capsys.readouterr().out
    assert "energy axis: the lines of" in again
    assert "warning" not in again


def test_the_axis_is_refined(scan, tmp_path, capsys):
    out = tmp_path / "out"
    found = segmented(scan, out, "--refine-axis")
    said = capsys.readouterr().out
    assert "the energy axis was refined by it" in said
    assert "warning" not in said
    inner = slice(150, 650)
    assert np.abs(found.axis.values - TRUE.values)[inner].max() < 0.01  # half a channel
    assert np.abs(found.decoded_axis.values - TRUE.values)[inner].max() < 0.01
    np.testing.assert_allclose(found.measured_axis.values, SpectralAxis.parse(WRONG, 700).values)
    iron = next(row for row in named(out) if row["candidate"] == "Fe Kα")
    assert float(iron["position"]) == pytest.approx(6.40, abs=0.02)
    with open(out / "spectra.csv", newline="") as file:
        first = float(next(iter(list(csv.reader(file))[1:]))[0])
    assert first == pytest.approx(0.5, abs=0.03)
    # The cube is found again by the axis that its file has.
    scores = [str(out), "--out", str(tmp_path / "scores"), "--axis", WRONG, "--device", "cpu", "--export", "none"]
    evaluate.main(scores)
    assert (tmp_path / "scores" / "evaluation.json").is_file()


def test_a_baseline_refines_too_and_options_are_checked_first(scan, tmp_path, capsys):
    words = ["pca", str(scan / "scan.npy"), "--axis", WRONG, "--k", "2", "3", "--device", "cpu", "--export", "none"]
    baseline.main([*words, "--out", str(tmp_path / "b"), "--refine_axis", "--tube", "none"])
    axis = Segmentation.load(tmp_path / "b" / "segmentation.h5").axis
    assert np.abs(axis.values - TRUE.values)[150:650].max() < 0.01
    capsys.readouterr()
    for option, value, message in (
        ("--tube", "Xx", "tube 'Xx': expected the anode"),
        ("--significance", "1", "at least 3"),
    ):
        with pytest.raises(SystemExit) as caught:
            segmented(scan, tmp_path / "none", option, value)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "none").exists()


def test_a_scan_that_was_named_otherwise_is_not_taken_for_the_same(scan, tmp_path):
    asked = SegmentRequest(
        str(scan / "model.ckpt"),
        SegmentOptions(sample=1000, n_init=1, device="cpu"),
        ResultOptions(export="none"),
        CubeOptions(axis=WRONG),
        LineOptions(),
    )
    job = SegmentJob(str(scan / "scan.npy"), str(tmp_path / "out"), None, asked, sha256_of(scan / "model.ckpt"))
    assert not job.run().kept
    assert job.run().kept
    with pytest.raises(UserError, match=r"made otherwise \(tube\)"):
        replace(job, asked=replace(asked, lines=LineOptions(tube="Rh"))).run()
