"""`fit --help` is read from the sources: it says what the real parser takes, without importing what that needs."""

import subprocess
import sys

import jsonargparse
import pytest

from deepspec.fit import main
from deepspec.training.cli import FitCLI
from deepspec.training.fit_help import GROUPS, OWN, TRAINER, asked_for, fit_help, keys_of, parameters_of


def shown(capsys, *arguments, status="0"):
    with pytest.raises(SystemExit, match=status):
        main([*arguments])
    return capsys.readouterr()


@pytest.fixture(scope="module")
def parser():
    """The parser that the real command line goes through."""
    found = []

    class Parsing(FitCLI):
        def parse_arguments(self, parser, args):
            found.append(parser)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Parsing([])
    return found[0]


@pytest.fixture(scope="module")
def told():
    return {
        key: parameter
        for group, (module, name, _) in GROUPS.items()
        for key, parameter in keys_of(group, parameters_of(module, name))
    }


def test_every_key_of_the_parser_is_told(parser, told):
    keys = {
        action.dest for action in parser._actions
        if action.dest.partition(".")[0] in GROUPS and isinstance(action, jsonargparse._typehints.ActionTypeHint)
    }  # fmt: skip
    inside = {key for key in told if key.startswith("model.deep_baseline.")}  # the parser has them under one
    assert {"model.deep_baseline.kind", "model.deep_baseline.clusters"} <= inside
    assert set(told) - inside == keys - {"model.deep_baseline"}


def in_yaml(value):
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def test_what_holds_if_a_key_is_not_given_is_told(parser, told):
    defaults = parser.get_defaults()
    for key, parameter in told.items():
        if not key.startswith("model.deep_baseline.") and parameter.default != "":
            assert (parameter.default or "null") == in_yaml(defaults.get(key)), key
    assert {key for key, parameter in told.items() if parameter.default == ""} == {
        "tracking.tags", "clusterer.options", "model.network.init_args", "model.optimizer.init_args",
        "model.scheduler.init_args",
    }  # fmt: skip
    for key, (_, default, _) in (OWN | {f"trainer.{key}": about for key, about in TRAINER.items()}).items():
        assert default == in_yaml(defaults.get(key)), key


def test_every_key_is_described(told):
    assert not [key for key, parameter in told.items() if not parameter.description]
    assert told["model.network.kind"].kind == "{snn,mlp}"
    assert told["loss_schedule.gamma.kind"].kind == "{constant,step,linear,cosine,sigmoid,cyclic}"
    assert told["model.network.encoder"].kind == "list[int] | null"
    assert told["data.root"].default is None


def test_help_is_short_and_ours_comes_first(capsys):
    text = shown(capsys, "--help").out
    assert len(text.splitlines()) < 300
    assert max(map(len, text.splitlines())) <= 120
    places = [text.index(f"\n{group}: ") for group in (*GROUPS, "trainer")]
    assert places == sorted(places)
    assert "--data.root str [required]\n" in text


def test_help_waits_for_neither_torch_nor_lightning():
    code = (
        "import sys\nfrom deepspec.fit import main\n"
        "try: main(['--config', 'x.yaml', '--help'])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'lightning', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_help_on_a_key_tells_all_about_it(capsys):
    text = shown(capsys, "--help.model.objective").out
    assert "The reconstruction is a mean over spectra" in " ".join(text.split())
    assert "--model.network" not in text
    assert shown(capsys, "--help.ikmeans.k_min").out.count("--") == 1
    wrong = shown(capsys, "--help.model.netwrk", status="2").err
    assert len(wrong.splitlines()) == 1
    assert "did you mean 'model.network'?" in wrong


def test_help_on_the_trainer_is_lightnings(capsys):
    text = shown(capsys, "--help.trainer").out
    assert "--trainer.gradient_clip_val" in text
    assert "--model.network" not in text
    assert "usage:" not in text


def test_what_is_asked_for():
    assert asked_for(["--config", "x.yaml"]) is None
    assert asked_for(["--config", "x.yaml", "-h"]) == ""
    assert asked_for(["--help.trainer"]) == "trainer"
    assert asked_for(["--trainer.callbacks.help", "EarlyStopping"]) is None


def test_an_unknown_class_is_an_error():
    with pytest.raises(LookupError, match="has no class Nothing"):
        parameters_of("deepspec.schedules", "Nothing")
    with pytest.raises(LookupError, match=r"no module deepspec\.nothing"):
        parameters_of("deepspec.nothing", "Nothing")


def test_narrow_terminals():
    assert max(map(len, fit_help("ikmeans", width=70).splitlines())) <= 70


def test_the_help_on_the_trainer_offers_nothing_that_is_refused(capsys, tmp_path, tiny_shards):
    said = " ".join(shown(capsys, "--help.trainer").out.split())
    for refused in ("64-true", "transformer-engine", "bf16-true", "16-true", "barebones", "default_root_dir"):
        assert refused not in said
    for offered in ("32-true, bf16-mixed, 16-mixed", "--trainer.max_time", "metrics.csv, which is always written"):
        assert offered in said
    for key, value in (("barebones", "true"), ("default_root_dir", str(tmp_path))):
        words = ["--data.root", str(tiny_shards), "--run_dir", str(tmp_path / "run"), f"--trainer.{key}", value]
        assert f"trainer.{key}: expected it to be left out" in shown(capsys, *words, status="2").err
