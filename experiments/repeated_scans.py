"""Would a second scan of the same painting give the same map? Two draws of one synthetic scan; prints one table.

    deepspec synthesize xrf flower.jpg --out scans
    python experiments/repeated_scans.py scans/flower.h5

From the true rates of a scan of `synthesize xrf`, two independent Poisson draws are made for each number of counts per
pixel. A model is trained on the first alone and segments both; PCA with eight components and K-means, the usual way, is
fitted to each anew. `same map` is the ARI between the two segmentations at a given K, `truth` that of each with the
truth.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.baselines import fit_baseline
from deepspec.command import fail
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.data.hdf5_file import read_hdf5
from deepspec.errors import UserError
from deepspec.fit import main as fit
from deepspec.functional import adjusted_rand_index, contingency_table
from deepspec.ingest import main as ingest
from deepspec.models import SpectralModel
from deepspec.segmentation import segment_cube

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis

EXPERIMENT = Path(__file__).parent / "xrf.yaml"


def read_rates(path: Path, every: int) -> tuple[NDArray[np.float64], NDArray[np.int64], SpectralAxis]:
    """(H, W, C) rates of mean 1 per pixel, (H, W) true labels and the axis, of every n-th row and column."""
    axis = read_cube(path).axis
    with read_hdf5(path, locking=False) as file:
        if "rates" not in file or "pixel_weights" in file:
            raise UserError(f"{path}: expected a scan of `synthesize xrf` whose pixels are of one material each")
        labels = file["label"][::every, ::every].astype(np.int64)
        rates = file["rates"][:].astype(np.float64)
    return rates[labels] / rates[labels].sum(-1).mean(), labels, axis


def ari(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """ARI of the pixels that have a label in both."""
    both = (first >= 0) & (second >= 0)
    pair = (torch.from_numpy(labels[both].astype(np.int64)) for labels in (first, second))
    return float(adjusted_rand_index(contingency_table(*pair)))


def trained(cubes: list[SpectralCube], args: argparse.Namespace, seed: int, folder: Path) -> list[SpectralModel]:
    """One model for both cubes, trained on the first."""
    cubes[0].save(folder / "first.h5")
    with (folder / "log.txt").open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        ingest([str(folder / "first.h5"), "--out", str(folder / "shards"), "--split", "0.9", "0.1", "0"])
        fit(["--config", str(args.config), "--data.root", str(folder / "shards"), "--run_dir", str(folder / "run"),
             "--seed_everything", str(seed), *args.set])  # fmt: skip
    return 2 * [SpectralModel.load(folder / "run" / "model.ckpt")]


def run(args: argparse.Namespace) -> None:
    """Print a row for each number of counts, K and method."""
    rates, truth, axis = read_rates(args.scan, args.every)
    print(f"{truth.shape[0]} x {truth.shape[1]} pixels, {truth.max() + 1} materials, seeds {args.seeds}")
    print(f"{'counts':>7} {'K':>2}  {'method':12} {'same map':>17} {'truth':>17}")
    for counts in args.counts:
        found: dict[tuple[int, str], list[tuple[float, float]]] = {}
        for seed in args.seeds:
            rng = np.random.default_rng(seed)
            cubes = [SpectralCube.from_array(rng.poisson(counts * rates).astype(np.uint16), axis) for _ in range(2)]
            with tempfile.TemporaryDirectory() as folder:
                models = {
                    args.config.stem: trained(cubes, args, seed, Path(folder)),
                    "PCA, K-means": [fit_baseline(cube, "pca").model for cube in cubes],
                }
                for k in args.k:
                    for name, pair in models.items():
                        maps = [
                            segment_cube(cube, model, clusters="refit", k=(k, k), seed=seed).labels
                            for cube, model in zip(cubes, pair, strict=True)
                        ]
                        right = statistics.mean(ari(labels, truth) for labels in maps)
                        found.setdefault((k, name), []).append((ari(*maps), right))
        for (k, name), values in found.items():
            cells = "".join(f"{spread(list(column)):>18}" for column in zip(*values, strict=True))
            print(f"{counts:>7} {k:>2}  {name:12}{cells}", flush=True)


def spread(values: list[float]) -> str:
    """Mean and, of several, standard deviation."""
    return f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def main(words: list[str] | None = None) -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scan", type=Path, help="HDF5 file of `synthesize xrf`")
    parser.add_argument("--config", type=Path, default=EXPERIMENT, help="configuration to train by")
    parser.add_argument("--set", action="append", default=[], help="of it: --set=--trainer.max_epochs=5", metavar="KEY")
    parser.add_argument("--counts", nargs="+", type=int, default=[400, 4000], help="mean counts per pixel")
    parser.add_argument("--k", nargs="+", type=int, default=[4, 6, 8], help="numbers of clusters")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of draws and training")
    parser.add_argument("--every", type=int, default=1, help="take every n-th row and column only")
    args = parser.parse_args(words)
    try:
        run(args)
    except UserError as error:
        fail("repeated_scans.py", str(error))


if __name__ == "__main__":
    main()
