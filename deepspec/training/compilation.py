"""Compiled encoder and decoder: `model.compile`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from deepspec.errors import UserError
from deepspec.models import OutsideNetwork

if TYPE_CHECKING:
    from deepspec.models import Network


def compile_network(network: Network, device: torch.device) -> None:
    """Let encoder and decoder run compiled from now on; their names and weights stay what they are.

    Only these two: they take the time, and have nothing in them that the compiler stumbles over. What is compiled draws
    its own dropout masks, so a network with dropout ends elsewhere than without; one without ends where it would, up to
    rounding.

    Args:
        network: whose layers are compiled when they are first used; of deepspec's own.
        device: where.

    Raises:
        UserError: nothing can be compiled here.
    """
    _check(device)
    assert not isinstance(network, OutsideNetwork)  # DeepClustering has seen to it
    for part in (network.encoder, network.decoder):
        part.compile()  # in place, which leaves the keys of checkpoints alone


def _check(device: torch.device) -> None:
    """Compile something small, so that what is missing is said before training and in one line."""
    try:
        torch.compile(_small)(torch.ones(2, device=device))
    except (RuntimeError, OSError) as error:  # of many kinds; none is public
        reason = str(error).strip().splitlines() or [type(error).__name__]
        needed = "a C++ compiler such as g++" if device.type == "cpu" else "Triton and a C compiler such as gcc"
        raise UserError(
            f"model.compile: torch cannot compile for {device.type} here, which takes {needed}: install it, or leave "
            f"model.compile out ({reason[0]})"
        ) from error


def _small(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1
