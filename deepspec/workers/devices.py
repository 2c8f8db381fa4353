"""Where the processes of this node work: which GPUs each has, and how many threads."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping


# Of a launcher such as srun or torchrun around the worker: a trial would take itself for one rank of that job.
LAUNCHER = ("SLURM_NTASKS", "RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


def find_gpus(accelerator: str) -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none for an experiment on the CPU."""
    if accelerator not in ("auto", "gpu", "cuda"):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return [str(index) for index, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


def environments(workers: int | None, per_trial: int, gpus: list[str], base: Mapping[str, str]) -> list[dict[str, str]]:
    """The environment of each of the trials at once.

    More trials than there are GPUs for share them in turn: these networks are small.

    Args:
        workers: trials at once; None for as many as there are GPUs for, at least one.
        per_trial: devices of each.
        gpus: that there are.
        base: the environment of the worker itself.

    Raises:
        UserError: a trial needs more GPUs than there are.
    """
    if gpus and per_trial > len(gpus):
        raise UserError(f"devices_per_trial: {per_trial} asked for, {len(gpus)} GPU(s) here")
    count = workers or max(1, len(gpus) // per_trial)
    threads = max(1, len(os.sched_getaffinity(0)) // (count * (1 if gpus else per_trial)))
    found = []
    for slot in range(count):
        environment = {name: value for name, value in base.items() if name not in LAUNCHER}
        environment.setdefault("OMP_NUM_THREADS", str(threads))
        if gpus:
            mine = [gpus[(slot * per_trial + index) % len(gpus)] for index in range(per_trial)]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
        found.append(environment)
    return found


def places(workers: int | None, devices: str, device: str, jobs: int) -> list[dict[str, str]]:
    """The environment of each process.

    Args:
        workers: how many there shall be; None: one for each GPU, one where there is none. More share the GPUs in turn.
        devices: auto for all GPUs, a number for as many, or the numbers of some with commas, such as 0,1 or 1,.
        device: what is computed on: cpu, cuda, or auto; one GPU, such as cuda:1, is that of all processes.
        jobs: how many there are to do; no more processes than that.

    Raises:
        UserError: there are no such GPUs.
    """
    if workers is not None and workers < 1:
        raise UserError(f"workers: expected at least 1, got {workers}")
    found = find_gpus(device)
    gpus = found if devices == "auto" else [found[number] for number in _chosen(devices, len(found))]
    return environments(min(workers or len(gpus) or 1, jobs), 1, gpus, os.environ)


def _chosen(devices: str, found: int) -> list[int]:
    """Numbers of the GPUs that a text asks for."""
    parts = devices.strip("[] ").split(",")
    try:
        numbers = [int(part) for part in parts if part.strip()]
    except ValueError:
        numbers = []
    if len(parts) == 1 and numbers:
        numbers = list(range(numbers[0]))
    if not numbers or len(set(numbers)) < len(numbers):
        raise UserError(f"devices '{devices}': expected auto, how many GPUs, or their numbers such as 0,1")
    if not 0 <= min(numbers) <= max(numbers) < found:
        more = "" if found else "; --workers N works in N processes on the CPU"
        raise UserError(f"devices '{devices}': expected at most the {found} GPUs of this machine{more}")
    return numbers
