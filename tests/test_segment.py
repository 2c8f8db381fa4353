import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from deepspec import segment as verb
from deepspec.models import NetworkConfig
from deepspec.reporting import outputs
from deepspec.segmentation import Segmentation
from deepspec.training.module import DeepClustering
from tests.support.errors import error_of
from tests.support.planted import AXIS, planted_cube, planted_rates
from tests.undrawn import save_undrawn

pytestmark = pytest.mark.usefixtures("few_clouds")

FIGURES = [
    f"{n}.png" for n in ("clusters", "difference", "integrated", "labels", "latents", "masks", "spectra", "statistics")
]
EXPORTS = ["labels.tif", "peaks.csv", "report.html", "spectra-decoded.csv", "spectra.csv", "statistics.csv"]


@pytest.fixture
def no_figures(monkeypatch):
    """Empty files in the place of figures, which have tests of their own and take a second to draw."""
    monkeypatch.setattr(outputs, "save_figures", save_undrawn)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A planted cube on disk, a checkpoint of a network without training, and one that has clusters."""
    folder = tmp_path_factory.mktemp("scan")
    cube, truth = planted_cube(counts=20_000)
    np.save(folder / "scan.npy", cube.read_rows(0, 24))
    torch.manual_seed(0)
    model = DeepClustering(AXIS.to_dict(), NetworkConfig(encoder=[16], output="linear"), ["sqrt", "max"])
    save_checkpoint(model, folder / "bare.ckpt")
    z = model.eval().encode(torch.from_numpy(planted_rates(counts=20_000).astype(np.float32)))
    model.clusters.set(z)
    save_checkpoint(model, folder / "model.ckpt")
    spectra = torch.from_numpy(cube.read_rows(0, 24).reshape(720, -1))
    nearest = model.clusters.assign(model.encode(spectra)).numpy().reshape(24, 30)
    assert (nearest == truth).mean() > 0.9, (
        "even without training the materials must be told apart, or tests say little"
    )
    return folder, nearest


def save_checkpoint(model, path):
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    torch.save(content, path)


def run(scan, *args):
    folder, _ = scan
    verb.main([str(folder / "scan.npy"), "--checkpoint", str(folder / "model.ckpt"), "--axis", "1:15.75:keV", *args])


def test_frozen_writes_and_prints_everything(scan, tmp_path, capsys):
    out = tmp_path / "new" / "result"
    run(scan, "--out", str(out))
    assert sorted(path.name for path in out.iterdir()) == sorted(["segmentation.h5", *FIGURES, *EXPORTS])
    found = Segmentation.load(out / "segmentation.h5")
    np.testing.assert_array_equal(found.labels, scan[1])
    assert found.provenance.cube.endswith("scan.npy")
    assert len(found.provenance.checkpoint_sha256) == 64
    printed = capsys.readouterr().out
    assert "K = 4, silhouette of the latents 0." in printed
    pixels = int((scan[1] == 3).sum())
    assert f"cluster 3: {pixels / 7.2:.1f} %, {pixels} pixels" in printed
    assert found.structure.sentence in printed
    for name in ("segmentation.h5", *FIGURES, *EXPORTS):
        assert f"wrote {out / name}" in printed
    assert [path.name for path in out.parent.iterdir()] == ["result"]


@pytest.mark.usefixtures("no_figures")
def test_a_run_folder_stands_for_its_model(scan, tmp_path, capsys):
    folder, labels = scan
    (tmp_path / "run.33").mkdir()
    shutil.copy(folder / "model.ckpt", tmp_path / "run.33")
    common = [str(folder / "scan.npy"), "--axis", "1:15.75:keV", "--out", str(tmp_path / "out"), "--checkpoint"]
    verb.main([*common, str(tmp_path / "run.33")])
    found = Segmentation.load(tmp_path / "out" / "segmentation.h5")
    np.testing.assert_array_equal(found.labels, labels)
    assert found.provenance.checkpoint.endswith("run.33/model.ckpt")
    (tmp_path / "empty").mkdir()
    message = error_of(capsys, lambda: verb.main([*common, str(tmp_path / "empty")]))
    assert "empty: no such checkpoint; `fit` writes model.ckpt" in message


@pytest.mark.usefixtures("no_figures")
def test_refit_has_a_silhouette_curve_and_takes_a_range(scan, tmp_path):
    run(scan, "--out", str(tmp_path / "r"), "--clusters", "refit", "--k", "2", "6", "--seed", "4")
    assert (tmp_path / "r" / "silhouette.png").is_file()
    found = Segmentation.load(tmp_path / "r" / "segmentation.h5")
    assert list(found.scores) == [2, 3, 4, 5, 6]
    assert found.provenance.seed == 4


@pytest.mark.usefixtures("no_figures")
def test_the_default_folder_is_named_after_the_cube(scan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(scan)
    assert (tmp_path / "scan-segmentation" / "segmentation.h5").is_file()


@pytest.mark.usefixtures("no_figures")
def test_an_earlier_segmentation_is_replaced_only_when_told(scan, tmp_path, capsys):
    out = tmp_path / "r"
    run(scan, "--out", str(out), "--clusters", "refit")
    before = (out / "segmentation.h5").read_bytes()
    assert "--overwrite true replaces it" in error_of(capsys, lambda: run(scan, "--out", str(out)))
    assert (out / "segmentation.h5").read_bytes() == before
    run(scan, "--out", str(out), "--overwrite", "true")
    assert Segmentation.load(out / "segmentation.h5").provenance.clusters == "frozen"
    assert not (out / "silhouette.png").exists()


@pytest.mark.usefixtures("no_figures")
def test_exports_are_chosen(scan, tmp_path, capsys):
    run(scan, "--out", str(tmp_path / "bare"), "--export", "none")
    assert sorted(path.name for path in (tmp_path / "bare").iterdir()) == sorted(["segmentation.h5", *FIGURES])
    run(scan, "--out", str(tmp_path / "some"), "--export", "msa,masks,fits,svg")
    names = {path.name for path in (tmp_path / "some").iterdir()}
    assert names == {"segmentation.h5", "labels.fits", "msa", "masks", *FIGURES} | {f"{n[:-4]}.svg" for n in FIGURES}
    assert len(list((tmp_path / "some" / "msa").iterdir())) == 4
    run(scan, "--out", str(tmp_path / "some"), "--export", "none", "--overwrite")
    assert not (tmp_path / "some" / "msa").exists()
    more = ("--out", str(tmp_path / "x"))
    assert "export 'pgn': expected auto, none, all" in error_of(capsys, lambda: run(scan, *more, "--export", "pgn,svg"))
    message = error_of(capsys, lambda: run(scan, *more, "--export", "training"))
    assert "needs metrics.csv of the run beside" in message
    assert "redshift: expected -0.1" in error_of(capsys, lambda: run(scan, *more, "--redshift", "2", "1"))
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("no_figures")
def test_the_report_has_the_options_and_the_configuration(scan, tmp_path):
    run(scan, "--out", str(tmp_path / "r"), "--seed", "41")
    text = (tmp_path / "r" / "report.html").read_text()
    assert '<td class="wide">seed</td><td class="wide">41</td>' in text
    assert Segmentation.load(tmp_path / "r" / "segmentation.h5").provenance.checkpoint_sha256 in text


@pytest.mark.usefixtures("no_figures")
def test_a_folder_with_other_things_is_left_alone(scan, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    message = error_of(capsys, lambda: run(scan, "--out", str(tmp_path), "--overwrite", "true"))
    assert "something else than a segmentation (notes.txt)" in message
    file = tmp_path / "notes.txt"
    assert "is a file" in error_of(capsys, lambda: run(scan, "--out", str(file)))
    assert file.read_text() == "mine"


@pytest.mark.usefixtures("no_figures")
def test_nothing_is_left_after_an_error(scan, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(outputs, "write_report", fail)
    with pytest.raises(OSError, match="disk full"):
        run(scan, "--out", str(tmp_path / "r"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_figures")
def test_mistakes_are_explained_in_a_line(scan, tmp_path, capsys):
    folder, _ = scan
    cube, checkpoint = str(folder / "scan.npy"), str(folder / "model.ckpt")
    out = ["--out", str(tmp_path / "r")]
    other_axis = [cube, "--checkpoint", checkpoint, "--axis", "1:20:keV", *out]
    assert "--rebin true" in error_of(capsys, lambda: verb.main(other_axis))
    verb.main([*other_axis, "--rebin", "true"])
    assert "rebinned from 60 channels, 1 to 20 keV" in capsys.readouterr().out
    bare = [cube, "--checkpoint", str(folder / "bare.ckpt"), *out, "--overwrite", "true"]
    assert "no clusters" in error_of(capsys, lambda: verb.main(bare))
    nothing = ["none.npy", "--checkpoint", checkpoint]
    assert "none.npy: no such file" in error_of(capsys, lambda: verb.main(nothing))
    assert "such checkpoint" in error_of(capsys, lambda: verb.main([cube, "--checkpoint", "none.ckpt"]))
    assert "device 'abacus'" in error_of(capsys, lambda: verb.main([*bare, "--device", "abacus"]))
    assert "did you mean 'clusters'" in error_of(capsys, lambda: verb.main([*bare, "--clustres", "refit"]))


@pytest.mark.usefixtures("no_figures")
def test_options_of_reading_reach_the_cube(scan, tmp_path):
    folder, truth = scan
    cube = np.load(folder / "scan.npy")
    mask = np.zeros((24, 30), np.uint8)
    mask[:, 5:] = 1
    np.save(tmp_path / "mask.npy", mask)
    np.savez(tmp_path / "scan.npz", first=np.zeros((3, 4, 5)), flat=cube.reshape(720, 60).T)
    verb.main(
        [
            str(tmp_path / "scan.npz"),
            "--checkpoint",
            str(folder / "model.ckpt"),
            "--out",
            str(tmp_path / "r"),
            "--dataset",
            "flat",
            "--spatial_shape",
            "24",
            "30",
            "--mask",
            str(tmp_path / "mask.npy"),
        ]
    )
    found = Segmentation.load(tmp_path / "r" / "segmentation.h5")
    np.testing.assert_array_equal(found.labels[:, 5:], truth[:, 5:])
    assert (found.labels[:, :5] == -1).all()


@pytest.mark.usefixtures("no_figures")
def test_a_folder_of_files_of_one_spectrum_each_is_a_cube(scan, tmp_path, capsys):
    folder, truth = scan
    cube = np.load(folder / "scan.npy")
    spectra = tmp_path / "spectra"
    spectra.mkdir()
    for number, counts in enumerate(cube.reshape(720, 60)):
        lines = "\n".join(map(str, counts))
        (spectra / f"s{number}.mca").write_text(f"<<PMCA SPECTRUM>>\n<<DATA>>\n{lines}\n<<END>>\n")
    options = ["--checkpoint", str(folder / "model.ckpt"), "--axis", "1:15.75:keV", "--out", str(tmp_path / "r")]
    verb.main([str(spectra), *options, "--spatial_shape", "24", "30"])
    np.testing.assert_array_equal(Segmentation.load(tmp_path / "r" / "segmentation.h5").labels, truth)
    assert "took 720 spectra as pixels" in capsys.readouterr().err


def test_help_does_not_wait_for_torch():
    code = "import sys, deepspec.segment; assert not {'torch', 'lightning', 'matplotlib'} & set(sys.modules)"
    root = os.path.dirname(os.path.dirname(os.path.abspath(verb.__file__)))
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.usefixtures("no_figures")
def test_a_raw_cube_takes_axis_and_channels_of_ingest_from_the_checkpoint(tmp_path, capsys):
    """From `ingest --axis --channels` over shards and checkpoint to `segment` without any option."""
    from deepspec.data.shards.manifest import ShardSet
    from deepspec.ingest import main as ingest

    cube, _ = planted_cube(counts=20_000)
    np.save(tmp_path / "train.npy", cube.read_rows(0, 24))
    np.save(tmp_path / "new.npy", cube.read_rows(0, 12))
    options = ["--axis", "1:6.9:keV", "--channels", "4:54"]
    ingest([str(tmp_path / "train.npy"), "--out", str(tmp_path / "shards"), *options])
    shards = ShardSet(tmp_path / "shards")
    torch.manual_seed(0)
    model = DeepClustering(shards.axis.to_dict(), NetworkConfig(encoder=[16], output="linear"), ["sqrt", "max"])
    model.reading = shards.parameters["reading"]
    model.clusters.set(model.eval().encode(torch.from_numpy(planted_rates(counts=20_000).astype(np.float32)[:, 4:54])))
    save_checkpoint(model, tmp_path / "model.ckpt")
    capsys.readouterr()
    out = tmp_path / "out"
    verb.main(
        [str(tmp_path / "new.npy"), "--checkpoint", str(tmp_path / "model.ckpt"), "--out", str(out), "--export", "none"]
    )
    said = capsys.readouterr().err
    assert "took --axis 1:6.9:keV --channels 4:54 (50 of 60 channels) from the checkpoint" in said
    assert Segmentation.load(out / "segmentation.h5").axis.matches(shards.axis)


def test_a_package_adds_a_figure_of_its_own(scan, tmp_path):
    """Written without a change to deepspec: its picture stands in the folder, and its caption in the report."""
    folder, _ = scan
    (tmp_path / "sizes.py").write_text(
        "from deepspec.reporting import ReportFigure\n"
        "from deepspec.drawing import new_figure\n"
        "def draw(shown):\n"
        "    figure = new_figure(4, 3)\n"
        "    figure.add_subplot().bar(range(shown.segmentation.k), shown.segmentation.sizes)\n"
        "    return figure\n"
        "SIZES = ReportFigure('How large the clusters are', draw)\n"
        "BROKEN = ReportFigure('Broken', lambda shown: 1 / 0)\n"
    )
    info = tmp_path / "sizes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sizes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepspec.figures]\nsizes = sizes:SIZES\nbroken = sizes:BROKEN\n")
    command = [sys.executable, "-m", "deepspec.segment", str(folder / "scan.npy"), "--axis", "1:15.75:keV"]
    command += ["--checkpoint", str(folder / "model.ckpt"), "--out", str(tmp_path / "out"), "--export", "report,svg"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (tmp_path / "out" / "sizes.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "sizes.svg").is_file()
    assert "<figcaption>How large the clusters are</figcaption>" in (tmp_path / "out" / "report.html").read_text()
    assert f"wrote {tmp_path}/out/sizes.png" in done.stdout
    assert "no figure 'broken', of another package: it fails with ZeroDivisionError: division by zero" in done.stderr
    assert not (tmp_path / "out" / "broken.png").exists()
    subprocess.run([*command, "--overwrite", "true"], env=environment, check=True, capture_output=True)
