"""`deepspec map` against its own commands typed by hand, and killed, repeated and changed."""

import json
import shlex

import numpy as np
import pytest
import yaml
from sklearn.metrics import adjusted_rand_score

import deepspec
from deepspec.automatic.mapping import COMMANDS, STATE
from deepspec.fit import main as fit
from deepspec.ingest import main as ingest
from deepspec.map import main
from deepspec.segment import main as segment
from tests.automatic.test_auto_segment import QUICK
from tests.support.planted import planted_cube

VERBS = {"ingest": ingest, "fit": fit, "segment": segment}

pytestmark = pytest.mark.usefixtures("few_clouds")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with two scans of one object, their labels, and an experiment that is quick."""
    monkeypatch.chdir(tmp_path)
    for number in (0, 1):
        cube, labels = planted_cube(30, 40, seed=number)
        cube.save(f"scan{number}.h5")
    np.save("labels.npy", labels)
    (tmp_path / "quick.yaml").write_text(yaml.safe_dump(QUICK))
    return tmp_path


def mapped(folder):
    return deepspec.Segmentation.load(folder / "segmentation.h5")


def ran(out):
    """The verbs that a call has printed, with their words."""
    return [shlex.split(line.removeprefix("$ deepspec ")) for line in out.splitlines() if line.startswith("$ ")]


def refused(capsys, *words):
    """The one line that a call ends with."""
    with pytest.raises(SystemExit) as stop:
        main([*words])
    assert stop.value.code == 2
    found = capsys.readouterr().err.splitlines()
    return found[-1]


def test_a_scan_becomes_a_map_and_its_commands_give_the_same_by_hand(here, capsys):
    main(["scan0.h5"])
    out = capsys.readouterr().out
    assert "taken for counts (counts over energy), so trained by the experiment xrf" in out
    folder = here / "scan0-map"
    found = mapped(folder / "scan0-segmentation")
    assert found.k == 4
    assert adjusted_rand_score(np.load("labels.npy").ravel(), found.labels.ravel()) > 0.99
    assert (folder / "scan0-segmentation" / "report.html").is_file()
    script = (folder / COMMANDS).read_text()
    typed = [shlex.split(line) for line in script.splitlines() if line.startswith("deepspec ")]
    assert [words[1:] for words in typed] == ran(out)
    for _, verb, *words in typed:
        VERBS[verb]([word.replace("scan0-map", "by-hand") for word in words])
    again = mapped(here / "by-hand" / "scan0-segmentation")
    np.testing.assert_array_equal(again.latents, found.latents)
    np.testing.assert_array_equal(again.labels, found.labels)
    # The call from Python is the same way.
    called = deepspec.auto_segment("scan0.h5")
    np.testing.assert_array_equal(called.labels, found.labels)


def test_what_is_done_is_kept_and_what_changes_is_refused_or_made_anew(here, capsys):
    words = ["scan0.h5", "--experiment", "quick.yaml", "--out", "m"]
    main(words)
    capsys.readouterr()
    main(words)
    out = capsys.readouterr().out
    assert ran(out) == []
    assert out.count("is kept") == 2
    assert "m/scan0-segmentation" in refused(capsys, *words, "--k", "2").replace("segment scan0", "m/scan0")
    model = (here / "m" / "run" / "model.ckpt").stat().st_mtime_ns
    main([*words, "--k", "2", "--overwrite"])
    assert [verb for verb, *_ in ran(capsys.readouterr().out)] == ["segment"]
    assert mapped(here / "m" / "scan0-segmentation").k == 2
    assert (here / "m" / "run" / "model.ckpt").stat().st_mtime_ns == model
    main([*words, "--k", "2", "--overwrite"])
    assert ran(capsys.readouterr().out) == []
    # The shards are needed no more, so whoever wants the room may remove them.
    for path in (here / "m" / "shards").iterdir():
        path.unlink()
    main([*words, "--k", "2"])
    assert ran(capsys.readouterr().out) == []
    # The same name with another content is another scan.
    planted_cube(30, 40, k=3, seed=5)[0].save("scan0.h5")
    assert "made otherwise, by other files or options (ingest)" in refused(capsys, *words, "--k", "2")
    main([*words, "--overwrite"])
    assert [verb for verb, *_ in ran(capsys.readouterr().out)] == ["ingest", "fit", "segment"]
    assert mapped(here / "m" / "scan0-segmentation").k == 3


@pytest.mark.parametrize("killed", ["ingest", "fit", "segment"])
def test_a_run_that_is_stopped_goes_on_where_it_was(here, capsys, monkeypatch, killed):
    words = ["scan0.h5", "--experiment", "quick.yaml", "--out", "m"]
    stopped = []

    def stop(given):
        stopped.append(given)
        (here / "m" / "run" / "checkpoints").mkdir(parents=True, exist_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"deepspec.{killed}.main", stop)
        with pytest.raises(SystemExit, match="130"):
            main(words)
    assert len(stopped) == 1
    assert "interrupted; what was finished is kept" in capsys.readouterr().err
    main(words)
    verbs = ["ingest", "fit", "segment"]
    again = ran(capsys.readouterr().out)
    assert [verb for verb, *_ in again] == verbs[verbs.index(killed) :]
    if killed == "fit":
        assert again[0][-2:] == ["--ckpt_path", "last"]
    assert mapped(here / "m" / "scan0-segmentation").k == 4
    assert json.loads((here / "m" / STATE).read_text())["begun"] == {}


def test_scans_of_one_object_share_a_model_and_the_numbers_of_their_clusters(here, capsys):
    (here / "scans").mkdir()
    for number in (0, 1):
        (here / f"scan{number}.h5").rename(here / "scans" / f"scan{number}.h5")
    for number in (0, 1):
        np.save(f"scan{number}.npy", np.arange(30)[:, None] >= number + np.zeros(40, int))
    words = ["scans", "--experiment", "quick.yaml", "--mask", "{name}.npy"]
    main(words)
    verbs = [verb for verb, *_ in ran(capsys.readouterr().out)]
    assert verbs == ["ingest", "fit", "segment", "segment"]
    first, second = (mapped(here / "scans-map" / f"scan{number}-segmentation") for number in (0, 1))
    assert first.provenance.clusters == "frozen"
    assert first.k == 4
    assert (second.labels[0] == -1).all()
    assert np.mean(first.labels[1:] == second.labels[1:]) > 0.99  # the same numbers, not only the same clusters
    # One scan that cannot be segmented stops no other, and the status tells.
    (here / "scans-map" / "scan0-segmentation").rename(here / "away")
    (here / "scans-map" / "scan0-segmentation").mkdir()
    (here / "scans-map" / "scan0-segmentation" / "mine.txt").write_text("kept")
    (here / "scans-map" / "scan1-segmentation" / "segmentation.h5").unlink()
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "holds something else" in capsys.readouterr().err
    assert mapped(here / "scans-map" / "scan1-segmentation").k == 4
    assert (here / "scans-map" / "scan0-segmentation" / "mine.txt").is_file()


def test_options_reach_the_commands(here, capsys):
    mask = np.ones((30, 40), np.uint8)
    mask[:5] = 0
    np.save("mask.npy", mask)
    options = ["--mask", "mask.npy", "--seed", "3", "--channels", "0:50", "--tube", "none", "--k", "2", "5"]
    main(["scan0.h5", "--experiment", "quick.yaml", "--out", "m", *options])
    done = ran(capsys.readouterr().out)
    for verb, words in (("ingest", "--tube none --seed 3 --channels 0:50 --mask mask.npy"),
                        ("fit", "--config quick.yaml"), ("fit", "--seed_everything 3"),
                        ("segment", "--k 2 5 --seed 3 --channels 0:50 --mask mask.npy")):  # fmt: skip
        assert words in " ".join(next(own for own in done if own[0] == verb))
    found = mapped(here / "m" / "scan0-segmentation")
    assert (found.labels[:5] == -1).all()
    assert found.axis.channels == 50
    assert found.provenance.seed == 3
    # A file that is named counts by what is in it.
    mask[:10] = 0
    np.save("mask.npy", mask)
    again = ["scan0.h5", "--experiment", "quick.yaml", "--out", "m", *options]
    assert "made otherwise" in refused(capsys, *again)
    np.save("mask.npy", np.where(np.arange(30)[:, None] < 5, 0, np.ones((30, 40), np.uint8)))
    main(again)
    assert ran(capsys.readouterr().out) == []
    (here / "quick.yaml").write_text(yaml.safe_dump({**QUICK, "seed_everything": 1}))
    assert "(fit)" in refused(capsys, *again)


def test_where_a_number_of_clusters_goes(here, capsys):
    several = ["scan0.h5", "scan1.h5", "--out", "m"]
    assert "finds with their number" in refused(capsys, *several, "--experiment", "quick.yaml", "--k", "2", "5")
    kmeans = {**QUICK, "clusterer": {"kind": "ikmeans"}, "ikmeans": {"every_n_epochs": 0}}
    (here / "kmeans.yaml").write_text(yaml.safe_dump(kmeans))
    assert "2 clusters or more" in refused(capsys, *several, "--experiment", "kmeans.yaml", "--k", "1")
    main([*several, "--experiment", "kmeans.yaml", "--k", "3"])
    assert "--ikmeans.k_min 3 --ikmeans.k_max 3" in capsys.readouterr().out
    assert mapped(here / "m" / "scan1-segmentation").k == 3


def test_mistakes_are_one_line_and_leave_no_folder(here, capsys):
    (here / "mine").mkdir()
    (here / "mine" / "letter.txt").write_text("dear")
    (here / "broken").mkdir()
    (here / "broken" / STATE).write_text("{}")
    deepspec.SpectralCube.from_array(
        np.random.default_rng(0).random((20, 20, 30), np.float32), deepspec.SpectralAxis.linear(400, 10, 30, "nm")
    ).save("scene.h5")
    (here / "other").mkdir()
    planted_cube(10, 10)[0].save("other/scan0.h5")
    for words, message in [
        (["nowhere.h5"], "nowhere.h5: no such file"),
        (["scan0.h5", "--out", "mine"], "mine holds something else than maps (letter.txt)"),
        (["scan0.h5", "--out", "scan1.h5"], "scan1.h5 is a file"),
        (["scan0.h5", "--out", "broken"], "expected the record of `deepspec map`"),
        (["scan0.h5", "--k", "0"], "k: expected 1 <= fewest"),
        (["scan0.h5", "--k", "5", "3"], "k: expected 1 <= fewest"),
        (["scan0.h5", "--seed", "-1"], "seed: expected"),
        (["scan0.h5", "--experiment", "xfr"], "--experiment xfr: no such file, and no preset"),
        (["scan0.h5", "--tube", "Xx"], "tube"),
        (["scan0.h5", "scene.h5"], "expected scans of one kind"),
        (["scan0.h5", "other/scan0.h5"], "have one name"),
        (["scan0.h5", "--axis", "1:2"], "axis"),
        (["scan0.h5", "--clustr", "x"], "unrecognized"),
    ]:
        assert message in refused(capsys, *words), words
    assert not list(here.glob("*-map"))
    assert not (here / "map").exists()
