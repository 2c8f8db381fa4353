"""`python -m deepspec.fit --config experiments/xrf.yaml`: train a model on shards of spectra."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

from deepspec.command import complete_flags, one_line_errors
from deepspec.training.cli import FitCLI

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run a fit from a command line."""
    # Lightning reads sys.argv, and so do the processes that it starts for further devices.
    given = sys.argv[1:] if args is None else [*args]
    for place, pair in enumerate(itertools.pairwise(given)):
        if pair == ("--tracking", "wandb"):
            given[place] = "--tracking.kind"
    sys.argv = ["deepspec.fit", *complete_flags(given, {"overwrite"})]
    with one_line_errors("python -m deepspec.fit"):
        FitCLI().fit()


if __name__ == "__main__":
    main()
