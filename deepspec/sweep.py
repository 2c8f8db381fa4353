"""`python -m deepspec.sweep --config sweeps/xrf.yaml`: try many settings of one experiment."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from deepspec.command import CommandParser, complete_flags, fail
from deepspec.errors import UserError
from deepspec.sweeping.settings import SweepSettings, check_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

PROG = "python -m deepspec.sweep"


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
    given = [re.sub(r"^--[\w-]+$", _underscored, arg) for arg in (sys.argv[1:] if args is None else args)]
    parsed = parser.parse_args(complete_flags(given, {"retry_failed", "report_only"}))
    parsed.pop("config", None)
    settings = SweepSettings(**{name: parsed[name] for name in SweepSettings.__dataclass_fields__})
    try:
        sweep(settings)
    except UserError as error:
        fail(PROG, str(error))


def _underscored(option: re.Match[str]) -> str:
    return "--" + option.group()[2:].replace("-", "_")


if __name__ == "__main__":
    main()
