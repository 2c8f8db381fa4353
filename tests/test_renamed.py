"""Names of earlier versions: read everywhere, with one line, and written nowhere."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml

import deepspec
from deepspec import segment, sweep
from deepspec.axis import SpectralAxis
from deepspec.clustering import ClustererConfig, ConsensusKMeans, GaussianMixtures, IKMeans, Valleys
from deepspec.command import in_new_words as in_new_words_of_command
from deepspec.data.fingerprint import read_request, write_request
from deepspec.fit import main as fit
from deepspec.functional import ikmeans, k_criteria, kmeans, stability
from deepspec.metrics import CalinskiHarabasz
from deepspec.models.spectral_model import FORMAT, SpectralModel
from deepspec.renamed import KEYS, in_new_words
from deepspec.runs.folder import differing_keys, find_runs
from deepspec.segmentation import Segmentation
from deepspec.segmentation.options import SegmentOptions
from deepspec.sweeping.experiment import dotted_keys
from deepspec.sweeping.space import Space
from deepspec.training.clustering_callback import IKMeansCallback
from deepspec.training.module import DeepClustering
from deepspec.training.objective_config import ObjectiveConfig
from deepspec.training.optimiser import OptimiserConfig
from tests.support.planted import planted_cube

ROOT = Path(__file__).parents[1]
NEW = {
    "model": {
        "optimizer": {"lr": 2e-3},
        "objective": {"max_iter": 3},
        "preprocess": ["sqrt", {"step": "standard"}],
        "network": {"encoder": [16], "decoder": [16]},
    },
    "ikmeans": {"n_init": 2, "max_iter": 7},
    "clusterer": {"n_init": 4},
}
OLD = {
    "model": {**NEW["model"], "objective": {"iterations": 3}, "optimiser": {"lr": 2e-3}},
    "ikmeans": {"restarts": 2, "iterations": 7},
    "clusterer": {"restarts": 4},
}
del OLD["model"]["optimizer"]
LINE = "old names of settings still work: "


def old_words(value):
    """A configuration as an earlier version wrote it."""
    backwards = {"optimizer": "optimiser", "n_init": "restarts", "max_iter": "iterations"}
    if not isinstance(value, dict):
        return value
    return {backwards.get(key, key): old_words(part) for key, part in value.items()}


def printed(shards, *more, capsys):
    with pytest.raises(SystemExit) as end:
        fit(["--data.root", str(shards), *more, "--print_config"])
    assert end.value.code == 0
    shown = capsys.readouterr()
    return yaml.safe_load(shown.out), shown.err


def test_every_key_of_the_table_has_a_new_name_that_fit_knows(tiny_shards, tmp_path, capsys):
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(NEW))
    config, said = printed(tiny_shards, "--config", str(tmp_path / "new.yaml"), capsys=capsys)
    assert said == ""
    known = dotted_keys(config)
    for key in KEYS:
        (new,) = dotted_keys(in_new_words({key: 0}))
        assert new in known
        assert key not in known


@pytest.mark.parametrize("form", ["file", "inline file", "options", "group", "file of a group"])
def test_fit_reads_old_keys_in_every_form_with_one_line(tiny_shards, tmp_path, capsys, form):
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(NEW))
    expected, _ = printed(tiny_shards, "--config", str(tmp_path / "new.yaml"), capsys=capsys)
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(OLD))
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(OLD["model"]))
    without = {"preprocess": NEW["model"]["preprocess"], "network": NEW["model"]["network"]}
    words = {
        "file": ["--config", str(tmp_path / "old.yaml")],
        "inline file": [f"--config={yaml.safe_dump(OLD)}"],
        "options": ["--model", json.dumps(without), "--model.optimiser.lr", "2e-3", "--model.objective.iterations=3",
                    "--ikmeans.restarts", "2", "--ikmeans.iterations", "7", "--clusterer.restarts", "4"],
        "group": ["--model", json.dumps(OLD["model"]), "--ikmeans", json.dumps(OLD["ikmeans"]),
                  "--clusterer", json.dumps(OLD["clusterer"])],
        "file of a group": ["--model", str(tmp_path / "model.yaml"), "--ikmeans", json.dumps(OLD["ikmeans"]),
                            "--clusterer.restarts=4"],
    }  # fmt: skip
    config, said = printed(tiny_shards, *words[form], capsys=capsys)
    assert config == expected
    assert said.startswith(LINE)
    assert said.count("\n") == 1
    for old, new in (("ikmeans.iterations", "ikmeans.max_iter"), ("clusterer.restarts", "clusterer.n_init")):
        assert f"{old} is now {new}" in said


def test_of_several_ranks_the_first_says_it(tiny_shards, capsys, monkeypatch):
    for rank, lines in (("0", 1), ("1", 0)):
        monkeypatch.setenv("RANK", rank)
        words = in_new_words_of_command(["--ikmeans.restarts", "2"])
        assert words == ["--ikmeans.n_init", "2"]
        assert capsys.readouterr().err.count(LINE) == lines


def test_a_key_of_a_users_own_class_stays(tiny_shards):
    own = {"model": {"network": {"class_path": "a.B", "init_args": {"iterations": 3, "optimiser": 1}}}}
    assert in_new_words(own, pytest.fail) == own


def test_a_new_name_wins_over_the_old_one_beside_it():
    assert in_new_words({"ikmeans": {"n_init": 2, "restarts": 9}}) == {"ikmeans": {"n_init": 2}}
    assert in_new_words({"ikmeans": {"restarts": 9, "n_init": 2}}) == {"ikmeans": {"n_init": 2}}


def test_an_unknown_key_beside_old_ones_is_still_refused(tiny_shards, capsys):
    with pytest.raises(SystemExit, match="2"):
        fit(["--data.root", str(tiny_shards), "--ikmeans.restart", "3"])
    assert "did you mean" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tiny_shards, tmp_path_factory):
    """A run by old keys, from Python, and the warning."""
    run_dir = tmp_path_factory.mktemp("old") / "run"
    with pytest.warns(DeprecationWarning, match="still work: .*model.optimiser is now") as warned:
        run = deepspec.train(
            OLD,
            **{"data.root": str(tiny_shards), "run_dir": str(run_dir), "trainer.max_epochs": 1},
            ikmeans={"restarts": 3, "sample": 200},  # lies over that of OLD, in the new words of both
        )
    (own,) = [each for each in warned if "old names" in str(each.message)]
    assert Path(own.filename) == Path(__file__)
    return run


def test_train_takes_old_keys_and_writes_new_ones(trained):
    config = yaml.safe_load((trained.folder / "config.yaml").read_text())
    assert config["ikmeans"]["n_init"] == 3
    assert config["ikmeans"]["max_iter"] == 7
    assert trained.model.optimizer.lr == 2e-3
    assert "optimiser" not in config["model"]


def test_checkpoints_and_runs_of_earlier_versions_load(trained, tmp_path):
    content = torch.load(trained.folder / "model.ckpt", weights_only=True)
    mine = content[FORMAT]
    mine["settings"] = old_words(mine["settings"])
    mine["config"] = yaml.safe_dump(old_words(yaml.safe_load(mine["config"])))
    assert "optimiser" in mine["settings"]
    assert "restarts" in yaml.safe_load(mine["config"])["clusterer"]
    (tmp_path / "earlier").mkdir()
    torch.save(content, tmp_path / "earlier" / "model.ckpt")
    old = DeepClustering.load(tmp_path / "earlier" / "model.ckpt")
    assert old.settings == trained.model.settings
    assert (
        old.clusterer == SpectralModel.load(tmp_path / "earlier" / "model.ckpt").clusterer == ClustererConfig(n_init=4)
    )
    (tmp_path / "earlier" / "config.yaml").write_text(mine["config"])
    (tmp_path / "earlier" / "metrics.csv").write_bytes((trained.folder / "metrics.csv").read_bytes())
    runs = find_runs([str(trained.folder), str(tmp_path / "earlier")])
    assert runs[1].config == runs[0].config
    assert differing_keys(runs) == []


POINTS = torch.cat([torch.randn(40, 2, generator=torch.Generator().manual_seed(1)) + 9 * side for side in (0, 1)])


@pytest.mark.parametrize(
    ("call", "old", "new"),
    [
        (
            lambda **words: kmeans(POINTS, 2, **words).inertia,
            {"restarts": 2, "iterations": 3},
            {"n_init": 2, "max_iter": 3},
        ),
        (lambda **words: ikmeans(POINTS, 2, 3, **words).score, {"iterations": 3}, {"max_iter": 3}),
        (lambda **words: k_criteria(POINTS, 2, 3, references=2, **words).curves, {"restarts": 1}, {"n_init": 1}),
        (
            lambda **words: stability(POINTS, kmeans(POINTS, 2).labels, 2, refits=2, **words).ari,
            {"restarts": 1},
            {"n_init": 1},
        ),
        (lambda **words: IKMeans(**words), {"restarts": 2, "iterations": 9}, {"n_init": 2, "max_iter": 9}),
        (lambda **words: ConsensusKMeans(2, **words), {"restarts": 2}, {"n_init": 2}),
        (lambda **words: Valleys(**words), {"restarts": 2}, {"n_init": 2}),
        (lambda **words: GaussianMixtures(**words), {"restarts": 2}, {"n_init": 2}),
        (lambda **words: ClustererConfig(**words), {"restarts": 2}, {"n_init": 2}),
        (lambda **words: ObjectiveConfig(**words), {"iterations": 9}, {"max_iter": 9}),
        (lambda **words: SegmentOptions(**words), {"restarts": 9}, {"n_init": 9}),
        (lambda **words: vars(IKMeansCallback(**words))["n_init"], {"restarts": 9}, {"n_init": 9}),
        (
            lambda **words: CalinskiHarabasz(**words).cluster_centers.tolist(),
            {"centres": torch.ones(2, 2)},
            {"cluster_centers": torch.ones(2, 2)},
        ),
    ],
)
def test_old_keywords_do_what_the_new_ones_do(call, old, new):
    torch.manual_seed(0)
    expected = call(**new)
    torch.manual_seed(0)
    with pytest.warns(DeprecationWarning, match="old names of keywords of .* still work") as warned:
        found = call(**old)
    assert len(warned) == 1
    assert Path(warned[0].filename) == Path(__file__)
    assert str(found) == str(expected)
    with pytest.raises(TypeError, match="is the old name of"):
        call(**old, **new)


def test_old_attributes_of_public_results():
    found = kmeans(POINTS, 2)
    with pytest.warns(DeprecationWarning, match="centres is now cluster_centers"):
        assert found.centres is found.cluster_centers
    axis = SpectralAxis.linear(1.0, 0.1, 32, "keV").to_dict()
    model = DeepClustering(axis, optimizer=OptimiserConfig(lr=0.5))
    with pytest.warns(DeprecationWarning, match="optimiser is now optimizer"):
        assert model.optimiser.lr == 0.5
    with pytest.warns(DeprecationWarning, match="optimiser is now optimizer"):
        DeepClustering(axis, optimiser=OptimiserConfig(lr=0.5))


def test_segment_by_an_old_option_writes_a_file_of_the_same_format(trained, tmp_path, capsys, few_clouds):
    axis, values = trained.model.axis.values, np.random.default_rng(0).poisson(6.0, (9, 10, 64)).astype(np.uint16)
    cubes = [tmp_path / "cube.npy", tmp_path / "other.npy"]
    np.save(cubes[0], values)
    np.save(cubes[1], values[::-1])
    words = [*map(str, cubes), "--checkpoint", str(trained.folder / "model.ckpt"), "--axis",
             f"{axis[0]}:{axis[-1]}:keV", "--clusters", "refit", "--k", "3", "--clusterer", "ikmeans",
             "--export", "none", "--out", str(tmp_path / "out")]  # fmt: skip
    (tmp_path / "options.yaml").write_text("restarts: 2\n")
    segment.main([*words, "--config", str(tmp_path / "options.yaml")])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("old names")]
    assert said == [f"{LINE}restarts is now n_init"]
    file = tmp_path / "out" / "cube-segmentation" / "segmentation.h5"
    found = Segmentation.load(file)
    with h5py.File(file) as stored:
        np.testing.assert_array_equal(stored["centres"][()], found.cluster_centers)
        assert "cluster_centers" not in stored
    request = read_request(file)
    assert request["n_init"] == 2
    del request["n_init"]
    write_request(file, request | {"restarts": 2})  # as an earlier version would have
    before = file.read_bytes()
    segment.main([*words, "--restarts", "2"])
    shown = capsys.readouterr()
    assert f"{LINE}restarts is now n_init" in shown.err
    assert file.read_bytes() == before  # it was made as asked for, so that nothing is done


def test_segment_cube_takes_the_old_keyword(trained):
    cube, _ = planted_cube()
    with pytest.warns(DeprecationWarning, match="restarts is now n_init"), pytest.raises(deepspec.errors.UserError):
        deepspec.segment_cube(cube, trained.model, restarts=0)


def test_a_search_over_an_old_key_sets_the_new_one():
    number = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}
    space = Space({
        "model.optimiser.lr": number,
        "kind": {"type": "categorical", "choices": {"a": {"ikmeans.restarts": 1}, "b": {"ikmeans.restarts": 2}}},
        "model.objective.k_max": {"type": "int", "low": 4, "high": 9, "when": {"model.optimiser.schedule": "cosine"}},
    })  # fmt: skip
    space.check({"model.optimizer.lr": 1e-3, "model.optimizer.schedule": "cosine", "ikmeans.n_init": 3,
                 "model.objective.k_max": 5})  # fmt: skip
    # A study of an earlier version knows the parameter by the name of the file, and goes on.
    drawn = {"model.optimiser.lr": 3e-4, "kind": "b", "model.objective.k_max": 6}
    assert space.overrides_of(drawn) == {"model.optimizer.lr": 3e-4, "ikmeans.n_init": 2, "model.objective.k_max": 6}


def test_a_sweep_by_old_keys_says_so_once(tiny_shards, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(sweep, "sweep", asked.append)
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({
        "study": str(tmp_path / "study"), "experiment": "xrf", "trials": 1, "objectives": {"val/target": "minimize"},
        "search": {"ikmeans.restarts": {"type": "int", "low": 1, "high": 3}},
        "overrides": {"model.optimiser": {"lr": 0.5}},
    }))  # fmt: skip
    sweep.main(["--config", str(file), "--overrides.clusterer.restarts", "5"])
    assert asked[0].overrides == {"model.optimizer": {"lr": 0.5}, "clusterer.n_init": 5}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("old names of keys still work: ")
    assert all(f"{key} is now" in line for key in ("clusterer.restarts", "model.optimiser", "ikmeans.restarts"))


def test_nothing_that_ships_uses_an_old_key():
    for path in [*ROOT.glob("experiments/*.yaml"), *ROOT.glob("sweeps/*.yaml")]:
        config = yaml.safe_load(path.read_text())
        for part in (config, config.get("overrides") or {}, config.get("search") or {}):
            in_new_words(part, lambda line, path=path: pytest.fail(f"{path}: {line}"))


def test_the_line_comes_from_the_real_command(tiny_shards):
    done = subprocess.run(
        [sys.executable, "-m", "deepspec", "fit", "--data.root", str(tiny_shards), "--ikmeans.restarts", "2",
         "--print_config"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.splitlines()[0] == f"{LINE}ikmeans.restarts is now ikmeans.n_init"
