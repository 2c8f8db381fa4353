"""Is it the same map with every seed? Trains and segments each cube anew with several seeds; prints one table.

    python experiments/repeated_seeds.py scans/*.h5
    python experiments/repeated_seeds.py SalinasA_corrected.mat --experiment experiments/hyperspectral.yaml

A model is trained from scratch on the cube itself with every seed, and segments it with refitted clusters at the K that
it finds. `same map` is the ARI between the maps of two seeds, over all pairs: its mean and its least. Two maps of a
single cluster are the same.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.command import fail
from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from deepspec.fit import main as fit
from deepspec.functional import adjusted_rand_index, contingency_table
from deepspec.ingest import main as ingest
from deepspec.models import SpectralModel
from deepspec.segmentation import segment_cube

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

EXPERIMENT = Path(__file__).parent / "xrf.yaml"


def maps(path: Path, args: argparse.Namespace, folder: Path) -> Iterator[tuple[int, NDArray[np.integer]]]:
    """K and the labels (H, W) of every seed; what the verbs print goes to a file."""
    reading = [] if args.dataset is None else ["--dataset", args.dataset]
    with (folder / "log.txt").open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        ingest([str(path), "--out", str(folder / "shards"), "--split", "0.9", "0.1", "0", *reading])
    for seed in args.seeds:
        run_dir = folder / f"run-{seed}"
        with (folder / "log.txt").open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            fit(["--config", str(args.experiment), "--data.root", str(folder / "shards"), "--run_dir", str(run_dir),
                 "--seed_everything", str(seed), *args.overrides])  # fmt: skip
            with read_cube(path, dataset=args.dataset) as cube:
                found = segment_cube(
                    cube, SpectralModel.load(run_dir / "model.ckpt"), clusters="refit", seed=seed, spatial=args.spatial
                )
        yield found.k, found.labels


def same_map(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """ARI of the pixels that have a label in both; 1 where both have a single cluster."""
    pair = (torch.from_numpy(labels.ravel().astype(np.int64)) for labels in (first, second))
    return float(adjusted_rand_index(contingency_table(*pair)))


def main(argv: list[str] | None = None) -> None:
    """Compare seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cubes", nargs="+", type=Path, metavar="CUBE")
    parser.add_argument("--dataset", help="of each file")
    parser.add_argument("--experiment", type=Path, default=EXPERIMENT)
    parser.add_argument(
        "--overrides", nargs="*", default=[], help="keys of the experiment, such as model.thinning=null"
    )
    parser.add_argument("--spatial", type=float, help="0 to 1, as of segment; default as the model has it")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    args = parser.parse_args(argv)
    args.overrides = [f"--{pair}" for pair in args.overrides]
    try:
        if len(args.seeds) < 2:
            raise UserError(f"--seeds: expected at least two, got {len(args.seeds)}")
        print("| cube | K | same map, mean | least |\n|---|---|---|---|")
        for path in args.cubes:
            with tempfile.TemporaryDirectory() as folder:
                found = list(maps(path, args, Path(folder)))
            agreed = [same_map(*pair) for pair in itertools.combinations([labels for _, labels in found], 2)]
            numbers = " ".join(str(k) for k, _ in found)
            print(f"| {path.stem} | {numbers} | {statistics.fmean(agreed):.3f} | {min(agreed):.3f} |", flush=True)
    except UserError as error:
        fail("repeated_seeds.py", str(error))


if __name__ == "__main__":
    main()
