"""Steps per second inside Lightning's Trainer against the bare loop over the same loader."""

import tempfile
import time
import warnings
from pathlib import Path

import lightning
import numpy as np
import torch

from deepspec.axis import SpectralAxis
from deepspec.data.shards.datamodule import SpectraDataModule
from deepspec.data.shards.writer import ShardWriter
from deepspec.training.callbacks import LossSchedule
from deepspec.training.module import DeepClustering
from deepspec.training.objective import Weights
from tests.benchmarks.training_step import NETWORK
from tests.conftest import planted_spectra

ROWS, EPOCHS = 512 * 60, 3


def write_shards(folder, rows=ROWS):
    """Poisson spectra with 512 channels; of many rows the first ones again and again."""
    spectra = planted_spectra(min(rows, ROWS), channels=512)[0]
    with ShardWriter(folder, SpectralAxis.linear(0.5, 0.075, 512, "keV"), "uint16", seed=0) as writer:
        for start in range(0, rows, ROWS):
            part = spectra[: rows - start]
            writer.write("train", part, np.zeros((len(part), 3), dtype=np.int32))


def make(folder, residency="ram", batch_size=512):
    """A data module, and a model for it."""
    data = SpectraDataModule(str(folder), residency=residency, batch_size=batch_size)
    torch.manual_seed(0)
    model = DeepClustering(data.axis.to_dict(), network=NETWORK, preprocess=["sqrt", {"step": "standard"}])
    return data, model


def bare_loop(data, model):
    """Seconds per step without a trainer."""
    data.setup("fit")
    model.preprocess.fit(data.sample("train", 20_000, seed=0))
    schedule = LossSchedule()
    model.weights = model.final_weights = Weights(schedule.beta(0), schedule.gamma(0))
    optimiser = model.configure_optimizers()
    loader = data.train_dataloader()
    times = []
    for epoch in range(EPOCHS):
        loader.set_epoch(epoch)
        start = time.perf_counter()
        for index, batch in enumerate(loader):
            optimiser.zero_grad()
            model.training_step(batch, index).backward()
            optimiser.step()
        times.append((time.perf_counter() - start) / len(loader))
    return min(times)


class Clock(lightning.Callback):
    """Seconds per step of every epoch."""

    def __init__(self):
        self.times = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer, pl_module):
        self.times.append((time.perf_counter() - self.start) / trainer.num_training_batches)


def in_trainer(data, model, accelerator="cpu", precision="32-true"):
    """Seconds per step inside the Trainer that `fit` uses."""
    clock = Clock()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, callbacks=[LossSchedule(), clock], accelerator=accelerator, precision=precision,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(model, data)
    return min(clock.times)


def main():
    """The best epoch of each."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder))
        bare = bare_loop(*make(folder))
        trained = in_trainer(*make(folder))
    print(f"step in the bare loop {bare * 1e3:.1f} ms, in the Trainer {trained * 1e3:.1f} ms")
    print(f"  ratio {trained / bare:.2f} (goal: at most 1.10)")


if __name__ == "__main__":
    main()
