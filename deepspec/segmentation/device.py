"""Where to compute."""

from __future__ import annotations

import torch

from deepspec.errors import UserError


def choose_device(name: str) -> str:
    """A device that works.

    Args:
        name: as torch names it, or `auto`: cuda where there is one, else cpu.

    Raises:
        UserError: it cannot be used.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device '{name}' cannot be used ({str(error).splitlines()[0]}); try --device cpu") from error
    return name
