"""Streaming from shards: reading alone, training against rows in memory, and memory against the number of rows."""

import argparse
import ctypes
import functools
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import torch

from deepspec.axis import SpectralAxis
from deepspec.data.shards.datamodule import SpectraDataModule
from deepspec.data.shards.manifest import ShardSet
from deepspec.data.shards.writer import ShardWriter
from deepspec.training.callbacks import LossSchedule
from deepspec.training.module import DeepClustering
from deepspec.training.objective import Weights
from tests.benchmarks.training_step import NETWORK
from tests.conftest import planted_spectra

CHANNELS, BATCH, BLOCK, MATERIALS = 512, 512, 2**14, 8
CHUNK = 1024


def write(folder, rows):
    """Shards of Poisson spectra with about 400 counts, no two alike but by chance.

    The sum of two Poisson spectra of one material is one of its spectra at twice the dose: rows of two small tables are
    paired at random, which is forty times faster than drawing every channel.
    """
    halves = [planted_spectra(BLOCK, CHANNELS, MATERIALS, counts=200, seed=seed) for seed in (1, 2)]
    tables = [[x[labels == material] for material in range(MATERIALS)] for x, labels in halves]
    rng = np.random.default_rng(0)
    with ShardWriter(folder, SpectralAxis.linear(0.5, 0.075, CHANNELS, "keV"), "uint16", seed=0) as writer:
        for number, start in enumerate(range(0, rows, BLOCK)):
            n, material = min(BLOCK, rows - start), number % MATERIALS
            first, second = (table[material][rng.integers(0, len(table[material]), n)] for table in tables)
            pixel = np.stack([np.full(n, material), np.full(n, number), np.arange(n)], axis=1)
            writer.write("train", first + second, pixel)


def data_of(root, residency, workers=0, **options):
    """A data module that is set up."""
    data = SpectraDataModule(str(root), batch_size=BATCH, residency=residency, num_workers=workers, **options)
    data.setup("fit")
    return data


def epoch(loader, number):
    """Spectra per second of an epoch of batches, and seconds of processor time per spectrum, workers included."""
    loader.set_epoch(number)
    start, busy = time.perf_counter(), processor_time()
    rows = sum(len(batch["spectra"]) for batch in loader)
    return rows / (time.perf_counter() - start), (processor_time() - busy) / rows


def each_chunk(paths, read, number, processes):
    """Call `read(dataset, start, buffer)` for this process's whole chunks; rows, seconds, processor time."""
    buffer, rows = np.zeros((CHUNK, CHANNELS), np.uint16), 0
    start, busy = time.perf_counter(), time.process_time()
    for path in paths:
        with h5py.File(path, "r", locking=False, rdcc_nbytes=0) as file:
            spectra = file["spectra"]
            for first in range(number * CHUNK, len(spectra) - CHUNK + 1, processes * CHUNK):
                read(spectra, first, buffer)
                rows += CHUNK
    return rows, time.perf_counter() - start, time.process_time() - busy


def read_direct(spectra, first, buffer):
    """What h5py does with a chunk."""
    spectra.read_direct(buffer, np.s_[first : first + CHUNK])


def decompress(spectra, first, buffer):
    """What Blosc2 does with a chunk, without HDF5."""
    chunk = spectra.id.read_direct_chunk((first, 0))[1]
    blosc = blosc2()
    frame = blosc.blosc2_schunk_from_buffer(chunk, len(chunk), False)
    done = blosc.blosc2_schunk_decompress_chunk(frame, 0, buffer.ctypes.data, buffer.nbytes)
    blosc.blosc2_schunk_free(frame)
    if done != buffer.nbytes:
        raise RuntimeError(f"blosc2 gave {done} bytes, expected {buffer.nbytes}")


@functools.cache
def blosc2():
    """The library inside the HDF5 filter."""
    library = ctypes.CDLL(str(Path(hdf5plugin.PLUGIN_PATH) / "libh5blosc2.so"))
    library.blosc2_schunk_from_buffer.restype = ctypes.c_void_p
    library.blosc2_schunk_from_buffer.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_bool]
    library.blosc2_schunk_decompress_chunk.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32]
    library.blosc2_schunk_free.argtypes = [ctypes.c_void_p]
    library.blosc2_init()
    return library


def floor(root, read, processes):
    """As `epoch`, when processes do nothing but read chunks in turn."""
    paths = ShardSet(root).shards("train")
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        calls = [pool.submit(each_chunk, paths, read, number, processes) for number in range(processes)]
        found = [call.result() for call in calls]
    rows, seconds, busy = zip(*found, strict=True)
    return sum(rows) / max(seconds), sum(busy) / sum(rows)


def reading(root, rounds=3):
    """Floors and our readers in turn; the best of each, because whatever else runs only slows them down."""
    loaders = {workers: data_of(root, "stream", workers).train_dataloader() for workers in (0, 1, 2)}
    first = {workers: epoch(loader, 0) for workers, loader in loaders.items()}
    found = {}
    for number in range(1, rounds + 1):
        for workers, loader in loaders.items():
            found.setdefault(f"ours, {workers} workers", []).append(epoch(loader, number))
        for name, read in (("h5py read_direct", read_direct), ("Blosc2 alone", decompress)):
            for processes in (1, 2):
                found.setdefault(f"{name}, {processes} processes", []).append(floor(root, read, processes))
    best = {name: (max(v for v, _ in values), min(b for _, b in values)) for name, values in found.items()}
    print("reading alone, batches of 512 assembled, million spectra of 512 channels per second:")
    for name, (speed, busy) in best.items():
        checked = f"; first epoch, checksums compared: {first[int(name[6])][0] / 1e6:.2f}" if name[:4] == "ours" else ""
        print(f"  {name:30s} {speed / 1e6:.2f}, {busy * 1e6:.2f} us of processor time each{checked}")
    ours, theirs = best["ours, 2 workers"], best["h5py read_direct, 2 processes"]
    print(f"  against h5py with 2 processes: speed {ours[0] / theirs[0]:.2f}, processor time {ours[1] / theirs[1]:.2f}")
    print("  goal: 1.00 million per second with 2 processes")


