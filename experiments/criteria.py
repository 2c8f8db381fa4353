"""Which number that needs no labels tells how good a trial of a sweep is? Held against a cube whose classes are known.

    python experiments/criteria.py score studies/scene SCENE.mat --labels TRUTH.mat --ignore 0
    python experiments/criteria.py table studies/scene studies/another

`score` segments the cube by the model of every finished trial and writes STUDY/criteria.csv, a row per trial; started
again, it scores what is new. `table` prints Spearman's rank correlation of every criterion with the ARI, for each study
and their mean, and the ARI of the trial that the criterion would have picked. Labels are used for that alone.

Shapes: P pixels, C channels, L latent dimensions, K clusters.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats
import torch
import yaml

from deepspec.baselines.fitting import sample_cube
from deepspec.clustering import ClustererConfig
from deepspec.clustering.counts import are_counts
from deepspec.clustering.refit import cluster_means, refit
from deepspec.command import fail
from deepspec.data.cube import read_cube
from deepspec.data.scatter import first_channels
from deepspec.errors import UserError
from deepspec.evaluation import read_reference
from deepspec.functional import (
    adjusted_rand_index,
    contingency_table,
    k_criteria,
    kmeans,
    silhouette_estimate,
    stability,
)
from deepspec.functional.centroid_indices import calinski_harabasz, davies_bouldin, sums_about_centres
from deepspec.models import SpectralModel

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.clustering import Partition

SIGNS = {
    "silhouette": 1,
    "silhouette_clusters": 1,
    "silhouette_input": 1,
    "silhouette_raw": 1,
    "stability": 1,
    "explained": 1,
    "davies_bouldin": -1,
    "calinski_harabasz": 1,
    "bic": 1,
    "k": 1,
    "disagreement": -1,
    "least_border": -1,
}
"""What a trial is scored by, and whether much (1) or little (-1) of it ought to be good. The last two are of ensembles
and of clusters divided by valleys; a trial that has no value stands behind those that have one."""

COMBINED = {
    "stability + explained": ("stability", "explained"),
    "stability + silhouette_raw": ("stability", "silhouette_raw"),
    "stability + silhouette_input": ("stability", "silhouette_input"),
    "silhouette + explained": ("silhouette", "explained"),
    "silhouette + silhouette_input": ("silhouette", "silhouette_input"),
    "stability + silhouette + explained": ("stability", "silhouette", "explained"),
    "disagreement + explained": ("disagreement", "explained"),
    "disagreement + silhouette_raw": ("disagreement", "silhouette_raw"),
}
"""Means of ranks."""

PIXELS = 8192
"""Most pixels that a trial is scored on; the same for all trials."""

ANCHORS = 1024


def score(
    model: SpectralModel, x_PC: Tensor, truth_P: Tensor, k: tuple[int, int], config: ClustererConfig, unit: str
) -> dict[str, float]:
    """Every criterion for the clusters that a model finds in some spectra, and their agreement with the truth."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        y_PD = model.preprocess(x_PC)
        z_PL = model.network.encode(y_PD).mean_NL.float()
        residual_PD = model.network.decode(z_PL) - y_PD
    members = model.network.members
    measured = None
    if config.kind == "ikmeans" and members == 1:
        clusters: Partition = refit(z_PL, k, PIXELS, 3, generator)
    else:
        by_counts = config.kind == "valleys" and config.evidence == "auto" and are_counts(x_PC, unit)
        measured = x_PC if by_counts or config.evidence == "counts" else None
        wanted = k if config.kind == "ikmeans" else None
        clusters = config.build(members).fit(z_PL, wanted, generator, measured)
    labels_P = clusters.assign(z_PL, measured)
    centres_KL = cluster_means(z_PL, labels_P, clusters.centres)
    known = truth_P >= 0
    at_true_k = kmeans(z_PL, int(truth_P.max()) + 1, n_init=5, generator=generator).labels
    several = len(labels_P.unique()) > 1

    def silhouette(x: Tensor, average: str = "samples") -> float:
        if not several:
            return math.nan
        return float(silhouette_estimate(x, labels_P, ANCHORS, average=average, generator=generator).score)

    def ari(found_P: Tensor) -> float:
        return float(adjusted_rand_index(contingency_table(found_P[known], truth_P[known])))

    disagreement = clusters.disagreement(z_PL, labels_P, measured)
    borders = np.array(clusters.search.borders)
    sums = sums_about_centres(z_PL, labels_P, centres_KL)
    tried = k if config.kind == "ikmeans" else (2, max(2, clusters.k))
    curve = k_criteria(z_PL, *tried, references=2, n_init=1, generator=generator).curves["bic"]
    return {
        "silhouette": silhouette(z_PL),
        "silhouette_clusters": silhouette(z_PL, "clusters"),
        "silhouette_input": silhouette(y_PD),
        "silhouette_raw": silhouette(x_PC),
        "stability": stability(z_PL, labels_P, clusters.k, refits=10, generator=generator).ari if several else math.nan,
        "explained": 1 - float(residual_PD.square().mean() / y_PD.var(0, correction=0).mean()),
        "davies_bouldin": davies_bouldin(sums, centres_KL) if several else math.nan,
        "calinski_harabasz": calinski_harabasz(sums, centres_KL) if several else math.nan,
        # Above that of one cluster and per pixel: the likelihood itself only says how large the latents are.
        "bic": (curve[clusters.k] - curve[1]) / len(z_PL),
        "k": clusters.k,
        "disagreement": math.nan if disagreement is None else float(disagreement.mean()),
        # The least firm of the borders between each cluster and its nearest: what would be given up first.
        "least_border": float((borders - 2 * np.eye(len(borders))).max(1).max()) if len(borders) > 1 else math.nan,
        "ari": ari(labels_P),
        "ari_true_k": ari(at_true_k),
    }


