"""Table 1 of the paper, measured: deep embedding, PCA, NMF and UMAP to 3 dimensions, on spectra of nebulae.

Everything happens in the space of the preprocessed spectra ([clip, max], 512 channels), which is the same for all. Each
method is fitted on so many spectra and then encodes as many that it has not seen. Inversion is the mean squared error
of decoded held-out spectra, whose noise no method can foresee: it is most of the error here. Distances are compared by
Spearman's rank correlation over all pairs of held-out spectra. Times are processor time, which other people's work on
the machine does not lengthen as it does the clock's.
"""

import importlib.util
import logging
import tempfile
import time
import warnings
from pathlib import Path

import lightning
import numpy as np
import torch
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from deepspec.baselines.embeddings import NonNegativeComponents, PrincipalComponents
from deepspec.baselines.umap import ManifoldEmbedding
from deepspec.data.shards.datamodule import SpectraDataModule
from deepspec.data.shards.writer import ShardWriter
from deepspec.models import NetworkConfig
from deepspec.preprocess import Preprocess
from deepspec.synthetic.nebular_spectra import NebularSpectra, Observation
from deepspec.training.callbacks import LossSchedule
from deepspec.training.module import DeepClustering
from deepspec.training.objective import ObjectiveConfig

SIZES, HELD_OUT, INVERTED = (1_000, 4_000, 16_000, 64_000), 1_500, 30
EPOCHS, BATCH = 10, 256
CHANNELS = 512
STEPS = ["clip", "max"]
LONGEST = 30
"""Seconds: a method that was slower than this on a quarter of the spectra is left out."""

COMPARED = 16_000
"""Spectra of the short table, which all methods have been fitted on."""


def spectra(n, split):
    """(n, 512) raw spectra of nebulae and their axis."""
    made = NebularSpectra(n, split, Observation(bins=CHANNELS), seed=0)
    return torch.from_numpy(np.concatenate([block.spectra for block in made.blocks()])), made.channels.axis


def fit_deep(x, axis):
    """Processor seconds of `fit`, shards in memory, and what encodes and decodes."""
    lightning.seed_everything(0, verbose=False)
    network = NetworkConfig(encoder=[256, 128, 32], decoder=[64, 256], output="sigmoid", dropout=0.0)
    objective = ObjectiveConfig(silhouette_gradient=False, k_min=2, k_max=4)
    with tempfile.TemporaryDirectory() as folder:
        with ShardWriter(Path(folder) / "shards", axis, "float32", seed=0) as writer:
            writer.write("train", x.numpy(), np.zeros((len(x), 3), dtype=np.int32))
        data = SpectraDataModule(str(Path(folder) / "shards"), batch_size=BATCH, residency="ram")
        model = DeepClustering(axis.to_dict(), network, STEPS, objective)
        trainer = lightning.Trainer(
            max_epochs=EPOCHS, callbacks=[LossSchedule()], accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
        )  # fmt: skip
        start = time.process_time()
        trainer.fit(model, data)
        seconds = time.process_time() - start
    return seconds, model.eval().network


def fit_other(make, y):
    """Processor seconds, and the embedding."""
    start = time.process_time()
    embedding = make(y.numpy())
    return time.process_time() - start, embedding


@torch.inference_mode()
def measure(embedding, fresh, held_out):
    """Seconds to encode the fresh spectra, and of the held-out ones the error of inversion and the rank correlation."""
    start = time.process_time()
    for piece in torch.split(fresh, 8192):
        embedding.encode(piece)
    seconds = time.process_time() - start
    z = embedding.encode(held_out).mean_NL
    error = float((embedding.decode(z) - held_out).square().mean())
    return seconds, error, float(spearmanr(pdist(held_out.numpy()), pdist(z.numpy())).statistic)


def umap_inverse(embedding, held_out):
    """Seconds per spectrum and error of UMAP's own inverse_transform, on a few spectra, and the error of neighbours."""
    few = held_out[:INVERTED]
    z = embedding.encode(few).mean_NL
    start = time.process_time()
    inverse = embedding._umap.inverse_transform(z.numpy())
    seconds = (time.process_time() - start) / INVERTED
    error = float((torch.from_numpy(np.asarray(inverse)) - few).square().mean())
    return seconds, error, float((embedding.decode(z) - few).square().mean())


def print_row(row, *, head=False):
    """Print a row of a table in Markdown, at once: the whole takes minutes."""
    print(f"| {' | '.join(row)} |", flush=True)
    if head:
        print(f"|{'---|' * len(row)}")


def main():
    """All methods at all sizes, then ratios to PCA."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    x, axis = spectra(SIZES[-1], "train")
    preprocess = Preprocess(CHANNELS, STEPS)
    y = preprocess(x)
    fresh, held_out = preprocess(spectra(SIZES[-1], "val")[0]), preprocess(spectra(HELD_OUT, "test")[0])
    methods = {
        "ours": None,
        "PCA": lambda y: PrincipalComponents(y, 3, 0),
        "NMF": lambda y: NonNegativeComponents(y, 3, 0),
        "UMAP": lambda y: ManifoldEmbedding(y, 3, 15, 0.1, 0),
    }
    if importlib.util.find_spec("umap") is None:
        print("UMAP: umap-learn is not installed, so it is left out")
        del methods["UMAP"]
    variance = float((held_out - held_out.mean(0)).square().mean())
    print_row(
        ["method", "spectra", "fit (CPU s)", "encode as many (CPU s)", "inversion error / variance",
         "distance rank corr."], head=True,
    )  # fmt: skip
    found, inverted = {}, None
    if "UMAP" in methods:  # compiles itself when it is first used, for a minute
        methods["UMAP"](y[:100].numpy()).encode(fresh[:100])
    for name, make in methods.items():
        for size in SIZES:
            before = found.get((name, size // 4))
            if size > SIZES[0] and (before is None or before[0] > LONGEST):
                print_row([name, f"{size:,}", "left out: too slow", "", "", ""])
                continue
            fitted, embedding = fit_deep(x[:size], axis) if make is None else fit_other(make, y[:size])
            encoded, error, correlation = measure(embedding, fresh[:size], held_out)
            found[name, size] = fitted, encoded, error, correlation
            numbers = [f"{fitted:.2f}", f"{encoded:.3f}", f"{error / variance:.3f}", f"{correlation:.3f}"]
            print_row([name, f"{size:,}", *numbers])
            if name == "UMAP" and size == COMPARED:
                inverted = umap_inverse(embedding, held_out)
    print(f"\nRatios to PCA, {COMPARED:,} spectra (ours: {EPOCHS} epochs):")
    print_row(["method", "fit time", "encode time", "inversion error", "distance rank corr."], head=True)
    for name in methods:
        if (name, COMPARED) in found:
            pairs = zip(found[name, COMPARED], found["PCA", COMPARED], strict=True)
            print_row([name, *(f"{own / its:.3g}" for own, its in pairs)])
    if inverted is not None:
        seconds, error, neighbours = inverted
        print(
            f"\nUMAP decodes by the mean of the nearest spectra fitted on. Its own inverse_transform takes "
            f"{seconds:.2f} CPU s a spectrum; error / variance {error / variance:.3f} on {INVERTED} spectra, "
            f"neighbours {neighbours / variance:.3f}."
        )


if __name__ == "__main__":
    main()
