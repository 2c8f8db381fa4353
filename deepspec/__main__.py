"""`deepspec VERB ...` is `python -m deepspec.VERB ...`."""

from __future__ import annotations

import importlib
import sys

import deepspec
from deepspec.command import fail

VERBS = {
    "map": "look at scans, train, cluster and draw them: the whole way in one command",
    "synthesize": "make synthetic scans with known ground truth from pictures",
    "ingest": "write the spectra of cubes into shuffled shards for training",
    "fit": "train a model on shards",
    "compare": "show runs beside each other: results, settings that differ, curves",
    "sweep": "try many settings of an experiment",
    "segment": "divide a cube into clusters with a trained model",
    "baseline": "segment a cube without a network: PCA, NMF, UMAP, raw spectra, colours",
    "maps": "map the elements of an X-ray scan, or the emission lines of a gas",
    "relabel": "name, colour, merge, drop and split the clusters of a segmentation",
    "view": "open the report of a result in the browser",
    "evaluate": "compare a segmentation with a reference, and with itself refitted",
    "experiments": "list the experiments and sweeps that come with deepspec, or copy them",
}


def main() -> None:
    """Run the verb that the command line names."""
    verb, *arguments = [*sys.argv[1:], "--help"][: max(1, len(sys.argv) - 1)]
    if verb in ("-h", "--help"):
        lines = "\n".join(f"  {name:<12}{summary}" for name, summary in VERBS.items())
        print(f"usage: deepspec VERB ...\n\n{lines}\n\n`deepspec VERB --help` tells the options of a verb.")
    elif verb == "--version":
        print(deepspec.__version__)
    elif verb not in VERBS:
        fail("deepspec", f"unknown verb {verb!r}: expected one of {', '.join(VERBS)}")
    else:
        importlib.import_module(f"deepspec.{verb}").main(arguments)


if __name__ == "__main__":
    main()
