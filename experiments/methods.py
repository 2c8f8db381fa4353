"""Compare trained models with baselines on one labelled cube, over several seeds; prints one table.

    python experiments/methods.py SalinasA_corrected.mat --labels SalinasA_gt.mat --ignore 0 --labelled_only

Every model is trained from scratch on the cube itself, without its labels, by the configurations given, and segments it
with refitted clusters; every baseline is fitted to the same pixels. Runs that were trained elsewhere, and have never
seen the cube, join by `--runs NAME=RUN,RUN`. `ARI` and `F1` (weighted by the classes' sizes) are agreement with the
labels at the K that the silhouette picks, and with `--image` also with the clusters of its colours; `ARI, true K` is at
the number of classes. Seconds are of fitting and segmenting, with the test of structure.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import math
import statistics
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import yaml

from deepspec.baselines import METHODS, BaselineOptions, segment_by_baseline
from deepspec.clustering import ClustererConfig
from deepspec.clustering.refit import find_clusters
from deepspec.command import fail
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.errors import UserError
from deepspec.evaluation import read_reference
from deepspec.fit import main as fit
from deepspec.functional import score_agreement
from deepspec.functional.agreement import count_pairs
from deepspec.ingest import main as ingest
from deepspec.models import SpectralModel
from deepspec.segmentation import Segmentation, segment_cube

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

HERE = Path(__file__).parent
EXPERIMENTS = [HERE / "hyperspectral.yaml", HERE / "baseline_autoencoder.yaml"]
BASELINES = ["raw:[]", "raw:[minmax]", "raw:[{step: standard, scale: channel}]", "raw:[unit]", "pca", "nmf"]
SAMPLE = 32768


class Run(NamedTuple):
    """One method with one seed."""

    method: str
    seed: int
    k: int
    silhouette: float
    ari: float
    f1: float
    ari_true_k: float
    ari_colours: float
    f1_colours: float
    seconds: float


def train_and_segment(
    cube: SpectralCube, config: Path, overrides: list[str], seed: int, k: tuple[int, int] | None, folder: Path
) -> Segmentation:
    """Ingest the cube, fit by a configuration, segment; what the verbs print goes to a file."""
    shards, run_dir = folder / "shards", folder / f"{config.stem}-{seed}"
    with (folder / "log.txt").open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        if not shards.is_dir():
            cube.save(folder / "cube.h5")
            ingest([str(folder / "cube.h5"), "--out", str(shards), "--split", "0.9", "0.1", "0"])
        fit(["--config", str(config), "--data.root", str(shards), "--run_dir", str(run_dir),
             "--seed_everything", str(seed), *overrides])  # fmt: skip
        model = SpectralModel.load(run_dir / "model.ckpt")
        return segment_cube(cube, model, clusters="refit", k=k, seed=seed)


def segment_by_run(cube: SpectralCube, run_dir: Path, k: tuple[int, int] | None, seed: int) -> Segmentation:
    """By a model that was trained elsewhere."""
    return segment_cube(cube, SpectralModel.load(run_dir / "model.ckpt"), clusters="refit", k=k, seed=seed)


def segment_without_network(
    cube: SpectralCube, spec: str, image: str | None, seed: int, k: tuple[int, int] | None
) -> Segmentation:
    """By a baseline, given as METHOD or METHOD:[PREPROCESSING]."""
    method, _, steps = spec.partition(":")
    options = BaselineOptions(
        preprocess=yaml.safe_load(steps) if steps else None, image=image if method == "rgb" else None, seed=seed
    )
    return segment_by_baseline(cube, method, options, k=k)


def agreement(labels: NDArray[np.integer], truth: NDArray[np.int64]) -> tuple[float, float]:
    """ARI and weighted F1 over the pixels that have both."""
    found, classes = (torch.from_numpy(values.astype(np.int64)) for values in (labels, truth))
    scores = score_agreement(count_pairs(found, classes, int(found.max()) + 1, int(classes.max()) + 1))
    return scores.ari, scores.weighted["f1"]


def at_true_k(found: Segmentation, truth: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Labels by as many clusters as there are classes: by the merge tree, else by K-means of the same latent points."""
    place, classes = found.labels >= 0, int(truth.max()) + 1
    if found.leaves is not None and found.leaves.tree.leaves >= classes:
        return found.cut(classes).labels.astype(np.int64)
    z_PL = torch.from_numpy(found.latents[place])
    members = 1 if found.clustering is None else found.clustering.members
    clusterer = ClustererConfig(n_init=5).build(members)
    generator = torch.Generator().manual_seed(seed)
    clusters = find_clusters(clusterer, z_PL, classes, None, generator, sample=SAMPLE)
    labels = np.full(truth.shape, -1, dtype=np.int64)
    labels[place] = clusters.assign(z_PL).numpy()
    return labels