def training(root, rows=BATCH * 160, rounds=4):
    """Steps of the paper's network fed from memory and from shards, epochs in turn."""
    loaders = {"ram": data_of(root, "ram", max_rows=rows).train_dataloader()}
    for workers in (0, 2):
        loaders[f"stream, {workers} workers"] = data_of(root, "stream", workers, max_rows=rows).train_dataloader()
    data = data_of(root, "stream", max_rows=rows)
    torch.manual_seed(0)
    model = DeepClustering(data.axis.to_dict(), network=NETWORK, preprocess=["max"])
    model.preprocess.fit(data.sample("train", 20_000, seed=0))
    schedule = LossSchedule()
    model.weights = model.final_weights = Weights(schedule.beta(0), schedule.gamma(0))
    optimiser = model.configure_optimizers()
    times = {name: [] for name in loaders}
    for number in range(rounds + 1):
        for name, loader in loaders.items():
            loader.set_epoch(number)
            start, busy = time.perf_counter(), processor_time()
            for index, batch in enumerate(loader):
                optimiser.zero_grad()
                model.training_step(batch, index).backward()
                optimiser.step()
            if number:  # the first epoch starts workers and compares checksums
                times[name].append((time.perf_counter() - start, processor_time() - busy))
    seconds = statistics.median(wall for wall, _ in times["ram"]) / len(loaders["ram"])
    print(
        f"training, the paper's XRF network, batch {BATCH}, {rows} spectra an epoch: ram {seconds * 1e3:.1f} ms a step"
    )
    for name in list(loaders)[1:]:
        pairs = list(zip(times["ram"], times[name], strict=True))
        wall, busy = (statistics.median(ram[i] / stream[i] for ram, stream in pairs) for i in (0, 1))
        print(f"  {name}: {wall:.3f} of the throughput (goal: at least 0.95); {1 / busy:.3f} of the processor time")


def processes_of(pid):
    """A process and all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(p for child in children for p in processes_of(int(child)))]


def processor_time():
    """Seconds that this process and its workers have kept processors busy."""
    ticks = 0
    for process in processes_of(os.getpid()):
        ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_of(pid):
    """Bytes of a process and its descendants: resident, and with shared pages counted once."""
    totals = {"Rss": 0, "Pss": 0}
    for process in processes_of(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            name, size = line.split(":")
            if name in totals:
                totals[name] += int(size.split()[0]) * 1024
    return totals["Rss"], totals["Pss"]


def peak(*arguments):
    """Run this file as another process; seconds, and the peak of its memory."""
    command = [sys.executable, "-m", "tests.benchmarks.streaming", *map(str, arguments)]
    start, peaks = time.perf_counter(), (0, 0)
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        while process.poll() is None:
            peaks = tuple(map(max, peaks, memory_of(process.pid)))
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, *peaks


def memory(folder, sizes):
    """Write and stream sets of two sizes, each in a process of its own."""
    peaks = []
    for rows in sizes:
        root = folder / f"rows-{rows}"
        if not (root / "manifest.json").exists():
            seconds, resident, _ = peak("--write", root, "--rows", rows)
            size = sum(path.stat().st_size for path in root.glob("*.h5"))
            print(f"  written {rows:,} spectra: {seconds:.0f} s, {size / 1e9:.2f} GB, peak {resident / 1e6:.0f} MB")
        seconds, resident, proportional = peak("--stream", root)
        print(
            f"  streamed {rows:,} spectra with 2 workers: {seconds:.1f} s with imports, peak {resident / 1e6:.0f} MB "
            f"resident, {proportional / 1e6:.0f} MB with shared pages counted once"
        )
        peaks.append((resident, proportional))
    (small, small_once), (large, large_once) = peaks[0], peaks[-1]
    print(f"  ratio {large / small:.3f} resident, {large_once / small_once:.3f} counted once (goal: at most 1.10)")


def main(args=()):
    """Reading, training, memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="where to keep the shards; default a temporary folder")
    parser.add_argument("--rows", type=int, nargs="+", default=[400_000, 1_000_000], help="sizes of the sets")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(args)
    if options.write:
        write(options.write, options.rows[0])
        return
    if options.stream:
        data = data_of(options.stream, "stream", 2)
        data.sample("train", 20_000, seed=0)
        epoch(data.train_dataloader(), 0)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        needed = max(options.rows) * CHANNELS * 2 * 1.5  # the shuffle's scratch files and the shards
        if (free := shutil.disk_usage(folder).free) < needed:
            raise SystemExit(f"{folder}: {free / 1e9:.0f} GB free, {needed / 1e9:.0f} GB needed: fewer --rows")
        print(f"load {', '.join(f'{load:.1f}' for load in os.getloadavg())}; memory")
        memory(folder, options.rows)
        root = folder / f"rows-{max((n for n in options.rows if n <= 1_000_000), default=min(options.rows))}"
        reading(root)
        training(root)


if __name__ == "__main__":
    main(sys.argv[1:])
