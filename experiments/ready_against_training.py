"""Hold the map of a ready model against those of models trained on the scan itself; prints a row for each scan.

    python experiments/ready_against_training.py SCAN... --model pretrained:xrf [--labels {scan}:label] [--axis ...]

For each seed the scan is mapped by the ready model, with new clusters, and by `auto_segment`, which trains on it.
Columns: K of both, seed by seed; ARI of the ready model's map to that of the same seed's training; that between maps of
trainings with different seeds, which is what to expect of two good maps; ARI of both to the labels, if there are any;
seconds of both, without the report.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sklearn.metrics import adjusted_rand_score

from deepspec import auto_segment, read_cube, read_reference, segment_cube
from deepspec.command import fail
from deepspec.errors import UserError
from deepspec.models import SpectralModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADER = "scan | K ready | K trained | ARI to trained | trained among themselves | ARI truth: ready, trained | seconds"


def ari(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """Adjusted Rand index; the pixels that a map leaves out are a cluster of their own."""
    return float(adjusted_rand_score(first.ravel(), second.ravel()))


def row(path: str, args: argparse.Namespace) -> str:
    """All numbers of a scan.

    Raises:
        UserError: it cannot be read or segmented.
    """
    maps: dict[str, list[NDArray[np.integer]]] = {"ready": [], "trained": []}
    seconds: dict[str, list[float]] = {"ready": [], "trained": []}
    counts: dict[str, list[int]] = {"ready": [], "trained": []}
    for seed in args.seeds:
        for name in maps:
            started = time.perf_counter()
            with read_cube(path, axis=args.axis, calibrate=args.calibrate) as cube:
                if name == "ready":
                    found = segment_cube(cube, SpectralModel.load(args.model), clusters="refit", seed=seed)
                else:
                    found = auto_segment(cube, seed=seed, progress=False)
            seconds[name].append(time.perf_counter() - started)
            maps[name].append(found.labels)
            counts[name].append(found.k)
    to_trained = [ari(*pair) for pair in zip(maps["ready"], maps["trained"], strict=True)]
    among = [ari(*pair) for pair in itertools.combinations(maps["trained"], 2)]
    truth = "-"
    if args.labels is not None:
        labels = read_reference(args.labels.replace("{scan}", path), kind="labels").labels
        known = labels >= 0
        means = {name: statistics.mean(ari(found[known], labels[known]) for found in maps[name]) for name in maps}
        truth = ", ".join(f"{mean:.3f}" for mean in means.values())
    ks = [" ".join(map(str, counts[name])) for name in maps]
    agree = [" ".join(f"{value:.3f}" for value in values) or "-" for values in (to_trained, among)]
    spent = ", ".join(f"{statistics.mean(values):.1f}" for values in seconds.values())
    return " | ".join([Path(path).name, *ks, *agree, truth, spent])


def main(words: list[str] | None = None) -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scans", nargs="+", help="files that `segment` reads")
    parser.add_argument("--model", default="pretrained:xrf", help="a ready model, or any checkpoint")
    parser.add_argument("--labels", help="label map, FILE or FILE:KEY; {scan} stands for the scan's file")
    parser.add_argument("--axis", help="FIRST:LAST:UNIT")
    parser.add_argument("--calibrate", help="X-ray lines and their channels, as Fe-Ka=641,Cu-Ka=806")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args(words)
    print(HEADER)
    try:
        for scan in args.scans:
            print(row(scan, args), flush=True)
    except UserError as error:
        fail("ready_against_training.py", str(error))


if __name__ == "__main__":
    main()
