"""The experiments and sweeps that come with deepspec, by name.

In a source tree they are the folders `experiments/` and `sweeps/` beside the package; an installed package has the same
files in `deepspec/presets/`, where building puts them (setup.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from deepspec.errors import UserError, did_you_mean

Kind = Literal["experiments", "sweeps"]

PREFIX = "preset:"
"""Before a name it says that no file of the user's is meant."""

_PACKAGE = Path(__file__).parent


def preset_folder(kind: Kind) -> Path:
    """Where the files of a kind are.

    Raises:
        UserError: the package was copied without them.
    """
    for folder in (_PACKAGE / "presets" / kind, _PACKAGE.parent / kind):
        if (folder / "xrf.yaml").is_file():
            return folder
    raise UserError(f"{kind}: this copy of deepspec has none: install it with pip, or give the path of a file")


def presets(kind: Kind) -> dict[str, Path]:
    """Every file of a kind by its name, which is that of the file without `.yaml`."""
    return {path.stem: path for path in sorted(preset_folder(kind).glob("*.yaml"))}


def summary(path: Path) -> str:
    """The first sentence of the comment that a preset begins with."""
    comment = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return re.split(r"(?<!et al)\. |; |, so that ", " ".join(comment))[0].rstrip(".")


def find_config(given: str, kind: Kind) -> Path:
    """The file that a command line means by a configuration.

    Args:
        given: path of a file, or name of a preset, with `preset:` before it or without. A file wins over a bare name.
        kind: of presets.

    Raises:
        UserError: there is neither; names the presets, or the nearest.
    """
    name = given.removeprefix(PREFIX)
    if not given.startswith(PREFIX) and Path(given).is_file():
        return Path(given)
    known = presets(kind)
    if name in known:
        return known[name]
    if given.startswith(PREFIX) or Path(given).name == given.removesuffix(".yaml"):
        hint = did_you_mean(name, known)
        raise UserError(
            f"--config {given}: no such file, and no preset of that name{hint}; presets: {', '.join(known)}"
        )
    hint = f"; deepspec brings one of that name: --config {Path(given).stem}" if Path(given).stem in known else ""
    raise UserError(f"--config {given}: no such file{hint}")


def with_config_paths(args: list[str], kind: Kind) -> list[str]:
    """A command line with paths in place of the names of presets after `--config` or `-c`.

    Raises:
        UserError: as `find_config`.
    """
    words, rest = [], list(args)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if option not in ("--config", "-c"):
            words.append(word)
        elif equals:
            words.append(f"--config={_meant(value, kind)}")
        else:
            words += [word, *([_meant(rest.pop(0), kind)] if rest else [])]
    return words


def _meant(value: str, kind: Kind) -> str:
    """What stands after `--config`; YAML itself, which the parser takes as well, stays."""
    return value if "\n" in value or value.lstrip().startswith("{") else str(find_config(value, kind))
