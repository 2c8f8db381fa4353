"""Segmenting a 512 x 512 x 1024 uint16 cube, clusters refitted, K 3 to 10: seconds, and peak memory of a process."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from deepspec.axis import SpectralAxis
from deepspec.models import NetworkConfig
from deepspec.training.module import DeepClustering

SIDE, CHANNELS = 512, 1024


def make_cube(path):
    """Poisson spectra of five materials in patches, about 600 counts a pixel."""
    rng = np.random.default_rng(0)
    channel = np.arange(CHANNELS)
    rates = np.full((5, CHANNELS), 0.02)
    for rate in rates:
        for centre, height in zip(rng.uniform(10, CHANNELS - 10, 6), rng.uniform(0.3, 1, 6), strict=True):
            rate += height * np.exp(-0.5 * ((channel - centre) / 6) ** 2)
    rates *= 600 / rates.sum(1, keepdims=True)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    labels = (rows // 128 + columns // 171) % 5
    cube = np.lib.format.open_memmap(path, "w+", np.uint16, (SIDE, SIDE, CHANNELS))
    for start in range(0, SIDE, 16):
        cube[start : start + 16] = rng.poisson(rates[labels[start : start + 16]])
    cube.flush()


def make_model(path, cube_path):
    """A briefly trained autoencoder with the recommended preprocessing, as a checkpoint."""
    torch.manual_seed(0)
    axis = SpectralAxis.linear(0.5, 0.037, CHANNELS, "keV").to_dict()
    network = NetworkConfig(encoder=[256, 128, 64, 32], decoder=[64, 128, 256], output="linear")
    model = DeepClustering(axis, network, ["sqrt", {"step": "standard"}])
    sample = torch.from_numpy(np.load(cube_path, mmap_mode="r")[::16, ::4].reshape(-1, CHANNELS).copy())
    model.preprocess.fit(sample)
    optimiser = torch.optim.Adam(model.network.parameters(), 1e-3)
    spectra = model.preprocess(sample)
    for _ in range(60):
        batch = spectra[torch.randint(0, len(spectra), (512,))]
        loss = torch.nn.functional.mse_loss(model.network(batch), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    torch.save(content, path)


def main():
    """The real command, imports and pictures included."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_cube(folder / "cube.npy")
        make_model(folder / "model.ckpt", folder / "cube.npy")
        command = [sys.executable, "-m", "deepspec.segment", "cube.npy", "--checkpoint", "model.ckpt", "--clusters",
                   "refit", "--k", "3", "10", "--out", "result", "--axis", "0.5:38.351:keV"]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{SIDE} x {SIDE} x {CHANNELS} uint16, refit, K 3..10: {seconds:.1f} s, {busy:.1f} s of processor time,")
    print(f"  peak memory {after.ru_maxrss / 1e6:.2f} GB (goal: 10 s, 2 GB)")


if __name__ == "__main__":
    main()
