"""`deepspec fit --config experiments/xrf.yaml`: train a model on shards of spectra."""

from __future__ import annotations

import itertools
import sys
from functools import partial
from typing import TYPE_CHECKING

from deepspec.command import as_command, complete_flags, in_new_words
from deepspec.presets import with_config_paths
from deepspec.training.fit_help import PROG, asked_for, fit_help
from deepspec.training.run import run_fit

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run a fit from a command line."""
    given = sys.argv[1:] if args is None else [*args]
    with as_command(PROG):
        about = asked_for(given)
        if about is None:
            _fit(given)
        elif about == "trainer":
            from deepspec.training.cli import trainer_help

            print(trainer_help())
        else:
            print(fit_help(about))
    if about is not None:
        raise SystemExit(0)


def _fit(given: list[str]) -> None:
    from deepspec.training.recommended import with_recommended

    given = with_recommended(in_new_words(with_config_paths(given, "experiments")))
    for place, pair in enumerate(itertools.pairwise(given)):
        if pair == ("--tracking", "wandb"):
            given[place] = "--tracking.kind"
    run_fit(complete_flags(given, {"overwrite"}), partial(print, flush=True), live=True)


if __name__ == "__main__":
    main()
