"""Numbering, canonical order and the signs of a collapse."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from deepspec import DeepClustering, SpectraDataModule
from deepspec.clustering.partitions import canonical_order, numbering
from deepspec.errors import UserError
from deepspec.fit import main as fit
from deepspec.training.clustering_callback import (
    IKMeansCallback,
    _effective_rank,
    _spread,
    signs_of_collapse,
)

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "xrf.yaml"


def test_numbers_stay_with_their_clusters():
    before = torch.tensor([2, 2, 2, 0, 0, 1, 1, 1])
    now = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    order = numbering(now, before, 3)
    assert torch.equal(order[now], before)


def test_new_and_lost_clusters_keep_numbers_compact():
    before = torch.tensor([4, 4, 4, 0, 0, 1])
    fewer = torch.tensor([0, 0, 0, 1, 1, 1])
    assert sorted(numbering(fewer, before, 2).tolist()) == [0, 1]
    more = torch.tensor([0, 1, 2, 3, 3, 4])
    order = numbering(more, torch.tensor([0, 0, 0, 1, 1, 1]), 5)
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert order[3] == 1


def test_canonical_order_is_by_size_then_centre_whatever_the_labels_were():
    centres = torch.tensor([[5.0], [1.0], [3.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    assert canonical_order(labels, centres).tolist() == [2, 1, 0]
    shuffle = torch.tensor([1, 2, 0])
    same = canonical_order(shuffle[labels], centres[shuffle.argsort()])
    assert torch.equal(centres[shuffle.argsort()][same], centres[canonical_order(labels, centres)])


def entry(k=5, silhouette=0.7, spread=2.0, rank=2.5, reconstruction=0.1):
    return {"k": k, "silhouette": silhouette, "spread": spread, "rank": rank, "reconstruction": reconstruction}


@pytest.mark.parametrize(
    ("history", "named"),
    [
        ([], None),
        ([entry(), entry(silhouette=0.9)], None),
        ([entry(), entry(silhouette=0.99, reconstruction=0.2)], "silhouette collapse"),
        ([entry(reconstruction=0.2), entry(silhouette=0.99, reconstruction=0.1)], None),
        ([entry(), entry(spread=1e-4)], "latent collapse"),
        ([entry(k=1, silhouette=float("nan"), spread=0.0)], "latent collapse"),
        ([entry(k=3, silhouette=0.96)] * 5, "K is stuck at its minimum 3"),
        ([entry(k=3, silhouette=0.96)] * 4, None),
        ([entry(k=3, silhouette=0.8)] * 9, None),
    ],
)
def test_collapse_is_named(history, named):
    signs = signs_of_collapse(history, k_min=3)
    if named is None:
        assert signs == []
    else:
        assert len(signs) == 1
        assert named in signs[0]


def test_spread_and_rank_of_known_clouds():
    generator = torch.Generator().manual_seed(0)
    line = torch.randn(5000, 1, generator=generator) @ torch.tensor([[3.0, 4.0, 0.0]])
    assert _effective_rank(line) == pytest.approx(1.0, abs=1e-3)
    assert _spread(line) == pytest.approx(5.0, rel=0.05)
    assert _effective_rank(torch.randn(5000, 3, generator=generator)) == pytest.approx(3.0, abs=0.01)
    assert _effective_rank(torch.zeros(10, 3)) == pytest.approx(1.0, abs=1e-6)


def test_bad_settings_are_refused():
    with pytest.raises(UserError, match="got k_min = 1, k_max = 3"):
        IKMeansCallback(k_min=1, k_max=3)
    with pytest.raises(UserError, match="sample > k_max"):
        IKMeansCallback(sample=5)


def test_what_clusters_are_judged_by_is_as_scikit_learn_finds_it(tiny_shards, tmp_path):
    fit(["--config", str(EXPERIMENT), "--data.root", str(tiny_shards), "--run_dir", str(tmp_path), "--keep", "last",
         "--trainer.max_epochs=2", "--data.batch_size=128", "--clusterer.kind=ikmeans"])  # fmt: skip
    with (tmp_path / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    spectra = SpectraDataModule(str(tiny_shards)).sample("val", 4096, seed=0)
    model = DeepClustering.load(tmp_path / "model.ckpt")
    labels = model.clusters.assign(model.encode(spectra))
    assert len(spectra) == 400  # fewer than the anchors, so the value is exact
    measured = silhouette_score(spectra.numpy(), labels.numpy())
    assert float(last["ikmeans/silhouette_measured"]) == pytest.approx(measured, abs=1e-5)
    refits = []
    for seed in range(20):
        drawn = np.random.default_rng(seed).integers(400, size=400)
        found = KMeans(int(model.clusters.count), n_init=3, random_state=seed).fit(model.encode(spectra)[drawn].numpy())
        refits.append(adjusted_rand_score(labels, found.predict(model.encode(spectra).numpy())))
    error = np.std(refits) * (1 / 10 + 1 / 20) ** 0.5
    assert float(last["ikmeans/stability"]) == pytest.approx(np.mean(refits), abs=4 * error + 0.005)
