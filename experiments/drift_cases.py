"""How far may the verdict on drift be trusted? Random scans of what a model was trained on, and of what it was not.

A run was trained on the scan that `synthesize xrf` makes of a picture. Random cases: the same materials at another
exposure, by another detector (resolution, efficiency, tube, count level), only a part of them, some of it covered by
materials of other pictures, and other pictures altogether. Each is segmented with frozen clusters, and the verdict is
held against the truth:

    python experiments/drift_cases.py runs/wave/model.ckpt wave.jpg --others the_scream.jpg --cases 50
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepspec.data.cube import SpectralCube
from deepspec.errors import UserError
from deepspec.functional import adjusted_rand_index, contingency_table
from deepspec.models import SpectralModel
from deepspec.segmentation import segment_cube
from deepspec.synthetic import xrf_cube
from deepspec.synthetic.images import load_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.segmentation import Segmentation
    from deepspec.synthetic import SyntheticScan

KINDS = ("exposure", "thinned", "detector", "detector, crop", "patch", "other picture", "other palette")
NEW = -2  # material that the training has not seen


@dataclass(frozen=True)
class Picture:
    """What `synthesize xrf` was given."""

    file: str
    palette: int
    seed: int
    size: int
    classes: int

    def scan(self, *, fwhm: float | None = None, mean: float = 400.0, palette: int | None = None) -> SyntheticScan:
        """The same materials in the same places, by another detector."""
        return xrf_cube(
            load_image(self.file, self.size),
            palette=self.palette if palette is None else palette,
            seed=self.seed,
            mean_counts=mean,
            k_range=(self.classes, self.classes),
            fwhm_ev=(130.0, 150.0) if fwhm is None else (fwhm, fwhm),
        )


@dataclass(frozen=True, eq=False)
class Case:
    """A scan, and the class in the training of each of its pixels."""

    kind: str
    counts: NDArray[np.generic]
    truth: NDArray[np.int64]


def efficiency(axis: SpectralAxis, amount: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A detector's and a tube's smooth curve over another's.

    It has a tilt and a bend by the logarithm of the energy, more absorption in the window and the air, and a thinner
    crystal.
    """
    energy = np.maximum(axis.values, 1.0)
    u = np.log(energy / 6)
    curve = np.exp(amount * (rng.uniform(-1, 1) * u + 0.5 * rng.uniform(-1, 1) * u**2))
    curve *= np.exp(-amount * rng.uniform(0, 2) * (2 / energy) ** 3)
    return np.asarray(curve * (1 - np.exp(-((20 / energy) ** 3) / (1 + amount * rng.uniform(0, 2)))))


