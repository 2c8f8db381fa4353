"""Exact and anchored silhouette against scikit-learn, in pairs of points per second."""

import resource
import time

import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_score as reference

from deepspec.functional import silhouette_estimate, silhouette_score


def cloud(n):
    """n points in 3-D, 6 clusters."""
    x, labels = make_blobs(n, 3, centers=6, random_state=0)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


def seconds(function):
    """Seconds of one call and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def main():
    """60,000 points exactly, 262,144 by anchors."""
    x, labels = cloud(20_000)
    theirs, score = seconds(lambda: reference(x.numpy(), labels.numpy()))
    ours, same = seconds(lambda: float(silhouette_score(x, labels)))
    print(f"20,000 points: {ours:.2f} s, scikit-learn {theirs:.2f} s, difference {abs(same - score):.1e}")
    x, labels = cloud(60_000)
    large, _ = seconds(lambda: silhouette_score(x, labels))
    ratio = (60_000**2 / large) / (20_000**2 / theirs)
    print(f"60,000 points: {large:.2f} s, {60_000**2 / large / 1e6:.0f} million pairs/s; ratio {ratio:.1f} (goal: 10)")
    x, labels = cloud(262_144)
    estimated, estimate = seconds(lambda: silhouette_estimate(x, labels, 4096))
    print(
        f"262,144 points, {estimate.anchors} anchors: {estimated:.1f} s, "
        f"{estimate.score:.4f} +- {estimate.standard_error:.4f} (goal: .002 in 10 s)"
    )
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
