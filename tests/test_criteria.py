import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from deepspec.fit import main as fit
from tests.conftest import load_experiment, planted_spectra

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def criteria():
    return load_experiment("criteria")


def write_study(folder, values):
    """A study whose criteria.csv has the given columns; the others are alike in every trial."""
    folder.mkdir(parents=True)
    with (folder / "criteria.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        names = ["trial", *values]
        rows.writerow(names)
        rows.writerows([f"{n:04}", *row] for n, row in enumerate(zip(*values.values(), strict=True)))


def test_the_table_is_spearmans_correlation_with_the_sign_of_good(criteria, tmp_path, capsys):
    rng = np.random.default_rng(0)
    trials = 12
    values = {name: rng.standard_normal(trials) for name in (*criteria.SIGNS, "ari", "ari_true_k")}
    values["k"] = np.full(trials, 4.0)  # says nothing
    values["davies_bouldin"] = -values["ari"]  # low is good
    write_study(tmp_path / "one", values)
    criteria.main(["table", str(tmp_path / "one")])
    lines = {line[:38].strip(): line[38:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["davies_bouldin"][0] == "+1.00"
    assert lines["k"][0] == "+0.00"
    expected = scipy.stats.spearmanr(values["silhouette_input"], values["ari"]).statistic
    assert float(lines["silhouette_input"][0]) == pytest.approx(expected, abs=0.006)
    picked = values["ari"][values["silhouette_input"].argmax()]
    assert float(lines["silhouette_input"][2]) == pytest.approx(picked, abs=0.001)
    both = scipy.stats.rankdata(values["stability"]) + scipy.stats.rankdata(values["explained"])
    expected = scipy.stats.spearmanr(both, values["ari"]).statistic
    assert float(lines["stability + explained"][0]) == pytest.approx(expected, abs=0.006)
    assert float(lines["best ARI of the trials"][0]) == pytest.approx(values["ari"].max(), abs=0.001)


def test_the_table_of_some_of_the_trials(criteria, tmp_path, capsys):
    values = {name: np.arange(8.0) for name in (*criteria.SIGNS, "ari_true_k")}
    write_study(tmp_path / "one", {**values, "ari": [0, 3, 1, 2, 2, 1, 3, 0]})
    chosen = ["few", "many"] * 4  # ARI 0, 1, 2, 3 and 3, 2, 1, 0
    rows = "".join(f"{n},{name}\n" for n, name in enumerate(chosen))
    (tmp_path / "one" / "trials.csv").write_text(f"trial,clusters\n{rows}")
    for name, sign in (("few", "+1.00"), ("many", "-1.00")):
        criteria.main(["table", str(tmp_path / "one"), "--where", f"clusters={name}"])
        printed = capsys.readouterr().out
        assert f"silhouette_raw                            {sign}" in printed
        assert "trials: one 4" in printed
    with pytest.raises(SystemExit, match="2"):
        criteria.main(["table", str(tmp_path / "one"), "--where", "clusters=lots"])
    assert "'clusters' is one of few, many" in capsys.readouterr().err


def test_trials_are_scored_once_and_a_good_one_better(criteria, tiny_shards, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    spectra, truth = planted_spectra(600)
    np.save("scan.npy", spectra.reshape(20, 30, 64))
    np.save("labels.npy", truth.reshape(20, 30))
    common = ["--config", str(ROOT / "experiments" / "xrf.yaml"), "--data.root", str(tiny_shards)]
    for number, epochs in (("0000", 1), ("0001", 15)):
        fit([*common, "--run_dir", f"study/trials/{number}", f"--trainer.max_epochs={epochs}", "--data.batch_size=64"])
    score = ["score", "study", "scan.npy", "--labels", "labels.npy", "--axis", "0.5:32:keV"]
    shutil.move("study/trials/0001", "later")
    criteria.main(score)
    shutil.move("later", "study/trials/0001")
    capsys.readouterr()
    criteria.main(score)
    assert "trial 0000" not in capsys.readouterr().out
    rows = criteria.read_rows(Path("study/criteria.csv"))
    assert [row["trial"] for row in rows] == ["0000", "0001"]
    assert rows[1]["ari"] > 0.9
    assert rows[1]["explained"] > rows[0]["explained"]
    assert all(-1 <= rows[1][name] <= 1 for name in ("silhouette", "silhouette_input", "stability"))
    assert 0 <= rows[1]["least_border"] < 0.85  # of counts
    assert np.isnan(rows[1]["disagreement"])  # of a single network


def test_an_ensemble_is_scored_by_its_disagreement_too(criteria, tiny_shards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spectra, truth = planted_spectra(600)
    np.save("scan.npy", spectra.reshape(20, 30, 64))
    np.save("labels.npy", truth.reshape(20, 30))
    fit(["--data.root", str(tiny_shards), "--run_dir", "study/trials/0000", "--trainer.max_steps=60",
         "--model.network.ensemble=3", "--clusterer.kind=valleys", "--clusterer.evidence=latents"])  # fmt: skip
    criteria.main(["score", "study", "scan.npy", "--labels", "labels.npy", "--axis", "0.5:32:keV"])
    (row,) = criteria.read_rows(Path("study/criteria.csv"))
    assert 0 <= row["disagreement"] <= 1


def test_a_trial_without_a_value_stands_last(criteria, tmp_path, capsys):
    values = {name: np.arange(6.0) for name in (*criteria.SIGNS, "ari", "ari_true_k")}
    values["disagreement"] = np.array([np.nan, 5, 4, 3, 2, 1])
    write_study(tmp_path / "one", values)
    criteria.main(["table", str(tmp_path / "one")])
    lines = {line[:38].strip(): line[38:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["disagreement"][0] == "+1.00"


def test_mistakes_are_one_line(criteria, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        criteria.main(["table", str(tmp_path)])
    assert stop.value.code == 2
    assert "run `score` on that study first" in capsys.readouterr().err