def score_study(args: argparse.Namespace) -> None:
    """Score the trials that have a model and no row yet."""
    truth = read_reference(args.labels, kind="labels", ignore=args.ignore).labels
    cube = read_cube(args.cube, dataset=args.dataset, order=args.order, axis=args.axis,
                     spatial_shape=None if args.spatial_shape is None else tuple(args.spatial_shape))  # fmt: skip
    if truth.shape != cube.mask.shape:
        raise UserError(f"{args.labels} has shape {truth.shape}, the cube {cube.mask.shape}")
    if args.labelled_only:
        cube.mask &= truth >= 0
    pixels, x_PC = sample_cube(cube, PIXELS, seed=0)
    truth_P = torch.from_numpy(truth.ravel()[pixels])
    path = args.study / "criteria.csv"
    rows = read_rows(path) if path.is_file() else []
    done = {row["trial"] for row in rows}
    for folder in sorted(path.parent.glob("trials/[0-9]*")):
        if folder.name in done or not (folder / "model.ckpt").is_file():
            continue
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        k_range = settings["ikmeans"]["k_min"], settings["ikmeans"]["k_max"]
        config = ClustererConfig(**settings.get("clusterer", {}))
        try:
            model = SpectralModel.load(folder / "model.ckpt")
            # A model of counts may have been trained on the channels below the tube's lines alone.
            own_PC = x_PC[:, : first_channels(cube, model.axis).axis.channels]
            row = score(model, own_PC, truth_P, k_range, config, cube.axis.unit)
        except UserError as error:  # a collapsed latent space has no clusters
            print(f"trial {folder.name}: left out, {error}", flush=True)
            continue
        rows.append({"trial": folder.name} | row)
        print(
            f"trial {folder.name}: K = {row['k']}, silhouette {row['silhouette']:.3f}, ARI {row['ari']:.3f}", flush=True
        )
        write_rows(path, rows)
    if not rows:
        raise UserError(f"{args.study}: no trial with a model.ckpt in {args.study / 'trials'}")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a criteria.csv."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a criteria.csv."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `score` on that study first")
    with path.open() as file:
        rows = csv.DictReader(file)
        return [{name: text if name == "trial" else float(text) for name, text in row.items()} for row in rows]


