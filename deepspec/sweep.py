"""`deepspec sweep --config sweeps/xrf.yaml`: try many settings of one experiment."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from deepspec.command import CommandParser, as_command, complete_flags, fail, say_once
from deepspec.errors import UserError
from deepspec.notes import note
from deepspec.presets import PREFIX, find_config, with_config_paths
from deepspec.renamed import new_key, renamed_keys, tell
from deepspec.sweeping.settings import SweepSettings, check_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

PROG = "deepspec sweep"


def sweep(settings: SweepSettings) -> None:
    """Run trials until the study has all it wants, and write what was found into its folder."""
    check_settings(settings)
    # Only now: Optuna takes seconds to import, which neither --help nor a mistake above should cost.
    from deepspec.sweeping.report import run_and_report

    run_and_report(settings, os.environ)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(prog=PROG, description="Try many settings of one experiment, in any number of workers.")
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    parser.add_class_arguments(SweepSettings)
    say_once(parser)
    given = [re.sub(r"^--[\w-]+$", _underscored, arg) for arg in (sys.argv[1:] if args is None else args)]
    given, typed = take_overrides(given)
    with as_command(PROG):
        given = with_config_paths(given, "sweeps")
        parsed = parser.parse_args(complete_flags(given, {"retry_failed", "report_only", "wait"}))
        folders = [Path(file.absolute).parent for file in parsed.pop("config", None) or [] if file is not None]
        values = {name: parsed[name] for name in SweepSettings.__dataclass_fields__}
        was_typed = any(word.partition("=")[0] == "--experiment" for word in given)
        values["experiment"] = experiment_path(values["experiment"], [] if was_typed else folders)
        old: dict[str, str] = {}
        typed, overrides = renamed_keys(typed, old), renamed_keys(values["overrides"], old)
        old |= {name: new_key(name) for name in values["search"] if new_key(name) != name}
        tell("keys", old, note)
        in_file = {key: value for key, value in overrides.items() if key not in typed}
        sweep(SweepSettings(**{**values, "overrides": in_file | typed}))  # what is typed comes last, and wins


def experiment_path(given: str, folders: Sequence[Path]) -> str:
    """The file that `experiment` means: one beside the sweep's file, else one of that path here, else a preset.

    Args:
        given: a path, or the name of a preset.
        folders: of the files of the sweep, the last of which wins; none if the experiment was typed.

    Raises:
        UserError: there is none of the three.
    """
    for folder in reversed(folders):
        if not given.startswith(PREFIX) and (folder / given).is_file():
            return os.path.normpath(folder / given)
    try:
        return str(find_config(given, "experiments"))
    except UserError as error:
        raise UserError(str(error).replace(f"--config {given}", f"experiment: {given}", 1)) from error


def take_overrides(args: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """What is left of a command line without `--overrides.KEY VALUE`, and these by their dotted keys.

    jsonargparse would take each as the whole of its group: of two keys of `data` the first would be lost.

    >>> take_overrides(["--trials", "3", "--overrides.data.root", "a b", "--overrides.model.optimizer.lr=1e-3"])
    (['--trials', '3'], {'data.root': 'a b', 'model.optimizer.lr': 0.001})
    """
    left: list[str] = []
    typed: dict[str, Any] = {}
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        key, equals, value = arg.removeprefix("--overrides.").partition("=")
        if not arg.startswith("--overrides."):
            left.append(arg)
        elif equals or rest:
            typed[key] = _value(value if equals else rest.pop(0))
        else:
            fail(PROG, f"{arg}: expected a value after it")
    return left, typed


def _value(text: str) -> Any:
    """As YAML has it, but 1e-3 is a number too."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    try:
        return float(found) if isinstance(found, str) else found
    except ValueError:
        return found


def _underscored(option: re.Match[str]) -> str:
    return "--" + option.group()[2:].replace("-", "_")


if __name__ == "__main__":
    main()
