"""Typed functions as commands: values, config files, flags, one-line errors."""

from __future__ import annotations

import gc
import inspect
import shlex
import subprocess
import sys
from importlib import import_module
from typing import Literal

import pytest

from deepspec.command import as_command, one_line_errors, run_command
from deepspec.errors import UserError

calls = []


def verb(
    cube: str, out: str | None = None, k: tuple[int, int] = (3, 10), mode: Literal["a", "b"] = "a", deep: bool = False
) -> None:
    """Do something to a cube.

    Args:
        cube: the cube.
        out: where to.
        k: range.
        mode: how.
        deep: whether deeply.
    """
    if out == "forbidden":
        raise UserError("out: expected another folder, got forbidden")
    calls.append((cube, out, k, mode, deep))


def call(*args):
    run_command(verb, prog="verb", positional="cube", args=args)
    return calls.pop()


def test_values_come_from_command_line_and_file_and_the_command_line_wins(tmp_path):
    assert call("x.h5") == ("x.h5", None, (3, 10), "a", False)
    assert call("x.h5", "--k", "2", "5", "--deep", "--mode", "b") == ("x.h5", None, (2, 5), "b", True)
    assert call("x.h5", "--deep", "false") == ("x.h5", None, (3, 10), "a", False)
    config = tmp_path / "verb.yaml"
    config.write_text("mode: b\nout: there\n")
    assert call("x.h5", "--config", str(config), "--out", "here") == ("x.h5", "here", (3, 10), "b", False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "the following arguments are required: cube"),
        (["x", "--mdoe", "b"], "unrecognized arguments: --mdoe b (did you mean 'mode'?)"),
        (["x", "--mode", "c"], "mode"),
        (["x", "--k", "three"], "k"),
        (["x", "--out", "forbidden"], "out: expected another folder, got forbidden"),
    ],
)
def test_mistakes_are_one_line_and_status_two(args, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        call(*args)
    error = capsys.readouterr().err
    assert error.startswith("verb: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_unknown_key_in_a_file_names_the_nearest(tmp_path, capsys):
    config = tmp_path / "verb.yaml"
    config.write_text("mdoe: b\n")
    with pytest.raises(SystemExit, match="2"):
        call("x", "--config", str(config))
    assert "did you mean 'mode'?" in capsys.readouterr().err


def test_print_config_shows_the_resolved_values(capsys):
    with pytest.raises(SystemExit, match="0"):
        call("x.h5", "--k", "2", "5", "--print_config")
    assert "k:\n- 2\n- 5" in capsys.readouterr().out


def test_other_errors_are_not_hidden():
    def broken(cube: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(broken, prog="broken", positional="cube", args=["x"])


def test_a_reader_that_has_seen_enough_gets_no_complaint():
    """As in `deepspec ... | head -1`."""
    code = (
        "import time\nfrom deepspec.command import one_line_errors\n"
        "with one_line_errors('x'):\n    for _ in range(100):\n        print('line', flush=True); time.sleep(.01)"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, "line\n", "")


def test_another_pipe_that_breaks_is_told(capsys):
    with pytest.raises(SystemExit, match="2"), one_line_errors("x"):
        raise BrokenPipeError(32, "Broken pipe")
    assert "x: error: Broken pipe" in capsys.readouterr().err


def test_help_says_its_first_sentence_once(capsys):
    for verb in ("segment", "baseline", "evaluate", "ingest", "compare"):
        with pytest.raises(SystemExit, match="0"):
            import_module(f"deepspec.{verb}").main(["--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert said.startswith(f"usage: deepspec {verb} ")
        paragraph = inspect.getdoc(getattr(import_module(f"deepspec.{verb}"), verb)).partition("\n\n")[0]
        first = " ".join(paragraph.split()).partition(". ")[0].rstrip(".")
        assert len(first) > 20
        assert said.count(first) == 1, first
    with pytest.raises(SystemExit, match="0"):
        import_module("deepspec.sweep").main(["--help"])
    assert " ".join(capsys.readouterr().out.split()).count("Try many settings of one experiment") == 1


def test_collecting_garbage_is_afterwards_as_it_was():
    before = gc.get_threshold()
    with as_command("x"):
        assert gc.get_threshold()[0] > before[0]
    assert gc.get_threshold() == before
    with pytest.raises(SystemExit), as_command("x"):
        raise UserError("no")
    assert gc.get_threshold() == before


@pytest.mark.parametrize("given", [["0.5"], ["[0.5]"], ["0.5", "0.25"], ["[0.5,0.25]"]])
def test_a_list_takes_one_value_as_it_takes_several(given):
    def degrade(cube: str, levels: list[float] = [1.0]) -> None:  # noqa: B006
        calls.append(levels)

    run_command(degrade, prog="degrade", positional="cube", args=["x", "--levels", *given])
    assert calls.pop() == ([0.5, 0.25] if "0.25" in "".join(given) else [0.5])
