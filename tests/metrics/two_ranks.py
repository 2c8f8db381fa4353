"""Run a function on two gloo ranks in processes of their own, and fetch what each returns."""

import tempfile
from pathlib import Path

import torch
from torch import distributed, multiprocessing


def _rank(rank, folder, function):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        torch.save(function(rank), Path(folder) / f"{rank}.pt")
    finally:
        distributed.destroy_process_group()


def on_two_ranks(function):
    """`function(rank)`, at the top of a module, called on rank 0 and 1; what both return."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_rank, (folder, function), nprocs=2)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(2)]