def only(study: Path, rows: list[dict[str, Any]], where: str | None) -> list[dict[str, Any]]:
    """The rows of the trials that had a value in a column of the study's trials.csv, as in clusters=many."""
    if where is None:
        return rows
    name, _, value = where.partition("=")
    with (study / "trials.csv").open(newline="") as file:
        trials = {row["trial"].zfill(4): row for row in csv.DictReader(file)}
    known = sorted({row.get(name) or "" for row in trials.values()})
    found = [row for row in rows if trials.get(row["trial"], {}).get(name) == value]
    if not found:
        raise UserError(f"--where {where}: no trial of {study}; '{name}' is one of {', '.join(known)}")
    return found


def print_table(studies: list[Path], against: str, where: str | None = None) -> None:
    """Rank correlations with the ARI (of the column given), and what a sweep would have picked."""
    columns = []
    for study in studies:
        rows = only(study, read_rows(study / "criteria.csv"), where)
        # Studies that were scored by an earlier version lack the newest criteria.
        values = {
            name: np.array([row.get(name, math.nan) for row in rows], dtype=float)
            for name in (*SIGNS, "ari", "ari_true_k")
        }
        goodness = {
            name: scipy.stats.rankdata(np.nan_to_num(sign * values[name], nan=-np.inf)) for name, sign in SIGNS.items()
        }
        goodness |= {name: np.mean([goodness[part] for part in parts], axis=0) for name, parts in COMBINED.items()}
        columns.append((study.name, values[against], goodness))
    print(f"{'criterion':38}" + "".join(f"{name[:16]:>18}" for name, *_ in columns) + f"{'mean':>8}")
    for criterion in (*SIGNS, *COMBINED):
        cells, found = "", []
        for _, ari, goodness in columns:
            says_nothing = np.ptp(goodness[criterion]) == 0 or np.ptp(ari) == 0  # the same for every trial
            found.append(0.0 if says_nothing else float(scipy.stats.spearmanr(goodness[criterion], ari).statistic))
            cells += f"{found[-1]:+9.2f} -> {ari[goodness[criterion].argmax()]:.3f}"
        print(f"{criterion:38}{cells}{statistics.mean(found):+8.2f}")
    for title, number in (("best", np.max), ("median", np.median), ("worst", np.min)):
        print(f"{title + ' ARI of the trials':38}" + "".join(f"{number(ari):18.3f}" for _, ari, _ in columns))
    print("rank correlation with the ARI -> ARI of the trial picked; trials: "
          + ", ".join(f"{name} {len(ari)}" for name, ari, _ in columns))  # fmt: skip


def main(words: list[str] | None = None) -> None:
    """Score or print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    scoring = verbs.add_parser("score", help="score the trials of a study")
    scoring.add_argument("study", type=Path, help="folder of the study")
    scoring.add_argument("cube", help="file of any format that `segment` reads")
    scoring.add_argument("--labels", required=True, help="label map of the same size, FILE or FILE:KEY")
    scoring.add_argument("--ignore", type=int, help="value of the label map that means no class, such as 0")
    scoring.add_argument("--labelled_only", action="store_true", help="leave the pixels without a class out altogether")
    scoring.add_argument("--dataset", help="name of the array in the file")
    scoring.add_argument("--spatial_shape", nargs=2, type=int, help="rows and columns, for a row per spectrum")
    scoring.add_argument("--order", choices=["C", "F"], default="C", help="how such pixels are counted")
    scoring.add_argument("--axis", help="FIRST:LAST:UNIT")
    printing = verbs.add_parser("table", help="print the correlations")
    printing.add_argument("studies", nargs="+", type=Path)
    printing.add_argument("--against", choices=["ari", "ari_true_k"], default="ari",
                          help="agreement at the K that was found, or at the number of classes")  # fmt: skip
    printing.add_argument("--where", help="only the trials that had this, COLUMN=VALUE of trials.csv: clusters=many")
    args = parser.parse_args(words)
    try:
        if args.verb == "score":
            score_study(args)
        else:
            print_table(args.studies, args.against, args.where)
    except UserError as error:
        fail("criteria.py", str(error))


if __name__ == "__main__":
    main()
