"""SalinasA and Jasper Ridge through the real commands: ARI with the ground truth beside the best-scaled K-means.

Run with `python -m tests.benchmarks.real_scenes [--out FOLDER] [KEY VALUE ...]`; further arguments go to `fit`.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.io
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from deepspec import DeepClustering, read_cube
from deepspec.clustering import ClustererConfig
from deepspec.fit import main as fit
from deepspec.ingest import main as ingest
from tests.conftest import DATA

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "hyperspectral.yaml"
SEEDS = (0, 1, 2)


def scenes(folder):
    """Name, file, ground truth (H, W) with -1 where there is none, options of `ingest` and `read_cube`."""
    salinas = DATA / "salinas_a"
    truth = scipy.io.loadmat(salinas / "SalinasA_gt.mat")["salinasA_gt"].astype(int)
    yield (
        "SalinasA",
        salinas / "SalinasA_corrected.mat",
        np.unique(truth, return_inverse=True)[1].reshape(truth.shape) - 1,
    )
    jasper = DATA / "jasper_ridge"
    cube = scipy.io.loadmat(jasper / "jasperRidge2_R198.mat")["Y"].reshape(198, 100, 100).transpose(2, 1, 0)
    abundances = scipy.io.loadmat(jasper / "end4.mat")["A"].reshape(4, 100, 100).transpose(2, 1, 0)
    np.save(folder / "jasper.npy", np.ascontiguousarray(cube))
    yield "Jasper Ridge", folder / "jasper.npy", abundances.argmax(2)


def best_scaled_kmeans(x, truth, k):
    """ARI of K-means (n_init 5, mean of the seeds) under each scaling; the best."""
    scalings = {
        "raw": x,
        "min-max": (x - x.min(0)) / np.ptp(x, 0).clip(1e-9),
        "z-score": StandardScaler().fit_transform(x),
        "unit length": x / np.linalg.norm(x, axis=1, keepdims=True),
    }
    found = {
        name: statistics.mean(
            adjusted_rand_score(truth, KMeans(k, n_init=5, random_state=seed).fit_predict(y)) for seed in SEEDS
        )
        for name, y in scalings.items()
    }
    best = max(found, key=found.get)
    return best, found[best]


def run(folder, options):
    """Print one line per scene."""
    for name, path, truth in scenes(folder):
        mask = folder / f"{name}-mask.npy"
        np.save(mask, truth >= 0)
        shards = folder / f"{name}-shards"
        ingest([str(path), "--out", str(shards), "--mask", str(mask), "--split", "0.9", "0.1", "0"])
        spectra = read_cube(path, mask=mask).read_rows(0, truth.shape[0])[truth >= 0]
        labels = truth[truth >= 0]
        k = len(np.unique(labels))
        scaling, reference = best_scaled_kmeans(spectra.astype(float), labels, k)
        scores, chosen = [], []
        for seed in SEEDS:
            run_dir = folder / f"{name}-{seed}"
            fit(["--config", str(EXPERIMENT), "--data.root", str(shards), "--run_dir", str(run_dir),
                 "--seed_everything", str(seed), *options])  # fmt: skip
            model = DeepClustering.load(run_dir / "model.ckpt")
            z = model.encode(torch.from_numpy(spectra.astype(np.float32)))
            generator = torch.Generator().manual_seed(seed)
            clusterer = ClustererConfig(n_init=5).build(model.network.members)
            scores.append(adjusted_rand_score(labels, clusterer.fit(z, k, generator).assign(z)))
            chosen.append(clusterer.fit(z, (3, 10), generator).k)
        print(
            f"{name}: ARI {statistics.mean(scores):.3f} (seeds {', '.join(f'{s:.3f}' for s in scores)}), "
            f"K-means {scaling} {reference:.3f}, true K {k}, K by silhouette {chosen}",
            flush=True,
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        run(Path(temporary), sys.argv[1:])
