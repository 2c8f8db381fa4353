"""How much memory this process may still take, on the host and on an accelerator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.errors import UserError

if TYPE_CHECKING:
    import torch

_CGROUP = Path("/sys/fs/cgroup")
_SMALL = 2**26  # bytes, which any machine has


def available_memory() -> int:
    """Bytes that can be allocated without swapping, within the limit of a container (cgroup version 2).

    Where the system does not say, half of the installed memory.
    """
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    else:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        free = min(free, int(text) - int(used.read_text()) + _file_cache())
    return max(free, 0)


def check_memory(size: int, what: str) -> None:
    """Compare what is to be read at once with the memory that there is, before any is taken.

    Args:
        size: bytes.
        what: the file and what is in it, for the message.

    Raises:
        UserError: there is not as much.
    """
    if size > _SMALL and size > (free := available_memory()):
        raise UserError(f"{what} takes {size / 1e9:.1f} GB of memory at once, there are {free / 1e9:.1f} GB")


def _file_cache() -> int:
    """Bytes of the container's use that only cache files, and give way."""
    stat = _CGROUP / "memory.stat"
    if not stat.exists():
        return 0
    lines = dict(line.split() for line in stat.read_text().splitlines())
    return int(lines.get("active_file", 0)) + int(lines.get("inactive_file", 0))


def device_memory(device: torch.device) -> int:
    """Bytes that can be allocated on a device; the host's if it is the CPU or shares the host's memory."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()
