"""Experiments and sweeps by name, also from a built wheel in a folder where nothing else is."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from deepspec import fit, sweep
from deepspec.axis import SpectralAxis
from deepspec.command import join_signs
from deepspec.data.shards.manifest import ShardSet
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError
from deepspec.experiments import main as experiments
from deepspec.presets import find_config, presets, summary, with_config_paths
from deepspec.segmentation import Segmentation
from deepspec.training.recommended import names, recommended, with_recommended

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("given", ["xrf", "preset:xrf"])
def test_a_name_is_the_file_at_the_top_of_the_tree(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(given, "experiments") == ROOT / "experiments" / "xrf.yaml"
    assert find_config(given, "sweeps") == ROOT / "sweeps" / "xrf.yaml"


def test_a_file_here_wins_over_a_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("xrf").write_text("seed_everything: 1\n")
    assert find_config("xrf", "experiments") == Path("xrf")
    assert find_config("preset:xrf", "experiments") == ROOT / "experiments" / "xrf.yaml"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("xfr", "no preset of that name .did you mean 'xrf'"),
        ("preset:nothing", "presets: baseline_autoencoder, .*xrf"),
        ("experiments/xrf.yaml", "no such file; deepspec brings one of that name: --config xrf"),
        ("somewhere/mine.yaml", "somewhere/mine.yaml: no such file$"),
    ],
)
def test_what_is_not_there(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        find_config(given, "experiments")


def test_every_form_of_the_option():
    path = str(ROOT / "experiments" / "xrf.yaml")
    assert with_config_paths(["-c", "xrf", "--run_dir", "xrf"], "experiments") == ["-c", path, "--run_dir", "xrf"]
    assert with_config_paths(["--config=xrf"], "experiments") == [f"--config={path}"]
    assert with_config_paths(["--config"], "experiments") == ["--config"]


@pytest.mark.parametrize("kind", ["experiments", "sweeps"])
def test_every_preset_is_summed_up_in_a_sentence(kind):
    for name, path in presets(kind).items():
        assert 15 < len(summary(path)) < 300, name
        assert path.read_text().replace("\n# ", " ").startswith("# " + summary(path)), name


def test_the_verb_lists_and_copies(tmp_path, capsys):
    experiments([])
    shown = capsys.readouterr().out
    for kind in ("experiments", "sweeps"):
        assert all(f"\n  {name} " in shown for name in presets(kind))
    experiments(["--out", str(tmp_path / "all")])
    copied = {path.relative_to(tmp_path / "all") for path in (tmp_path / "all").rglob("*.yaml")}
    assert copied == {Path(kind, f"{name}.yaml") for kind in ("experiments", "sweeps") for name in presets(kind)}
    experiments(["paper_xrf", "--out", str(tmp_path / "one")])
    (one,) = (path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert one.read_bytes() == (ROOT / "experiments" / "paper_xrf.yaml").read_bytes()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["xrf"], "give --out FOLDER"),
        (["nonsense", "--out", "."], "no experiment or sweep is called 'nonsense'"),
        (["xrf", "--out", "."], "is there already"),
    ],
)
def test_the_verb_refuses(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("sweeps").mkdir()
    Path("sweeps/xrf.yaml").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        experiments(args)
    assert message in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.rglob("*.yaml")] == ["mine"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml")))
def test_the_experiment_of_every_sweep_that_comes_with_deepspec_is_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = yaml.safe_load((ROOT / "sweeps" / f"{name}.yaml").read_text())["experiment"]
    assert Path(sweep.experiment_path(given, [ROOT / "sweeps"])).parent == ROOT / "experiments"


def test_the_experiment_beside_the_sweeps_file_comes_first(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sweep, "sweep", lambda settings: seen.append(settings.experiment))
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    content = {"study": "s", "experiment": "mine.yaml", "search": {}, "objectives": {"val/target": "minimize"}}
    file = tmp_path / "there" / "sweep.yaml"
    file.write_text(yaml.safe_dump(content))
    Path("mine.yaml").write_text("run_dir: here\n")
    sweep.main(["--config", str(file)])
    (tmp_path / "there" / "mine.yaml").write_text("run_dir: there\n")
    sweep.main(["--config", str(file)])
    sweep.main(["--config", str(file), "--experiment", "mine.yaml"])
    sweep.main(["--config", str(file), "--experiment", "preset:xrf"])
    assert seen == [
        "mine.yaml", str(tmp_path / "there" / "mine.yaml"), "mine.yaml", str(ROOT / "experiments" / "xrf.yaml"),
    ]  # fmt: skip


# Which experiment, where none is given


@pytest.mark.parametrize(
    ("axis", "dtype", "expected"),
    [
        (SpectralAxis.linear(0.0, 0.01, 2048, "keV"), "uint16", "xrf"),
        (SpectralAxis.linear(4750.0, 1.25, 3681, "angstrom"), "float32", "nebulae"),  # MUSE
        (SpectralAxis.linear(3600.0, 8.9, 512, "angstrom"), "float32", "nebulae"),
        (SpectralAxis.linear(380.0, 10.0, 198, "nm"), "uint16", "hyperspectral"),  # AVIRIS
        (SpectralAxis.linear(0.43, 0.004, 103, "um"), "float32", "hyperspectral"),  # ROSIS
    ],
)
def test_the_kind_of_data_chooses(axis, dtype, expected):
    name, told = recommended(axis, np.dtype(dtype))
    assert name == expected
    assert name in names()
    assert told


@pytest.mark.parametrize(("unit", "dtype"), [("channel", "uint16"), ("channel", "float32"), ("keV", "float32")])
def test_none_is_recommended_for_what_could_be_anything(unit, dtype):
    with pytest.raises(UserError, match="give --config with one of hyperspectral, nebulae, xrf"):
        recommended(SpectralAxis.linear(0.0, 1.0, 64, unit), np.dtype(dtype))


def test_a_command_line_with_an_experiment_of_its_own_is_left_alone(tiny_shards):
    root = ["--data.root", str(tiny_shards)]
    for own in (["--config", "a.yaml"], ["-c", "a"], ["--config=a"], ["--model.preprocess", "[sqrt]"]):
        assert with_recommended([*root, *own]) == [*root, *own]
    assert with_recommended(["--run_dir", "a"]) == ["--run_dir", "a"]  # the parser says what is missing


def test_fit_without_a_configuration_says_which_it_takes_and_finds_what_is_there(tiny_shards, tmp_path, capsys):
    fit.main([f"--data.root={tiny_shards}", "--run_dir", str(tmp_path / "run"), "--trainer.accelerator", "cpu"])
    printed, said = capsys.readouterr()
    assert said.startswith("no --config: counts over energy, so --config xrf (")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["clusterer"]["kind"] == "valleys"
    assert config["trainer"]["max_steps"] == 800
    assert "K = 4" in printed  # of four planted materials


def test_fit_without_a_configuration_refuses_what_it_does_not_know(tmp_path, capsys):
    with ShardWriter(tmp_path / "shards", SpectralAxis.linear(0.0, 1.0, 16, "channel"), "float32", seed=0) as writer:
        writer.write("train", np.ones((50, 16), np.float32), np.zeros((50, 3), np.int32))
    with pytest.raises(SystemExit, match="2"):
        fit.main(["--data.root", str(tmp_path / "shards"), "--run_dir", str(tmp_path / "run")])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no experiment is recommended for numbers that are no counts over channel" in error
    assert not (tmp_path / "run").exists()


def test_a_value_with_a_sign_needs_no_equals_sign():
    assert join_signs(["s.h5", "--axis", "-.5:9:keV", "-h"]) == ["s.h5", "--axis=-.5:9:keV", "-h"]


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of this tree, built from a source distribution, both without a network."""
    root = tmp_path_factory.mktemp("wheel")
    source = root / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "deepspec", "experiments", "sweeps"):
        kept = ROOT / name
        if kept.is_dir():
            shutil.copytree(kept, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(kept, source / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(root)], cwd=source, check=True, capture_output=True)
    (archive,) = root.glob("*.tar.gz")
    shutil.unpack_archive(archive, root / "unpacked")
    (unpacked,) = (root / "unpacked").iterdir()
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(root)], cwd=unpacked, check=True, capture_output=True)
    (built,) = root.glob("*.whl")
    with zipfile.ZipFile(built) as file:
        file.extractall(root / "installed")
    return root / "installed"


