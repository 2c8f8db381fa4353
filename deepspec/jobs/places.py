"""Where the processes of this node work: which GPU each has, and how many threads."""

from __future__ import annotations

import os

from deepspec.errors import UserError
from deepspec.sweeping.devices import environments, find_gpus


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
        raise UserError(f"devices '{devices}': {found} GPU(s) to be used here{more}")
    return numbers
