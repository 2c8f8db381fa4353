"""Seeding of every step, cheaply."""

from __future__ import annotations

import torch


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed what a step on a device draws from: the same numbers as after `torch.manual_seed(seed)`.

    That one also seeds every kind of accelerator that torch knows. Where there is none it keeps the seed for the day
    that one is first used, with the traceback of the call, once for each kind: a third of a step of a small network.

    Args:
        seed: 0 to 2^63 - 1.
        device: where the step is computed. The CPU's generator is seeded with any.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)
