"""Spectra per second of the paper's XRF training by batch and precision, and what bounds it; on a GPU if there is one.

Of each: the epochs of `fit`'s Trainer over spectra that are kept on the device; the bare step on one batch (network,
losses, optimiser); the network's own share of it; and the batches alone, gathered and not used.
"""

import contextlib
import tempfile
import time
import warnings
from pathlib import Path

import torch

from deepspec.training.objective import Weights
from tests.benchmarks.trainer import in_trainer, make, write_shards

WARM_UP, STEPS = 5, 30


def seconds(function, repeats, device):
    """Of a call, on the average of some, when the device is done."""
    for _ in range(WARM_UP):
        function()
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    wait(device)
    return (time.perf_counter() - start) / repeats


def wait(device):
    """Until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def steps(folder, batch_size, device, precision):
    """Seconds of the step on one batch, and of what the network takes of it."""
    data, model = make(folder, "ram", batch_size)
    data.setup("fit")
    model.preprocess.fit(data.sample("train", 20_000, seed=0))
    spectra = data.sample("train", batch_size, seed=0).to(device)
    model.to(device)
    model.weights = model.final_weights = Weights(0.01, 0.01)
    optimiser = model.configure_optimizers()
    half = precision == "bf16-mixed"

    def autocast():
        return torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext()

    def full():
        with autocast():
            loss = model._step({"spectra": spectra}, "train")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    x_ND = model.preprocess(spectra)

    def network():
        with autocast():
            latent = model.network.encode(x_ND)
            decoded_ND = model.network.decode(model.network.reparameterise(latent))
        loss = (decoded_ND.float() - x_ND).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return seconds(full, STEPS, device), seconds(network, STEPS, device)


def batches(folder, batch_size, device):
    """Seconds of a batch that is gathered on the device and not used."""
    data, _ = make(folder, "device" if device.type == "cuda" else "ram", batch_size)
    data.setup("fit")
    loader = data.train_dataloader()
    for _ in loader:
        wait(device)
    start = time.perf_counter()
    count = sum(1 for _ in loader)
    wait(device)
    return (time.perf_counter() - start) / count


def main():
    """A row for each batch size and precision, the best last."""
    warnings.simplefilter("ignore")
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    rows, sizes = (2**19, [512, 2048, 8192, 32768]) if cuda else (2**15, [512, 1024, 2048])
    print(f"on {torch.cuda.get_device_name() if cuda else 'the CPU'}, {rows} spectra of 512 channels")
    print(" batch  precision  spectra/s bare step  network  losses  loading")
    best = (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), rows)
        for size in sizes:
            for precision in ("32-true", "bf16-mixed"):
                data, model = make(folder, "device" if cuda else "ram", size)
                epoch = in_trainer(data, model, "cuda" if cuda else "cpu", precision)
                bare, network = steps(folder, size, device, precision)
                loading = batches(folder, size, device)
                shares = f"{network / epoch:8.0%} {(bare - network) / epoch:7.0%} {loading / epoch:8.0%}"
                print(f"{size:6d} {precision:>10} {size / epoch:10.0f} {bare / epoch:9.0%} {shares}", flush=True)
                best = max(best, (size / epoch, f"batch {size}, {precision}"))
    print(f"  best: {best[0]:.0f} spectra/s with {best[1]}; the last four columns are shares of a step in `fit`")


if __name__ == "__main__":
    main()
