"""Runs beside each other, finished or not, by the files in their folders."""

import csv
import hashlib
import json
import re
from pathlib import Path

import h5py
import pytest
import yaml

from deepspec.compare import main
from deepspec.reporting.comparison import BEST, MOST_LINES, comparison_figure
from deepspec.runs.folder import differing_keys, find_runs
from deepspec.runs.table import sort_rows

CONFIG = {
    "seed_everything": 0,
    "keep": "best",
    "model": {"network": {"encoder": [64, 16], "latent": 3}, "deep_baseline": None, "preprocess": ["max"]},
    "trainer": {"max_epochs": 3},
    "loss_schedule": {"gamma": {"value": 0.01}},
}

# The second epoch has the lowest target.
ROWS = [
    {"epoch": 0, "val/target": 0.5, "val/reconstruction": 0.4, "ikmeans/k": 4, "ikmeans/silhouette": 0.3, "lr": 1e-3},
    {"epoch": 1, "val/target": 0.2, "val/reconstruction": 0.1, "ikmeans/k": 5, "ikmeans/silhouette": 0.7, "lr": 1e-3},
    {"epoch": 2, "val/target": 0.3, "val/reconstruction": 0.05, "ikmeans/k": 6, "ikmeans/silhouette": 0.8, "lr": 1e-4},
]


def make_run(folder, rows=ROWS, finished=True, **more):
    folder.mkdir(parents=True)
    config = yaml.safe_load(yaml.safe_dump(CONFIG)) | {"run_dir": str(folder)}
    for key, value in more.items():
        *parents, last = key.split("__")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if rows:
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
            writer.writeheader()
            writer.writerows(rows)
    if finished:
        (folder / "model.ckpt").write_text(f"weights of {folder.name}")
    return folder


def scaled(factor):
    return [{**row, "val/target": factor * row["val/target"]} for row in ROWS]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Three finished runs in the current directory."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "narrow")
    make_run(tmp_path / "runs" / "wide", scaled(0.5), model__network__encoder=[512, 64], keep="last")
    make_run(tmp_path / "runs" / "strong", scaled(2), loss_schedule__gamma__value=0.1)
    return tmp_path / "runs"


