"""Make the file of a ready model of a run: what segmenting needs, without the clusters and the scans of the training.

    python experiments/ready_model.py runs/ready --name xrf --out deepspec/pretrained/xrf.ckpt

prints its SHA-256, which `deepspec/pretrained/__init__.py` lists. The same run gives the same file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepspec.clustering import Clusters
from deepspec.command import fail
from deepspec.data.fingerprint import sha256_of
from deepspec.errors import UserError
from deepspec.training.module import DeepClustering


def make(run: Path, name: str, out: Path) -> str:
    """Write the file; returns its SHA-256.

    Args:
        run: folder of a finished run.
        name: of the ready model, as in `pretrained:NAME`.
        out: the file, which is replaced.

    Raises:
        UserError: the run has no model.
    """
    model = DeepClustering.load(run)
    model.clusters = Clusters(*reversed(model.clusters.centres.shape))  # none: they are of the scans of the training
    model.reading = None  # nor are other scans to be read as those were
    model.ready = name
    model.save(out)
    return sha256_of(out)


def main(words: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--name", required=True, help="of the ready model, as in pretrained:NAME")
    parser.add_argument("--out", type=Path, required=True, help="the file")
    args = parser.parse_args(words)
    try:
        print(make(args.run, args.name, args.out), args.out)
    except UserError as error:
        fail("ready_model.py", str(error))


if __name__ == "__main__":
    main()
