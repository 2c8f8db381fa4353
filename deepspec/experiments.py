"""`deepspec experiments`: list the experiments and sweeps that come with deepspec, or copy them."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.command import CommandParser, as_command
from deepspec.errors import UserError
from deepspec.presets import preset_folder, presets, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.presets import Kind

PROG = "deepspec experiments"

KINDS: dict[Kind, str] = {"experiments": "deepspec fit", "sweeps": "deepspec sweep"}
"""Folder -> the command that takes its files."""


def listing() -> str:
    """The presets of each kind, a name and a sentence each."""
    lines = []
    for kind, command in KINDS.items():
        lines += [f"{kind}, for `{command} --config NAME`:"]
        for name, path in presets(kind).items():
            told = textwrap.wrap(summary(path), 94)
            lines += [f"  {name:<22}{told[0]}", *(f"{'':24}{line}" for line in told[1:])]
        lines.append("")
    return "\n".join([*lines, f"`{PROG} --out FOLDER` copies the files, to change them."])


def copy(folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Copy presets into `experiments/` and `sweeps/` of a folder, whose files of these names must not exist.

    Args:
        folder: made if missing.
        names: of presets, of either kind or both; none means all, with their README.

    Returns:
        The new files.

    Raises:
        UserError: a name is unknown, or a file is there already; then nothing is copied.
    """
    found = {kind: presets(kind) for kind in KINDS}
    unknown = [name for name in names if not any(name in known for known in found.values())]
    if unknown:
        known = sorted({name for kind in found.values() for name in kind})
        raise UserError(f"no experiment or sweep is called {unknown[0]!r}: expected any of {', '.join(known)}")
    wanted = {
        folder / kind / path.name: path
        for kind, known in found.items()
        for name, path in known.items()
        if not names or name in names
    }
    readme = preset_folder("experiments") / "README.md"
    if not names and readme.is_file():
        wanted[folder / "experiments" / readme.name] = readme
    for target in wanted:
        if target.exists():
            raise UserError(f"{target} is there already: give another --out, or remove it")
    for target, path in wanted.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return list(wanted)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(
        prog=PROG, description="List the experiments and sweeps that come with deepspec, or copy them."
    )
    parser.add_argument("names", nargs="*", type=str, help="what to copy; default all")
    parser.add_argument("--out", type=str, help="folder that gets experiments/ and sweeps/ with the files")
    with as_command(PROG):
        given = parser.parse_args(args)
        if given.out is None and given.names:
            raise UserError(f"{' '.join(given.names)}: give --out FOLDER to copy into, such as --out .")
        if given.out is None:
            print(listing())
        else:
            for path in copy(Path(given.out), given.names):
                print(path)


if __name__ == "__main__":
    main()