def table_of(folder="comparison"):
    with open(f"{folder}/comparison.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_results_are_of_the_epoch_that_was_kept_and_only_differing_keys_are_shown(runs, capsys):
    main(["runs/narrow", "runs/wide", "runs/strong"])
    rows = {row["run"]: row for row in table_of()}
    assert list(rows) == ["wide", "narrow", "strong"], "by target"
    narrow, wide = rows["narrow"], rows["wide"]
    assert (narrow["K"], narrow["silhouette"], narrow["reconstruction"], narrow["target"]) == ("5", "0.7", "0.1", "0.2")
    assert (wide["K"], wide["silhouette"], wide["reconstruction"], wide["target"]) == ("6", "0.8", "0.05", "0.15")
    assert (wide["model.network.encoder"], narrow["model.network.encoder"]) == ("512-64", "64-16")
    assert [key for key in narrow if "." in key] == ["loss_schedule.gamma.value", "model.network.encoder"]
    assert (wide["keep"], wide["epochs"], wide["wanted"], wide["problem"]) == ("last", "3", "3", "")
    printed = capsys.readouterr().out
    head, first = printed.splitlines()[:2]
    settings = ["keep", "gamma.value", "network.encoder"]
    assert head.split() == ["run", "epochs", "K", "silhouette", "(sample)", "reconstruction", "target", *settings]
    assert first.split() == ["wide", "3/3", "6", "0.8", "0.05", "0.15", "last", "0.01", "512-64"]
    assert "these runs have different losses" in printed
    assert "wrote comparison/comparison.html" in printed


def test_runs_that_are_unfinished_or_damaged_are_told_of(runs, capsys):
    make_run(runs / "begun", ROWS[:1], finished=False)
    make_run(runs / "nothing", [], finished=False)
    make_run(runs / "damaged", finished=False)
    (runs / "damaged" / "metrics.csv").write_text("epoch,val/target\n0,1.0\n1,half a li")
    make_run(runs / "binary")
    (runs / "binary" / "metrics.csv").write_bytes(b"\xff\xfe\x00\x01")
    make_run(runs / "odd", [{"epoch": 0, "train/target": 0.1, "train/reconstruction": 0.1, "extra": 7}])
    (runs / "odd" / "config.yaml").write_text("a: [1")
    main([str(path) for path in sorted(runs.iterdir())])
    problems = {row["run"]: row["problem"] for row in table_of()}
    assert "unfinished: 1 of 3 epochs" in problems["begun"]
    assert "no epoch has ended" in problems["nothing"]
    assert "metrics.csv: expected numbers" in problems["damaged"]
    assert "config.yaml cannot be read" in problems["odd"]
    assert problems["binary"]
    assert not problems["narrow"]
    printed = capsys.readouterr().out
    assert "losses of the training split, for there is no other: odd" in printed
    assert all(f"{name}: " in printed for name in ("begun", "nothing", "damaged", "odd", "binary"))


def test_warnings_are_counted_where_they_are_recorded(runs):
    make_run(runs / "collapsed", [row | {"ikmeans/warnings": 1} for row in ROWS])
    main(["runs/collapsed", "runs/narrow"])
    assert {row["run"]: row["warnings"] for row in table_of()} == {"collapsed": "3", "narrow": ""}


def test_a_study_stands_for_its_trials_and_names_tell_them_apart(runs, tmp_path):
    for study in ("first", "second"):
        for number in range(2):
            make_run(tmp_path / study / "trials" / f"{number:04d}", scaled(1 + number))
    (tmp_path / "first" / "trials" / "0002").mkdir()
    (tmp_path / "first" / "trials" / "0002" / "trial.yaml").write_text(yaml.safe_dump(CONFIG))
    names = [run.name for run in find_runs(["first", "second", "runs/narrow", "first/trials/0001"])]
    assert names == ["first/trials/0000", "first/trials/0001", "0002", "second/trials/0000", "second/trials/0001",
                     "narrow"]  # fmt: skip


def make_evaluation(folder, ari, checkpoint=None):
    folder.mkdir(parents=True)
    segmentation = folder / "segmentation.h5"
    if checkpoint is not None:
        with h5py.File(segmentation, "w") as file:
            file.create_group("provenance").attrs["checkpoint_sha256"] = hashlib.sha256(checkpoint).hexdigest()
    content = {"segmentation": str(segmentation), "agreement": ari and {"ari": ari, "macro_f1": ari / 2}}
    (folder / "evaluation.json").write_text(json.dumps(content))


def test_evaluations_go_to_the_runs_whose_checkpoints_they_are_of(runs, tmp_path, capsys):
    make_evaluation(runs / "narrow" / "watched", 0.9)
    make_evaluation(runs / "wide" / "watched", None)
    make_evaluation(tmp_path / "scan", 0.4, (runs / "narrow" / "model.ckpt").read_bytes())
    make_evaluation(tmp_path / "other", 0.8, (runs / "strong" / "model.ckpt").read_bytes())
    make_evaluation(tmp_path / "foreign", 0.1, b"another")
    make_evaluation(tmp_path / "lost", 0.1)
    main(["runs/narrow", "runs/wide", "runs/strong", "scan", "other", "foreign", "lost", "--sort", "ari"])
    scores = {row["run"]: (row["ARI"], row["F1"]) for row in table_of()}
    assert scores == {"strong": ("0.8", "0.4"), "narrow": ("0.65", "0.325"), "wide": ("", "")}
    assert list(scores) == ["strong", "narrow", "wide"], "the best first, none last"
    printed = capsys.readouterr().out
    assert "ARI and F1 are means over evaluations: narrow 2, strong 1" in printed
    assert "foreign was left out: of none of these runs" in printed
    assert "lost was left out: its segmentation is not there" in printed


def test_names_are_no_formulas(runs):
    (runs / "narrow").rename(runs / "a$x^$")
    main(["runs/a$x^$", "runs/wide"])
    assert Path("comparison/comparison.png").is_file()


def test_a_folder_of_evaluations_stands_for_them(runs, tmp_path):
    checkpoint = (runs / "narrow" / "model.ckpt").read_bytes()
    make_evaluation(tmp_path / "many" / "a-evaluation", 0.9, checkpoint)
    make_evaluation(tmp_path / "many" / "b-evaluation", 0.7, checkpoint)
    main(["runs/narrow", "many"])
    assert table_of()[0]["ARI"] == "0.8"


def test_a_key_below_one_that_is_null_elsewhere_differs_and_one_of_a_later_version_does_not(runs, tmp_path):
    make_run(runs / "deep", model__deep_baseline={"kind": "idec", "weight": 0.1})
    make_run(runs / "later", trainer__new_option=3)
    keys = differing_keys(find_runs(["runs/narrow", "runs/deep", "runs/later"]))
    assert keys == ["model.deep_baseline.kind", "model.deep_baseline.weight"]


@pytest.mark.parametrize(
    ("key", "order"),
    [("given", "bac"), ("run", "abc"), ("target", "cba"), ("silhouette", "cab"), ("epochs", "abc")],
)
def test_sorting_has_the_best_first_and_what_has_no_value_last(key, order):
    rows = [
        {"run": "b", "epochs": 2, "target": 2.0, "silhouette": None},
        {"run": "a", "epochs": 3, "target": 3.0, "silhouette": 0.1},
        {"run": "c", "epochs": 1, "target": 1.0, "silhouette": 0.9},
    ]
    assert "".join(row["run"] for row in sort_rows(rows, key)) == order


def looks_of(figure):
    target = figure.axes[0]
    return {str(line.get_label()): (line.get_color(), line.get_linestyle()) for line in target.lines}


def test_every_line_can_be_told_apart_and_of_too_many_the_best_stand_out(tmp_path):
    for number in range(MOST_LINES + 3):
        make_run(tmp_path / f"run{number:02d}", scaled(1 + number))
    runs = find_runs([str(path) for path in sorted(tmp_path.iterdir())])
    looks = looks_of(comparison_figure(runs[:MOST_LINES]))
    assert len(looks) == len(set(looks.values())) == MOST_LINES
    figure = comparison_figure(runs)
    looks = looks_of(figure)
    coloured = [name for name, (colour, _) in looks.items() if colour != "#b5b5b5"]
    assert sorted(coloured) == [f"run{number:02d}" for number in range(BEST)]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*sorted(coloured), f"{MOST_LINES + 3 - BEST} others"]