@pytest.mark.slow
def test_the_main_job_passes_from_a_built_wheel_in_an_empty_folder(wheel, tmp_path):
    for kind in ("experiments", "sweeps"):
        packed = {path.name: path.read_bytes() for path in (wheel / "deepspec" / "presets" / kind).glob("*.yaml")}
        assert packed == {path.name: path.read_bytes() for path in (ROOT / kind).glob("*.yaml")}
    ready = [path.name for path in (ROOT / "deepspec" / "pretrained").iterdir() if path.is_file()]
    assert {"xrf.ckpt", "xrf.md"} <= set(ready)
    for name in ready:
        packed = (wheel / "deepspec" / "pretrained" / name).read_bytes()
        assert packed == (ROOT / "deepspec" / "pretrained" / name).read_bytes()
    environment = {**os.environ, "PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}

    def deepspec(*words):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "deepspec", *words],
            cwd=tmp_path, env=environment, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert str(wheel) in subprocess.run(
        [sys.executable, "-P", "-c", "import deepspec; print(deepspec.__file__)"],
        cwd=tmp_path, env=environment, text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip
    counts = np.random.default_rng(0).poisson(np.linspace(1, 30, 64), (24, 30, 64))
    counts[:, 15:, 20:26] += np.random.default_rng(1).poisson(60, (24, 15, 6))
    np.save(tmp_path / "scan.npy", counts.astype(np.uint16))
    deepspec("ingest", "scan.npy", "--axis", "-0.069:29.8:keV", "--out", "shards")
    assert ShardSet(tmp_path / "shards").axis.values[[0, -1]].tolist() == pytest.approx([-0.069, 29.8])
    assert "xrf" in deepspec("experiments")
    deepspec("fit", "--config", "xrf", "--data.root", "shards", "--run_dir", "run", "--trainer.accelerator", "cpu")
    deepspec("segment", "scan.npy", "--checkpoint", "run/model.ckpt", "--clusters", "refit", "--out", "result")
    assert (tmp_path / "result" / "report.html").is_file()
    labels = Segmentation.load(tmp_path / "result" / "segmentation.h5").labels
    assert len(np.unique(labels[:, :15])) == len(np.unique(labels[:, 15:])) == 1
    assert labels[0, 0] != labels[0, -1]
    deepspec(
        "segment", "scan.npy", "--checkpoint", "pretrained:xrf", "--clusters", "refit", "--out", "ready",
        "--axis", "-0.069:29.8:keV",
    )  # fmt: skip
    by_ready = Segmentation.load(tmp_path / "ready" / "segmentation.h5").labels
    assert ((by_ready == by_ready[0, 0]) == (labels == labels[0, 0])).all()  # two clusters of one size have no order
    deepspec("map", "scan.npy", "--axis", "-0.069:29.8:keV")
    mapped = Segmentation.load(tmp_path / "scan-map" / "scan-segmentation" / "segmentation.h5").labels
    assert ((mapped == mapped[0, 0]) == (labels == labels[0, 0])).all()  # likewise
