"""What README shows must work as written."""

import re
from pathlib import Path

import pytest

from deepspec.preprocess import Preprocess

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_files_and_make_verbs_that_are_named_exist():
    for name in re.findall(r"`?(experiments/\w+\.yaml|tests/\w+\.py)`?", README):
        assert (ROOT / name).is_file(), name
    verbs = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in re.findall(r"make ([a-z ]+)", README):
        named = line.split()
        assert named[0] in verbs, line


def test_every_preprocessing_step_is_listed_and_every_listed_one_exists():
    listed = re.search(r"`model.preprocess`: .*?\n- ", README, re.DOTALL).group()
    for spec in ("sqrt", "log1p", "clip", "anscombe", "max", "area", "unit", "minmax", "quantile_tanh", "dose"):
        assert f"`{spec}`" in listed
        Preprocess(64, [spec])
    for spec in (
        {"step": "rebin", "bins": 512},
        {"step": "smooth", "width": 5},
        {"step": "sqrt", "inverse": "poisson"},
        {"step": "standard", "scale": "global"},
        {"step": "log", "quantile": 0.005},
        {"step": "pca", "components": 16},
        {"step": "mnf", "components": 12},
        {"step": "views", "chains": [["minmax", "pca"], ["unit", "pca"]]},
    ):
        assert f"step: {spec['step']}" in listed
        Preprocess(1024, [spec])


@pytest.mark.parametrize("verb", ["ingest", "fit", "segment", "baseline", "evaluate", "synthesize", "compare"])
def test_every_option_that_is_shown_is_one_of_the_verb(verb, capsys):
    import importlib

    main = importlib.import_module(f"deepspec.{verb}").main
    with pytest.raises(SystemExit, match="0"):
        main(["xrf", "--help"] if verb == "synthesize" else ["--help"])
    known = capsys.readouterr().out
    for line in re.findall(rf"^python -m deepspec\.{verb} (.*)$", README, re.MULTILINE):
        for option in re.findall(r"--[\w.]+", line.split("#")[0]):
            assert option in known, option