def test_the_figure_shows_what_the_runs_logged(runs):
    figure = comparison_figure(find_runs(["runs/narrow"]))
    titles = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert [*titles["K"].lines[0].get_ydata()] == [4, 5, 6]
    assert [*titles["target"].lines[0].get_xdata()] == [1, 2, 3]
    assert titles["learning rate"].get_yscale() == "linear"
    assert not titles[r"weights: $\gamma$ thin, $\beta$ broad and pale"].lines


def test_equal_lines_are_borders_of_one_another(runs):
    rate = comparison_figure(find_runs(["runs/narrow", "runs/wide", "runs/strong"])).axes[4]
    assert rate.get_title(loc="left") == "learning rate"
    widths = [line.get_linewidth() for line in rate.lines]
    assert widths == sorted(set(widths), reverse=True)
    assert len(widths) == 3


def test_the_page_needs_no_network_and_escapes_names(runs):
    make_run(runs / "<b>&", seed_everything=3)
    main(["runs/narrow", "runs/<b>&", "--out", "shown"])
    page = Path("shown/comparison.html").read_text()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page
    assert "seed_everything" in page
    assert not re.search(r"(src|href)=[\"']?(http|//)", page)
    assert Path("shown/comparison.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in Path("shown/comparison.svg").read_text()


def test_mistakes_are_one_line(runs, capsys):
    def refused(*words):
        with pytest.raises(SystemExit, match="2"):
            main([*words])
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    assert "runs/none: no such folder" in refused("runs/none")
    assert "runs: expected the folder of a run" in refused("runs")
    assert "sort" in refused("runs/narrow", "--sort", "beauty")
    make_evaluation(runs / "bad", 0.5)
    assert "got only evaluations" in refused("runs/bad")
    (runs / "bad" / "evaluation.json").write_text("{")
    assert "cannot be read as an evaluation" in refused("runs/narrow", "runs/bad")
    main(["runs/narrow"])
    capsys.readouterr()
    assert "comparison holds a comparison of an earlier run" in refused("runs/narrow")
    main(["runs/narrow", "--overwrite"])


def test_terms_of_other_packages_have_columns_of_their_own(runs, capsys):
    rows = [{**row, "weight/pull": 0.5, "val/pull": value, "train/pull": 9} for row, value in
            zip(ROWS, (0.7, 0.4, 0.1), strict=True)]  # fmt: skip
    make_run(runs / "pulled", rows)
    main(["runs/narrow", "runs/pulled", "--out", "terms"])
    table = {row["run"]: row for row in table_of("terms")}
    assert table["pulled"]["pull"] == "0.4", "of the epoch that was kept, of the validation split"
    assert table["narrow"]["pull"] == ""
    header = capsys.readouterr().out.splitlines()[0].split()
    assert header[header.index("pull") - 1 : header.index("pull") + 2] == ["reconstruction", "pull", "target"]
    assert "<th>pull</th>" in re.sub("<th[^>]*>", "<th>", Path("terms/comparison.html").read_text())
    main(["runs/narrow", "runs/wide", "--out", "without"])
    assert "pull" not in table_of("without")[0]