def draw_case(kind: str, picture: Picture, others: list[Picture], rng: np.random.Generator) -> Case:
    """A random case of a kind."""
    fwhm = rng.uniform(122, 180)
    plain = picture.scan()
    truth = plain.labels.astype(np.int64)
    if kind == "exposure":
        return Case(kind, (plain.counts * rng.uniform(0.5, 2)).astype(np.float32), truth)
    if kind == "thinned":
        return Case(kind, rng.binomial(plain.counts, rng.uniform(0.15, 0.9)), truth)
    level, amount = rng.uniform(0.4, 1), rng.uniform(0, 0.6)
    curve = efficiency(plain.axis, amount, rng)
    chance = np.clip(level * curve / np.quantile(curve, 0.98), 0, 1)
    if kind == "other palette":
        seen = picture.scan(fwhm=fwhm, mean=800, palette=1 + (picture.palette + int(rng.integers(0, 6))) % 7)
        return Case(kind, rng.binomial(seen.counts, chance), np.full_like(truth, NEW))
    if kind == "other picture":
        seen = others[int(rng.integers(len(others)))].scan(fwhm=fwhm, mean=800)
        return Case(kind, rng.binomial(seen.counts, chance), np.full(seen.labels.shape, NEW))
    counts = picture.scan(fwhm=fwhm, mean=800).counts
    if kind == "detector, crop":
        rows, columns = truth.shape
        top, left = int(rng.integers(rows // 2)), int(rng.integers(columns // 2))
        part = np.s_[top : top + rows // 2, left : left + columns // 2]
        return Case(kind, rng.binomial(counts[part], chance), truth[part])
    if kind == "patch":
        new = others[int(rng.integers(len(others)))].scan(fwhm=fwhm, mean=800)
        rows, columns = (min(a, b) for a, b in zip(truth.shape, new.labels.shape, strict=True))
        part = np.s_[: int(rows * rng.uniform(0.1, 0.9)), : int(columns * rng.uniform(0.3, 1))]
        counts[part], truth[part] = new.counts[part], NEW
    return Case(kind, rng.binomial(counts, chance), truth)


def ari(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Adjusted Rand index over the pixels that the first labels; NaN where there are none."""
    import torch

    ok = first >= 0
    if not ok.any():
        return float("nan")
    ours = np.unique(first[ok], return_inverse=True)[1]
    theirs = np.unique(second[ok], return_inverse=True)[1]
    table = contingency_table(torch.from_numpy(ours), torch.from_numpy(theirs))
    return float(adjusted_rand_index(table))


def share_right(labels: NDArray[np.int64], truth: NDArray[np.int64], meaning: NDArray[np.int64]) -> float:
    """Share of the labelled pixels whose cluster means their class; NaN where there are none."""
    ok = labels >= 0
    return float((meaning[labels[ok]] == truth[ok]).mean()) if ok.any() else float("nan")


def meanings(found: Segmentation, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """(K,) the class that most pixels of each cluster have in the training's scan."""
    classes = range(int(truth.max()) + 1)
    table = np.array([[((found.labels == k) & (truth == c)).sum() for c in classes] for k in range(found.k)])
    return table.argmax(1)


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each case, and how many verdicts were wrong; the status is 1 if one was silently wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="trained on the scan of the picture")
    parser.add_argument("picture")
    parser.add_argument("--others", nargs="+", required=True, help="pictures of other materials")
    parser.add_argument("--palettes", nargs="+", type=int, help="of the picture and the others; default 1, 2, ...")
    parser.add_argument("--seeds", nargs="+", type=int, help="of synthesize, likewise; default 7, 8, ...")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the cases")
    options = parser.parse_args(arguments)
    files = [options.picture, *options.others]
    palettes = options.palettes or [*range(1, len(files) + 1)]
    seeds = options.seeds or [*range(7, 7 + len(files))]
    if not len(files) == len(palettes) == len(seeds):
        raise UserError("expected a palette and a seed for the picture and each of the others")
    pictures = [
        Picture(file, palette, seed, options.size, options.classes)
        for file, palette, seed in zip(files, palettes, seeds, strict=True)
    ]
    model = SpectralModel.load(options.checkpoint)
    plain = pictures[0].scan()
    own = segment_cube(SpectralCube.from_array(plain.counts, plain.axis), model)
    meaning = meanings(own, plain.labels.astype(np.int64))
    best = share_right(own.labels.astype(np.int64), plain.labels, meaning)
    print(f"{Path(options.picture).stem}: K = {own.k}, {best:.3f} of its own pixels right")
    print("kind             verdict  ARI    right  none   counts noise  response    blur   strain certainty")
    rng = np.random.default_rng(options.seed)
    wrong = refused = 0
    for number in range(options.cases):
        case = draw_case(KINDS[number % len(KINDS)], pictures[0], pictures[1:], rng)
        found = segment_cube(SpectralCube.from_array(case.counts.astype(np.float32), plain.axis), model)
        drift, labels = found.drift, found.labels.astype(np.int64)
        if drift is None:
            raise UserError(f"{options.checkpoint}: it keeps no record of its training; fit it again")
        right = share_right(labels, case.truth, meaning)
        silently = drift.verdict != "other" and not right > 0.9 * best
        needless = drift.verdict == "other" and right > 0.9 * best
        wrong, refused = wrong + silently, refused + needless
        print(
            f"{case.kind:16s} {drift.verdict:8s} {ari(labels, case.truth):5.3f}  {right:5.3f}  "
            f"{drift.unassigned:5.3f}  "
            f"{drift.counts:5.2f}  {drift.noise:5.2f}  {drift.response_lowest:.2f}-{drift.response_highest:.2f}  "
            f"{drift.blur:6.3f}  {drift.strain:5.3f}  {drift.certainty:5.3f}"
            f"{'  SILENTLY WRONG' if silently else '  though right' if needless else ''}",
            flush=True,
        )
    print(f"{options.cases} cases: {wrong} silently wrong, {refused} called other though right")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