def compare(args: argparse.Namespace, folder: Path) -> list[Run]:
    """All methods with all seeds."""
    cube = read_cube(args.cube, dataset=args.dataset, order=args.order, axis=args.axis,
                     spatial_shape=None if args.spatial_shape is None else tuple(args.spatial_shape))  # fmt: skip
    truth = read_reference(args.labels, kind="labels", ignore=args.ignore).labels
    colours = None if args.image is None else read_reference(args.image, kind="image").labels
    for source, labels in ((args.labels, truth), (args.image, colours)):
        if labels is not None and labels.shape != cube.mask.shape:
            raise UserError(f"{source} has shape {labels.shape}, the cube {cube.mask.shape}")
    if truth.max() < 1:
        raise UserError(f"{args.labels}: expected at least two classes")
    if args.labelled_only:
        cube.mask &= truth >= 0
    k, runs = None if args.k is None else tuple(args.k), []
    for method, seed, segment in _methods(args, cube, k, folder):
        started = time.perf_counter()
        found = segment()
        seconds = time.perf_counter() - started
        ari, f1 = agreement(found.labels, truth)
        known, _ = agreement(at_true_k(found, truth, seed), truth)
        seen = (math.nan, math.nan) if colours is None else agreement(found.labels, colours)
        runs.append(Run(method, seed, found.k, found.silhouette.score, ari, f1, known, *seen, seconds))
        print(f"{method}, seed {seed}: K = {found.k}, ARI {ari:.3f}, at true K {known:.3f}", flush=True)
    print(f"\n{int(truth.max()) + 1} classes, {int(((truth >= 0) & cube.mask).sum())} labelled pixels; "
          "mean ± standard deviation over seeds")  # fmt: skip
    return runs


def _methods(
    args: argparse.Namespace, cube: SpectralCube, k: tuple[int, int] | None, folder: Path
) -> Iterator[tuple[str, int, Callable[[], Segmentation]]]:
    """Name, seed and what segments the cube, for everything that is compared."""
    for name, run_dirs in args.runs:
        for seed, run_dir in enumerate(run_dirs):
            yield name, seed, partial(segment_by_run, cube, run_dir, k, seed)
    for config in args.experiments:
        for seed in args.seeds:
            yield config.stem, seed, partial(train_and_segment, cube, config, args.set, seed, k, folder)
    for spec in args.baselines:
        for seed in args.seeds:
            yield spec, seed, partial(segment_without_network, cube, spec, args.image, seed, k)


def table(runs: list[Run]) -> str:
    """A row for each method."""

    def spread(values: list[float], digits: int) -> str:
        deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.{digits}f}{deviation}"

    columns = {"silhouette": "silhouette of latents", "ari": "ARI", "f1": "F1", "ari_true_k": "ARI, true K",
               "ari_colours": "ARI, colours", "f1_colours": "F1, colours"}  # fmt: skip
    if any(math.isnan(run.ari_colours) for run in runs):
        del columns["ari_colours"], columns["f1_colours"]
    rows = [("method", "K", *columns.values(), "seconds")]
    for method in dict.fromkeys(run.method for run in runs):
        own = [run for run in runs if run.method == method]
        ks = " ".join(str(run.k) for run in own)
        numbers = (spread([getattr(run, name) for run in own], 3) for name in columns)
        rows.append((method, ks, *numbers, spread([run.seconds for run in own], 0)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def parse(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cube", help="file of any format that `segment` reads")
    parser.add_argument("--labels", required=True, help="label map of the same size, FILE or FILE:KEY")
    parser.add_argument("--ignore", type=int, help="value of the label map that means no class, such as 0")
    parser.add_argument("--labelled_only", action="store_true", help="leave the pixels without a class out altogether")
    parser.add_argument("--experiments", nargs="*", type=Path, default=EXPERIMENTS, help="configurations to train by")
    parser.add_argument(
        "--runs", nargs="*", default=[], type=_named_runs, help="runs trained elsewhere", metavar="NAME=RUN,RUN"
    )
    parser.add_argument(
        "--set", action="append", default=[], help="for each: --set=--trainer.max_epochs=50", metavar="KEY"
    )
    parser.add_argument("--baselines", nargs="*", help="of pca, nmf, umap, raw, rgb; with METHOD:[STEPS] to preprocess")
    parser.add_argument("--image", help="a picture of the same size: for rgb, and to compare with")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--k", nargs=2, type=int, help="fewest and most clusters; default: as each finds them")
    parser.add_argument("--dataset", help="name of the array in the file")
    parser.add_argument("--spatial_shape", nargs=2, type=int, help="rows and columns, for a row per spectrum")
    parser.add_argument("--order", choices=["C", "F"], default="C", help="how such pixels are counted")
    parser.add_argument("--axis", help="FIRST:LAST:UNIT")
    parser.add_argument("--out", type=Path, help="CSV file with a row for each method and seed")
    parser.add_argument("--work", type=Path, help="new folder to keep shards and runs in")
    args = parser.parse_args(words)
    if args.baselines is None:
        args.baselines = BASELINES + ["umap"] * (find_spec("umap") is not None) + ["rgb"] * (args.image is not None)
    for spec in args.baselines:
        if spec.partition(":")[0] not in METHODS:
            parser.error(f"--baselines: expected some of {', '.join(METHODS)}, got {spec}")
    for config in args.experiments:
        if config.suffix != ".yaml" or not config.is_file():
            parser.error(f"--experiments: {config}: no such YAML file")
    return args


def _named_runs(text: str) -> tuple[str, list[Path]]:
    name, equals, given = text.partition("=")
    folders = [Path(folder) for folder in given.split(",")]
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=RUN,RUN, got {text}")
    for folder in folders:
        if not (folder / "model.ckpt").is_file():
            raise argparse.ArgumentTypeError(f"{folder}: expected the folder of a finished run, with its model.ckpt")
    return name, folders


def main(words: list[str] | None = None) -> None:
    """Run the comparison."""
    args = parse(words)
    with contextlib.ExitStack() as stack:
        folder = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            folder.mkdir(parents=True, exist_ok=args.work is None)
            runs = compare(args, folder)
        except (UserError, FileExistsError) as error:
            fail("methods.py", str(error))
    print(table(runs))
    if args.out is not None:
        with args.out.open("w", newline="") as file:
            csv.writer(file).writerows([Run._fields, *runs])


if __name__ == "__main__":
    main()
